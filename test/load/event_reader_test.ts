import { describe, expect, test } from "bun:test";
import { EventReader } from "../../src/load/event_reader.ts";
import { EventShapes } from "../../src/load/event_shapes.ts";
import { REMARK } from "../../src/load/remarks.ts";
import { KIND, Recording, textOf, textsOf, TOKENS } from "../../src/load/record.ts";

const { choice, role, text, reasoning, tool, finish, usage, done, error, comment, other, broken } =
  KIND;

/** Reads `body` in pieces of `pieceBytes`, as one answer. */
function readBody(
  body: string | Uint8Array,
  pieceBytes = Infinity,
  shapes = new EventShapes(),
  kind: "events" | "whole" = "events",
): { readonly recording: Recording; readonly reader: EventReader } {
  const bytes = Buffer.from(body as string);
  const recording = new Recording();
  const reader = new EventReader(shapes);
  reader.begin(recording, kind);
  const step = Math.min(pieceBytes, Math.max(1, bytes.length));
  for (let at = 0; at < bytes.length; at += step) {
    const to = Math.min(bytes.length, at + step);
    recording.read(at, to - at);
    reader.data(bytes, at, to);
  }
  reader.end();
  return { recording, reader };
}

function kindsOf(recording: Recording): readonly number[] {
  return [...recording.eventKinds.subarray(0, recording.events)];
}

function chunk(delta: object, rest: object = {}, more: object = {}): string {
  const choices = [{ index: 0, delta, ...rest }];
  return `data: ${JSON.stringify({ id: "chatcmpl-1", created: 5, choices, ...more })}\n\n`;
}

const CHAT = [
  chunk({ role: "assistant", content: "" }),
  chunk({ content: "Hé" }),
  ": ping\n\n",
  chunk({ content: "l\n🌊" }),
  chunk({ content: 'lo "you"' }),
  chunk({}, { finish_reason: "stop" }),
  `data: {"id":"x","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n`,
  "data: [DONE]\n\n",
].join("");
const CHAT_KINDS = [
  choice | role,
  choice | text,
  comment,
  choice | text,
  choice | text,
  choice | finish,
  usage,
  done,
];

