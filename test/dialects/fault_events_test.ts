import { describe, expect, test } from "bun:test";
import type { FaultEdits } from "../../src/core/fault_plan.ts";
import { MESSAGE_EDITS } from "../../src/dialects/anthropic_messages/fault_edits.ts";
import { CONVERSATION_EDITS } from "../../src/dialects/chatgpt_web/fault_edits.ts";
import { CHAT_EDITS } from "../../src/dialects/openai_chat/fault_edits.ts";
import { COMPLETION_EDITS } from "../../src/dialects/openai_completions/fault_edits.ts";
import { RESPONSE_EDITS } from "../../src/dialects/openai_responses/fault_edits.ts";
import { edited, eventsOf, jsonsIn } from "./edited.ts";
import {
  CHAT_CALLS,
  CHAT_TEXT,
  COMPLETION,
  CONVERSATION,
  MESSAGES,
  RESPONSE,
} from "./fault_streams.ts";

/** In event `number`, `to` stands in place of `from`: the last one there; all of it, where that is "". */
type Change = readonly [number: number, from: string, to: string];

/** Fault → all that it changes in a stream. */
type Case = readonly [fault: string, ...changes: readonly Change[]];

const COUNTS = '{"prompt_tokens":3, "completion_tokens":2,"total_tokens":5}';
const NO_FINISH = '"finish_reason":null';

/** In `text`, the last `from` is `to`. */
function replaced(text: string, from: string, to: string): string {
  const at = text.lastIndexOf(from);
  expect(at, from).toBeGreaterThanOrEqual(0);
  return from === "" ? to : text.slice(0, at) + to + text.slice(at + from.length);
}

/** The JSON of the events of `text` from `number` on, as they are written. */
function eventAt(text: string, number: number): string {
  return eventsOf(text)[number - 1]!;
}

