import { describe, expect, test } from "bun:test";
import type { Step } from "../../../src/core/answer.ts";
import { AppError } from "../../../src/core/errors.ts";
import { readAnswer, readError } from "../../../src/dialects/anthropic_messages/read_answer.ts";

const LIMITS = { section: "llm", event_max_bytes: 16_777_216 };

function event(value: { readonly type: string }): string {
  return `event: ${value.type}\ndata: ${JSON.stringify(value)}   \n\n`;
}

const START = {
  type: "message_start",
  message: {
    id: "msg_1",
    type: "message",
    content: [],
    usage: {
      input_tokens: 9,
      cache_creation_input_tokens: 6,
      cache_read_input_tokens: 5,
      output_tokens: 1,
    },
  },
};
const begin = (index: number, content_block: unknown) => ({
  type: "content_block_start",
  index,
  content_block,
});
const delta = (index: number, delta: unknown) => ({ type: "content_block_delta", index, delta });
const stop = (index: number) => ({ type: "content_block_stop", index });
const last = (
  stop_reason: string,
  usage: unknown = { output_tokens: 7 },
  stop_sequence: unknown = null,
) => ({
  type: "message_delta",
  delta: { stop_reason, stop_sequence },
  usage,
});
const STOP = { type: "message_stop" };
const PING = { type: "ping" };

const text = (text: string): Step => ({ kind: "delta", choice: 0, block: "text", text });
const thought = (text: string): Step => ({ kind: "delta", choice: 0, block: "reasoning", text });
const end = (reason: string, more = {}) => ({ kind: "end", choice: 0, reason, ...more }) as Step;
const call = (index: number, id: string, name = "wetter"): Step => ({
  kind: "call",
  choice: 0,
  index,
  id,
  name,
});
const json = (index: number, text: string): Step => ({ kind: "arguments", choice: 0, index, text });
const USAGE: Step = {
  kind: "usage",
  usage: { promptTokens: 20, completionTokens: 7, cachedTokens: 5, cacheWriteTokens: 6 },
};

/** What a reader makes of `pieces`. */
function read(pieces: readonly Uint8Array[]): Step[] {
  const reader = readAnswer(undefined, LIMITS);
  const steps: Step[] = [];
  for (const piece of pieces) {
    steps.push(...reader.feed(piece));
    if (reader.isDone) break;
  }
  steps.push(...reader.end());
  return joined(steps);
}

/** Neighbouring pieces of one text as one: how a stream is cut changes nothing else. */
function joined(steps: readonly Step[]): Step[] {
  const all: Step[] = [];
  for (const step of steps) {
    const before = all.at(-1);
    if (step.kind === "delta" && before?.kind === "delta" && before.block === step.block) {
      all[all.length - 1] = { ...before, text: before.text + step.text };
    } else if (step.kind === "arguments" && before?.kind === "arguments") {
      all[all.length - 1] = { ...before, text: before.text + step.text };
    } else all.push(step);
  }
  return all;
}

const STREAMS: readonly [string, readonly { readonly type: string }[], readonly Step[]][] = [
  ["a text", [
    START,
    begin(0, { type: "text", text: "" }),
    PING,
    delta(0, { type: "text_delta", text: "你好" }),
    delta(0, { type: "text_delta", text: " 🌊" }),
    stop(0),
    last("end_turn"),
    STOP,
  ], [text("你好 🌊"), end("stop"), USAGE]],
  ["thinking and its signature", [
    START,
    begin(0, { type: "thinking", thinking: "", signature: "" }),
    delta(0, { type: "thinking_delta", thinking: "hm" }),
    delta(0, { type: "signature_delta", signature: "c2ln" }),
    stop(0),
    begin(1, { type: "text", text: "" }),
    delta(1, { type: "text_delta", text: "a" }),
    stop(1),
    last("max_tokens", { output_tokens: 7, output_tokens_details: { thinking_tokens: 3 } }),
    STOP,
  ], [
    thought("hm"),
    { kind: "signature", choice: 0, text: "c2ln" },
    text("a"),
    end("length"),
    { kind: "usage", usage: { ...USAGE.usage, reasoningTokens: 3 } },
  ]],
  ["thinking that nobody may read", [
    START,
    begin(0, { type: "redacted_thinking", data: "x" }),
    stop(0),
    last("end_turn"),
    STOP,
  ], [thought(""), end("stop"), USAGE]],
  ["calls", [
    START,
    begin(0, { type: "tool_use", id: "toolu_1", name: "wetter", input: {} }),
    delta(0, { type: "input_json_delta", partial_json: "" }),
    delta(0, { type: "input_json_delta", partial_json: '{"ort":' }),
    delta(0, { type: "input_json_delta", partial_json: '"杭州"}' }),
    stop(0),
    begin(1, { type: "tool_use", id: "toolu_2", name: "zeit", input: {} }),
    stop(1),
    begin(2, { type: "tool_use", id: "toolu_3", name: "zeit", input: { a: 1 } }),
    stop(2),
    last("tool_use"),
    STOP,
  ], [
    call(0, "toolu_1"),
    json(0, '{"ort":"杭州"}'),
    call(1, "toolu_2", "zeit"),
    json(1, "{}"),
    call(2, "toolu_3", "zeit"),
    json(2, '{"a":1}'),
    end("tool_calls"),
    USAGE,
  ]],
  ["what Anthropic's own tools found", [
    START,
    begin(0, { type: "server_tool_use", id: "srvtoolu_1", name: "web_search", input: {} }),
    delta(0, { type: "input_json_delta", partial_json: '{"query":"x"}' }),
    stop(0),
    begin(1, { type: "web_search_tool_result", tool_use_id: "srvtoolu_1", content: [] }),
    stop(1),
    begin(2, { type: "text", text: "" }),
    delta(2, { type: "text_delta", text: "found" }),
    delta(2, {
      type: "citations_delta",
      citation: { type: "web_search_result_location", url: "https://x", title: "X" },
    }),
    delta(2, { type: "citations_delta", citation: { type: "char_location", document_index: 0 } }),
    stop(2),
    last("end_turn"),
    STOP,
  ], [
    text("found"),
    {
      kind: "citation",
      choice: 0,
      citation: { url: "https://x", title: "X", startChars: 0, endChars: 5 },
    },
    end("stop"),
    USAGE,
  ]],
  ["the stop sequence", [
    START,
    begin(0, { type: "text", text: "a" }),
    stop(0),
    last("stop_sequence", { output_tokens: 7 }, "水"),
    STOP,
  ], [text("a"), end("stop", { stopSequence: "水" }), USAGE]],
  ["a refusal, sums that changed, and what later versions bring", [
    START,
    { type: "novelty" },
    begin(0, { type: "text", text: "" }),
    delta(0, { type: "novelty_delta" }),
    delta(0, { type: "text_delta", text: "no" }),
    stop(0),
    last("refusal", { input_tokens: 1, cache_read_input_tokens: null, output_tokens: 2 }),
    STOP,
  ], [text("no"), end("content_filter"), {
    kind: "usage",
    usage: { promptTokens: 12, completionTokens: 2, cachedTokens: 5, cacheWriteTokens: 6 },
  }]],
];