/** name → stream → kinds of its events, and what they said. */
const STREAMS: readonly (readonly [string, string, readonly number[], string])[] = [
  ["chat", CHAT, CHAT_KINDS, 'Hél\n🌊lo "you"'],
  [
    "chat with reasoning, a tool and usage in each chunk",
    chunk({ reasoning_content: "hm" }, {}, { usage: { prompt_tokens: 1, completion_tokens: 1 } }) +
    chunk({ tool_calls: [{ index: 0, id: "c", function: { name: "f", arguments: "" } }] }) +
    chunk({ tool_calls: [{ index: 0, function: { arguments: '{"a":1}' } }] }),
    [choice | reasoning | usage, choice | tool, choice | tool],
    'hm{"a":1}',
  ],
  [
    "completions",
    'data: {"choices":[{"text":"a"}]}\n\ndata: {"choices":[{"text":"","finish_reason":"stop"}]}\n\n',
    [choice | text, choice | finish],
    "a",
  ],
  [
    "Responses",
    [
      { type: "response.created", sequence_number: 0, response: { usage: null } },
      { type: "response.output_item.added", sequence_number: 1, item: { type: "message" } },
      { type: "response.reasoning_summary_text.delta", sequence_number: 2, delta: "why" },
      { type: "response.output_text.delta", sequence_number: 3, item_id: "m", delta: "Hi" },
      { type: "response.output_text.delta", sequence_number: 14, item_id: "n", delta: " you" },
      { type: "response.function_call_arguments.delta", sequence_number: 15, delta: "{}" },
      { type: "response.output_text.done", sequence_number: 16, text: "Hi you" },
      { type: "response.completed", response: { usage: { input_tokens: 1, output_tokens: 2 } } },
    ].map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(""),
    [
      choice | role,
      choice,
      choice | reasoning,
      choice | text,
      choice | text,
      choice | tool,
      choice,
      choice | finish | done | usage,
    ],
    "whyHi you{}",
  ],
  [
    "Messages",
    [
      { type: "message_start", message: { usage: { input_tokens: 7, output_tokens: 1 } } },
      { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
      { type: "ping" },
      { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Hi" } },
      { type: "content_block_delta", index: 0, delta: { type: "thinking_delta", thinking: "m" } },
      { type: "content_block_stop", index: 0 },
      { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 9 } },
      { type: "message_stop" },
    ].map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(""),
    [
      choice | role,
      choice,
      comment,
      choice | text,
      choice | reasoning,
      choice,
      choice | finish | usage,
      done,
    ],
    "Him",
  ],
  [
    "reasoning wherever servers put it",
    ...[
      { reasoning: "a", reasoning_details: [{ type: "reasoning.text", text: "a" }] },
      { reasoning_details: [{ type: "reasoning.summary", summary: "b" }] },
      { thinking: "c" },
      { reasoning_text: "d" },
      { content: [{ type: "thinking", thinking: [{ type: "text", text: "e" }] }] },
    ].map((delta) => chunk(delta)).reduce<readonly [string, readonly number[], string]>(
      ([all, kinds], one) => [all + one, [...kinds, choice | reasoning], "abcde"],
      ["", [], ""],
    ),
  ],
  [
    "content in pieces, sounds and pictures",
    chunk({ content: [{ type: "text", text: "a" }, { type: "text", text: "b" }] }) +
    chunk({ audio: { transcript: "c", data: "AAAA" } }) + chunk({ audio: { data: "AAAB" } }) +
    chunk({ images: [{ type: "image_url" }] }),
    [choice | text, choice | text | other, choice | text | other, choice | other],
    "abc",
  ],
  ["an error that is a text", "data: error: engine dead\n\n", [error], ""],
  ["an error of vLLM's", 'data: {"object":"error","message":"dead"}\n\n', [error], ""],
  ["an error as the reason", chunk({}, { finish_reason: "error" }), [error], ""],
  ["an error", 'data: {"error":{"message":"no","code":"x"}}\n\n', [error], ""],
  ["broken JSON", 'data: {"choices":[\n\n', [error | broken], ""],
  ["any stream", "event: tick\ndata: 1\n\nid: 7\n\ndata: a\ndata: b\n\n", [other, other], ""],
];

describe("EventReader", () => {
  for (const [name, stream, kinds, said] of STREAMS) {
    for (const pieceBytes of [Infinity, 1, 7, 64]) {
      for (const end of ["\n", "\r\n", "\r"]) {
        const pieces = `in pieces of ${pieceBytes} with ${JSON.stringify(end)}`;
        test(`reads ${name} ${pieces}`, () => {
          const { recording } = readBody(stream.replaceAll("\n", end), pieceBytes);
          expect(kindsOf(recording)).toEqual([...kinds]);
          expect(textOf(recording, TOKENS)).toBe(said);
          expect(textsOf(recording, 0x7ff).join("")).toBe(said);
        });
      }
    }
  }

  test("a stream read with the shapes of another one gives the same", () => {
    const shapes = new EventShapes();
    for (const id of ["chatcmpl-1", "chatcmpl-22", 'odd\\"id']) {
      const { recording } = readBody(CHAT.replaceAll("chatcmpl-1", id), Infinity, shapes);
      expect(kindsOf(recording)).toEqual(CHAT_KINDS);
      expect(textOf(recording, text)).toBe('Hél\n🌊lo "you"');
      expect(recording.usage).toEqual({ promptTokens: 3, completionTokens: 4 });
    }
  });

  test("an event of a shape that says nothing is not one that says something", () => {
    const shapes = new EventShapes();
    const { recording } = readBody(chunk({ content: "a" }) + chunk({ content: "" }), 1e9, shapes);
    expect(kindsOf(recording)).toEqual([choice | text, choice]);
  });

  test("bytes of an event are those on the wire, up to the CR that ends it", () => {
    const { recording } = readBody("data: 1\r\n\r\ndata: 22\r\n\r\n", 5);
    expect([...recording.eventBytes.subarray(0, 2)]).toEqual([10, 12]);
    expect([...recording.eventRead.subarray(0, 2)]).toEqual([1, 4]);
    expect(recording.bodyBytes).toBe(23);
  });

  test("Anthropic's usage is put together from its two places", () => {
    const [, , , , messages] = STREAMS;
    const { recording } = readBody(messages![1]);
    expect(recording.usage).toMatchObject({ promptTokens: 7, completionTokens: 9 });
  });

  /** The end of a stream, its last block without a blank line → is it an end mark? */
  const ENDS = [
    ["data: [DONE]", true],
    ["data: [DONE]\r\n", true],
    ['event: message_stop\ndata: {"type":"message_stop"}\n', true],
    ['data: {"choices":[{"delta":{"content":"late"}}]}\n', false],
    ['data: {"cho', false],
    ["", false],
  ] as const;
  for (const [end, isMark] of ENDS) {
    test(`${JSON.stringify(end)} at the end is ${isMark ? "an" : "no"} end mark`, () => {
      const { recording } = readBody(chunk({ content: "a" }) + end, 9);
      expect(kindsOf(recording)).toEqual([choice | text, ...(isMark ? [done] : [])]);
      expect(recording.remarks).toBe(isMark ? REMARK.looseEnd : 0);
    });
  }

  test("choices are followed to their ends, learned shapes or not", () => {
    const shapes = new EventShapes();
    const one = (index: number, end: string | null) =>
      chunk({ content: "a" }, { index, finish_reason: end });
    for (const id of ["chatcmpl-1", "chatcmpl-2"]) {
      const open = (events: string) =>
        readBody(events.replaceAll("chatcmpl-1", id), 1e9, shapes).reader.openChoice;
      expect(open(one(0, null) + one(2, null) + one(0, "stop"))).toBe(2);
      expect(open(one(0, null) + one(2, "length") + one(0, "stop"))).toBe(-1);
    }
  });

  test("an error event is told", () => {
    const { reader } = readBody('data: {"error":{"message":"no","code":"x"}}\n\n');
    expect(reader.error).toBe("x: no");
  });

  /** whole answer → kinds, text */
  const WHOLE: readonly (readonly [string, object, number, string])[] = [
    [
      "chat",
      {
        choices: [{ message: { role: "assistant", content: "Hi" }, finish_reason: "stop" }],
        usage: { prompt_tokens: 1, completion_tokens: 2 },
      },
      choice | role | text | finish | usage | done,
      "Hi",
    ],
    ["embeddings", { object: "list", data: [{ embedding: [0] }] }, other | done, ""],
    ["embeddings that are none", { object: "list", data: [] }, done, ""],
    [
      "a response",
      { object: "response", output: [{ content: [{ type: "output_text", text: "Hi" }] }] },
      choice | text | finish | done,
      "Hi",
    ],
    [
      "a message",
      { type: "message", content: [{ type: "text", text: "Hi" }], stop_reason: "end_turn" },
      choice | text | finish | done,
      "Hi",
    ],
    ["a response that was cancelled", { object: "response", status: "cancelled" }, error, ""],
    ["an error", { error: { message: "no" } }, error, ""],
  ];
  for (const [name, body, kinds, said] of WHOLE) {
    test(`reads ${name} as a whole`, () => {
      const { recording } = readBody(JSON.stringify(body), 9, new EventShapes(), "whole");
      expect(kindsOf(recording)).toEqual([kinds]);
      expect(textOf(recording, TOKENS)).toBe(said);
    });
  }
});