const TABLE: readonly (readonly [name: string, FaultEdits, string, readonly Case[]])[] = [
  ["chat: a text", CHAT_EDITS, CHAT_TEXT, [
    ["no-role", [1, '"role":"assistant",', ""], [2, ',"role":"assistant"', ""]],
    ["no-finish", [4, '"stop"', "null"], [6, '"length"', "null"]],
    ["usage-missing", [7, "", ""]],
    ["usage-twice", [7, "", eventAt(CHAT_TEXT, 7).repeat(2)]],
    ["usage-late", [6, "", ""], [
      7,
      "",
      eventAt(CHAT_TEXT, 6).replace('"usage":null', `"usage":${COUNTS}`),
    ]],
    ["index-gap@event=5", [5, '"index":0', '"index":1'], [6, '"index":0', '"index":1']],
    [
      "filter@event=4",
      [
        4,
        "",
        eventAt(CHAT_TEXT, 4) +
        eventAt(CHAT_TEXT, 4).replace(
          '{"index":1,"delta":{},"finish_reason":"stop"}',
          '{"index":0,"delta":{},"finish_reason":"content_filter"}',
        ),
      ],
      [5, "", ""],
      [6, "", ""],
    ],
    // It has ended: the usage stays, and so does the mark.
    ["filter@event=6"],
  ]],
  ["chat: calls", CHAT_EDITS, CHAT_CALLS, [
    ["index-gap;of=tool", [2, '[{"index":0', '[{"index":1'], [3, '"index": 1', '"index": 2']],
    ["usage-missing", [4, `, "usage":${COUNTS}`, ""]],
    ["usage-late"],
    ["usage-twice", [
      4,
      "",
      eventAt(CHAT_CALLS, 4) +
      eventAt(CHAT_CALLS, 4).replace(/"choices" : \[.*?\], /, '"choices" : [], '),
    ]],
    ["filter@event=3", [
      3,
      "",
      eventAt(CHAT_CALLS, 3) +
      eventAt(CHAT_CALLS, 3).replace(
        /"choices" : \[.*?\], "usage/,
        '"choices" : [{"index":0,"delta":{},"finish_reason":"content_filter"}], "usage',
      ),
    ], [4, '{"index":0,"delta":{},"finish_reason":"tool_calls"}', ""]],
  ]],
  ["completions", COMPLETION_EDITS, COMPLETION, [
    ["no-finish", [3, '"stop"', "null"]],
    ["usage-late", [3, "", ""], [
      4,
      "",
      eventAt(COMPLETION, 3).replace(/\}\n/, `,"usage":${COUNTS}}\n`),
    ]],
    ["index-gap@event=3", [3, '"index":0', '"index":1']],
    [
      "filter@event=1",
      [
        1,
        "",
        eventAt(COMPLETION, 1) +
        'data: {"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"content_filter"}]}\n\n',
      ],
      [2, "", ""],
      [3, "", ""],
    ],
  ]],
  ["messages", MESSAGE_EDITS, MESSAGES, [
    ["no-role", [1, '"role":"assistant",', ""]],
    ["no-finish", [10, '"tool_use"', "null"]],
    ["usage-missing", [1, ',"usage":{"input_tokens":3,"output_tokens":1}', ""], [
      10,
      ',"usage":{"output_tokens":9}',
      "",
    ]],
    ["usage-twice", [10, "", eventAt(MESSAGES, 10).repeat(2)]],
    [
      "index-gap;of=tool",
      [7, '"index":1', '"index":2'],
      [8, '"index":1', '"index":2'],
      [9, '"index":1', '"index":2'],
    ],
    ["index-gap@event=9", [9, '"index":1', '"index":2']],
    [
      "filter@event=4",
      [
        4,
        "",
        eventAt(MESSAGES, 4) +
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
      ],
      ...[5, 6, 7, 8, 9].map((number) => [number, "", ""] as const),
      [10, '"tool_use"', '"refusal"'],
    ],
    ["filter@event=11"],
  ]],
  ["responses", RESPONSE_EDITS, RESPONSE, [
    ["no-role", [4, ',"role":"assistant"', ""], [11, ',"role":"assistant"', ""], [
      16,
      ',"role":"assistant"',
      "",
    ]],
    ["usage-missing", [16, '{"input_tokens":3,"output_tokens":2}', "null"]],
    [
      "index-gap;of=tool",
      ...[12, 13, 14, 15].map((number) =>
        [number, '"output_index":2', '"output_index":3'] as const
      ),
    ],
    ["index-gap@event=15", [15, '"output_index":2', '"output_index":3']],
    ["filter@event=16"],
  ]],
  ["a conversation", CONVERSATION_EDITS, CONVERSATION, [
    [
      "no-role",
      ...[1, 2, 3].map((number) => [number, '"role": "assistant", ', ""] as const),
    ],
    ["no-finish", [
      3,
      '"status": "finished_successfully", "end_turn": true',
      '"status": "in_progress", "end_turn": null',
    ]],
  ]],
];

for (const [name, edits, stream, cases] of TABLE) {
  describe(name, () => {
    for (const [fault, ...changes] of cases) {
      const what = changes.length === 0 ? "nothing" : "that and nothing else";
      test(`${fault} changes ${what}`, () => {
        const { events, pieces, hasHappened } = edited(edits, stream, fault);
        const wanted = events.map((event, i) =>
          changes.filter(([number]) => number === i + 1).reduce(
            (text, [, from, to]) => from === "" ? to : replaced(text, from, to),
            event,
          )
        );
        expect(pieces).toEqual([...wanted, ""]);
        expect(hasHappened).toBe(changes.length > 0);
      });
    }
  });
}