describe("readAnswer()", () => {
  for (const [name, events, wanted] of STREAMS) {
    test(`reads ${name}, cut at every byte`, () => {
      const bytes = Buffer.from(events.map(event).join(""));
      expect(read([bytes])).toEqual([...wanted]);
      expect(read([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual([...wanted]);
      for (let at = 1; at < bytes.length; at++) {
        expect(read([bytes.subarray(0, at), bytes.subarray(at)])).toEqual([...wanted]);
      }
    });

    test(`reads ${name}: cut short behind any event it is broken`, () => {
      for (let count = 0; count < events.length; count++) {
        const bytes = Buffer.from(events.slice(0, count).map(event).join(""));
        expect(() => read([bytes]), `behind ${count} events`).toThrow(
          expect.objectContaining({ code: "upstream_broken" }),
        );
      }
    });
  }

  test("reads a message in one piece", () => {
    const message = {
      id: "msg_1",
      type: "message",
      content: [
        { type: "thinking", thinking: "hm", signature: "c2ln" },
        { type: "text", text: "水" },
        { type: "tool_use", id: "toolu_1", name: "wetter", input: { ort: "杭州" } },
        { type: "tool_use", id: "toolu_2", name: "wetter", input: {} },
      ],
      stop_reason: "tool_use",
      stop_sequence: null,
      usage: { ...START.message.usage, output_tokens: 7 },
    };
    const bytes = Buffer.from(JSON.stringify(message));
    const wanted: Step[] = [
      thought("hm"),
      { kind: "signature", choice: 0, text: "c2ln" },
      text("水"),
      call(0, "toolu_1"),
      json(0, '{"ort":"杭州"}'),
      call(1, "toolu_2"),
      json(1, "{}"),
      end("tool_calls"),
      USAGE,
    ];
    expect(read([bytes])).toEqual(wanted);
    expect(read([bytes.subarray(0, 7), bytes.subarray(7)])).toEqual(wanted);
    expect(() => read([bytes.subarray(0, -1)])).toThrow("no JSON");
    expect(() => read([Buffer.from("{}")])).toThrow("without finishing it");
  });

  const ERRORS: readonly [string, string, number, string][] = [
    [
      "an error",
      event(
        { type: "error", error: { type: "overloaded_error", message: "Overloaded 忙" } } as never,
      ),
      529,
      "Overloaded 忙",
    ],
    [
      "one of another kind",
      event({ type: "error", error: { type: "api_error", message: "x" } } as never),
      502,
      "x",
    ],
    ["one without an object", "event: error\ndata: gone\n\n", 502, "gone"],
    [
      "one without a line for its name",
      'data: {"type":"error","error":{"message":"y"}}\n\n',
      502,
      "y",
    ],
    ["no JSON", "event: message_start\ndata: {\n\n", 502, "no JSON"],
    ["no events", "<html>", 502, "no stream of events"],
  ];
  for (const [name, stream, status, message] of ERRORS) {
    test(`tells of ${name}, behind the steps before it`, () => {
      const reader = readAnswer(undefined, LIMITS);
      const said = event(START) + event(delta(0, { type: "text_delta", text: "a" }));
      if (stream !== "<html>") {
        expect(reader.feed(Buffer.from(said + stream))).toEqual([text("a")]);
      }
      let error: unknown;
      try {
        if (stream === "<html>") reader.feed(Buffer.from(stream));
        else reader.feed(new Uint8Array());
        reader.end();
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(AppError);
      const { code, status: told, message: sentence } = error as AppError;
      expect([code, told]).toEqual(["upstream_broken", status]);
      expect(sentence).toContain(message);
    });
  }
});

describe("readError()", () => {
  const CASES: readonly [string, string][] = [
    ['{"type":"error","error":{"type":"x","message":"nein 不行"}}', "nein 不行"],
    ['{"error":"no"}', "no"],
    ["<html>", "<html>"],
    ["", "The upstream refused with the status 429, and said no more"],
  ];
  for (const [body, message] of CASES) {
    test(`${body} says ${message}`, () => {
      const error = readError(429, body);
      expect([error.code, error.status, error.message]).toEqual(["upstream_refused", 429, message]);
    });
  }
});