describe("responses", () => {
  test("an error is told with its number, and the response has failed", () => {
    const { text } = edited(RESPONSE_EDITS, RESPONSE, "error-event@event=6;type=a;error-code=b");
    const message = "The server had an error while processing your request. Sorry about that!";
    expect(eventsOf(text).at(-2)).toStartWith("event: error\n");
    expect(eventsOf(text).at(-1)).toStartWith("event: response.failed\n");
    expect(jsonsIn(text).slice(6)).toEqual([
      {
        type: "error",
        error: { type: "a", code: "b", message, param: null },
        sequence_number: 6,
      },
      {
        type: "response.failed",
        response: {
          id: "resp_1",
          object: "response",
          status: "failed",
          output: [],
          usage: null,
          completed_at: null,
          error: { code: "b", message },
        },
        sequence_number: 7,
      },
    ]);
  });

  const ENDING = { status: "incomplete", incomplete_details: { reason: "content_filter" } };
  const REASONING = { id: "rs_1", type: "reasoning", summary: [] };
  const message = (text: string, annotations: readonly unknown[]) => ({
    id: "msg_1",
    type: "message",
    role: "assistant",
    status: "incomplete",
    content: [{ type: "output_text", annotations, text }],
  });

  test("a filter ends the text where it is, and the response says so at its end", () => {
    const { text, pieces } = edited(RESPONSE_EDITS, RESPONSE, "filter@event=8");
    const said = message("sunny", [{ type: "url_citation" }]);
    const at = { item_id: "msg_1", output_index: 1, content_index: 0 };
    const told = jsonsIn(text);
    expect(text).toStartWith(eventsOf(RESPONSE).slice(0, 8).join(""));
    expect(pieces.slice(8, 15).join("")).toBe("");
    expect(told.map(({ sequence_number }) => sequence_number)).toEqual(
      Array.from({ length: 12 }, (_, i) => i),
    );
    expect(told.slice(8)).toEqual([
      { type: "response.output_text.done", ...at, logprobs: [], text: "sunny", sequence_number: 8 },
      { type: "response.content_part.done", ...at, part: said.content[0], sequence_number: 9 },
      { type: "response.output_item.done", output_index: 1, item: said, sequence_number: 10 },
      {
        type: "response.incomplete",
        response: {
          id: "resp_1",
          object: "response",
          ...ENDING,
          completed_at: null,
          output: [REASONING, said],
          usage: { input_tokens: 3, output_tokens: 2 },
        },
        sequence_number: 11,
      },
    ]);
    for (const event of eventsOf(text)) {
      expect(event).toStartWith(`event: ${String(jsonsIn(event)[0]!["type"])}\n`);
    }
  });

  test("a filter ends a call where it is", () => {
    const cut = RESPONSE.replace('"delta":"{}"', '"delta":"{\\"a"');
    const { text } = edited(RESPONSE_EDITS, cut, "filter@event=13");
    const call = {
      id: "fc_1",
      type: "function_call",
      status: "incomplete",
      call_id: "a",
      name: "f",
    };
    expect(jsonsIn(text).slice(13, 15)).toEqual([
      {
        type: "response.function_call_arguments.done",
        arguments: '{"a',
        item_id: "fc_1",
        output_index: 2,
        sequence_number: 13,
      },
      {
        type: "response.output_item.done",
        output_index: 2,
        item: { ...call, arguments: '{"a' },
        sequence_number: 14,
      },
    ]);
    expect(jsonsIn(text).at(-1)).toMatchObject({ response: { output: [{}, {}, call] } });
  });
});

test("what nests deeper than anything that is read stays as it is", () => {
  const deep = `data: {"choices":[{"index":0,"deep":${"[".repeat(5000)}${"]".repeat(5000)}}]}\n\n`;
  for (const fault of ["index-gap", "no-finish", "malformed@event=1"]) {
    const { text, hasHappened } = edited(CHAT_EDITS, deep, fault);
    expect([text, hasHappened]).toEqual([deep, false]);
  }
});

test("the reason for the end that is told beside the last text is taken away, too", () => {
  const stream = COMPLETION.replace(
    `"ny","index":0,"logprobs":null,${NO_FINISH}`,
    `"ny","index":0,"logprobs":null,"finish_reason":"length"`,
  );
  const { text } = edited(COMPLETION_EDITS, stream, "no-finish");
  expect(text).not.toContain("length");
});
