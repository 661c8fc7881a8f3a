import { describe, expect, test } from "bun:test";
import type { Step } from "../../../src/core/answer.ts";
import { Gathering } from "../../../src/core/gathering.ts";
import { Stamps, stampTexts } from "../../../src/core/stamp.ts";
import { readAnswer } from "../../../src/dialects/openai_responses/read_answer.ts";
import { parseResponsesRequest } from "../../../src/dialects/openai_responses/request.ts";
import { ResponsesLayout } from "../../../src/dialects/openai_responses/write_answer.ts";

const LIMITS = { section: "llm", event_max_bytes: 16_777_216 };

/** What `bytes` say when they come in pieces of `size` bytes. */
function read(text: string, size = Infinity): Step[] {
  const bytes = Buffer.from(text);
  const reader = readAnswer(undefined, LIMITS);
  const steps: Step[] = [];
  for (let at = 0; at < bytes.length && !reader.isDone; at += size) {
    steps.push(...reader.feed(bytes.subarray(at, Math.min(bytes.length, at + size))));
  }
  steps.push(...reader.feed(new Uint8Array()), ...reader.end());
  return steps;
}

/** What is said, whatever it came in. */
function said(steps: readonly Step[]) {
  const gathering = new Gathering();
  for (const step of steps) gathering.add(step);
  return { ...gathering };
}

function event(type: string, fields: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
}

const DELTA = (text: string) =>
  event("response.output_text.delta", { output_index: 0, item_id: "m", delta: text });
const USAGE = {
  input_tokens: 9,
  input_tokens_details: { cached_tokens: 4 },
  output_tokens: 7,
  output_tokens_details: { reasoning_tokens: 5 },
  total_tokens: 16,
};
const COMPLETED = event("response.completed", { response: { status: "completed", usage: USAGE } });
const CALL = { id: "fc_1", type: "function_call", call_id: "call_1", name: "wetter" };

/** Everything that weir itself says, as an upstream. */
const SAID: readonly Step[] = [
  { kind: "delta", choice: 0, block: "reasoning", text: "let me" },
  { kind: "signature", choice: 0, text: "gAAA" },
  { kind: "delta", choice: 0, block: "text", text: "你好" },
  { kind: "delta", choice: 0, block: "text", text: ' "🌊"' },
  {
    kind: "citation",
    choice: 0,
    citation: { url: "https://a.example", title: "水", startChars: 0, endChars: 2 },
  },
  { kind: "call", choice: 0, index: 0, id: "call_1", name: "a" },
  { kind: "arguments", choice: 0, index: 0, text: '{"ort":"杭' },
  { kind: "arguments", choice: 0, index: 0, text: '州"}' },
  { kind: "call", choice: 0, index: 1, id: "call_2", name: "b", tool: "custom" },
  { kind: "arguments", choice: 0, index: 1, text: "*** Begin" },
  { kind: "end", choice: 0, reason: "tool_calls" },
  {
    kind: "usage",
    usage: {
      promptTokens: 9,
      completionTokens: 7,
      cachedTokens: 0,
      cacheWriteTokens: 0,
      reasoningTokens: 3,
    },
  },
];
const layout = new ResponsesLayout(
  parseResponsesRequest(
    {
      model: "gpt-5",
      input: "hi",
      reasoning: { summary: "auto" },
      include: ["reasoning.encrypted_content"],
    },
    "live",
    "",
  ),
);
const stamps = stampTexts(
  new Stamps(() => 1_776_481_268, (target) => void target.fill(9)).withResponseIds().own(3),
);

describe("what weir writes as a response it reads as it was said", () => {
  const writer = layout.writer(stamps);
  const stream = SAID.map((step) => writer.step(step)).join("") + writer.close();
  const meant = said(SAID);
  test("a stream, cut anywhere", () => {
    for (const size of [Infinity, 1, 5, 7, 64]) expect(said(read(stream, size))).toEqual(meant);
  });
  test("a stream that breaks off anywhere before its end is none", () => {
    const bytes = Buffer.from(stream);
    const end = stream.lastIndexOf("event: response.completed");
    const from = Buffer.byteLength(stream.slice(0, end));
    for (let at = 0; at < from; at += 13) {
      const reader = readAnswer(undefined, LIMITS);
      reader.feed(bytes.subarray(0, at));
      expect(() => reader.end()).toThrow();
    }
  });
  test("an answer in one piece", () => {
    const text = layout.whole(meant, stamps);
    for (const size of [Infinity, 1, 7]) expect(said(read(text, size))).toEqual(meant);
  });
});

describe("steps", () => {
  const rows: readonly (readonly [name: string, stream: string, steps: readonly object[]])[] = [
    [
      "texts, whatever else there is",
      [
        event("response.created", { response: { id: "resp_1" } }),
        ": comment\n\n",
        event("response.web_search_call.searching", { output_index: 0 }),
        DELTA("a"),
        DELTA(""),
        DELTA("水"),
        COMPLETED,
      ].join(""),
      [
        { kind: "delta", choice: 0, block: "text", text: "a" },
        { kind: "delta", choice: 0, block: "text", text: "水" },
        { kind: "end", choice: 0, reason: "stop" },
        {
          kind: "usage",
          usage: { promptTokens: 9, completionTokens: 7, cachedTokens: 4, reasoningTokens: 5 },
        },
      ],
    ],
    [
      "a call",
      [
        event("response.output_item.added", { output_index: 1, item: { ...CALL, arguments: "" } }),
        event("response.function_call_arguments.delta", { output_index: 1, delta: "{" }),
        event("response.function_call_arguments.delta", { output_index: 1, delta: "}" }),
        event("response.function_call_arguments.done", { output_index: 1, arguments: "{}" }),
        event("response.output_item.done", { output_index: 1, item: { ...CALL, arguments: "{}" } }),
        event("response.completed", {
          response: {
            status: "completed",
            output: [{ type: "message" }, { ...CALL, arguments: "{}" }],
          },
        }),
      ].join(""),
      [
        { kind: "call", choice: 0, index: 0, id: "call_1", name: "wetter" },
        { kind: "arguments", choice: 0, index: 0, text: "{" },
        { kind: "arguments", choice: 0, index: 0, text: "}" },
        { kind: "end", choice: 0, reason: "tool_calls" },
      ],
    ],
    [
      "a call that no delta has said",
      [
        event("response.output_item.done", { output_index: 0, item: { ...CALL, arguments: "{}" } }),
        event("response.completed", { response: { output: [{ ...CALL, arguments: "{}" }] } }),
      ].join(""),
      [
        { kind: "call", choice: 0, index: 0, id: "call_1", name: "wetter" },
        { kind: "arguments", choice: 0, index: 0, text: "{}" },
        { kind: "end", choice: 0, reason: "tool_calls" },
      ],
    ],
    [
      "a text that only the end has",
      event("response.completed", {
        response: {
          output: [{ type: "message", content: [{ type: "output_text", text: "late" }] }],
        },
      }),
      [
        { kind: "delta", choice: 0, block: "text", text: "late" },
        { kind: "end", choice: 0, reason: "stop" },
      ],
    ],
    [
      "reasoning of several parts",
      [
        event("response.reasoning_summary_part.added", { output_index: 0, summary_index: 0 }),
        event("response.reasoning_summary_text.delta", { output_index: 0, delta: "a" }),
        event("response.reasoning_summary_part.added", { output_index: 0, summary_index: 1 }),
        event("response.reasoning_text.delta", { output_index: 0, delta: "b" }),
        event("response.incomplete", {
          response: { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } },
        }),
      ].join(""),
      [
        { kind: "delta", choice: 0, block: "reasoning", text: "a" },
        { kind: "delta", choice: 0, block: "reasoning", text: "\n\n" },
        { kind: "delta", choice: 0, block: "reasoning", text: "b" },
        { kind: "end", choice: 0, reason: "length" },
      ],
    ],
    [
      "a refusal, filtered",
      [
        event("response.refusal.delta", { output_index: 0, delta: "no" }),
        event("response.incomplete", {
          response: { status: "incomplete", incomplete_details: { reason: "content_filter" } },
        }),
      ].join(""),
      [
        { kind: "delta", choice: 0, block: "refusal", text: "no" },
        { kind: "end", choice: 0, reason: "content_filter" },
      ],
    ],
    ["a type that only the data tells", `data: {"type":"response.completed","response":{}}\n\n`, [
      { kind: "end", choice: 0, reason: "stop" },
    ]],
  ];
  for (const [name, stream, steps] of rows) {
    test(name, () => {
      expect(read(stream)).toEqual([...steps] as Step[]);
      expect(read(stream, 1)).toEqual([...steps] as Step[]);
    });
  }
});

describe("failures", () => {
  const rows = [
    ["a nested error", event("error", { error: { message: "out of 水", code: "x" } }), "out of 水"],
    ["a flat error", event("error", { message: "out of 水", code: "x" }), "out of 水"],
    ["an error without a type", 'data: {"error":{"message":"out of 水"}}\n\n', "out of 水"],
    [
      "a failed response",
      event("response.failed", { response: { status: "failed", error: { message: "no 水" } } }),
      "no 水",
    ],
    ["no JSON", "data: {oh\n\n", "no JSON"],
    ["no end", "", "without finishing"],
    ["an end like that of the chat API", "data: [DONE]\n\n", "without finishing"],
  ] as const;
  for (const [name, stream, message] of rows) {
    test(`${name}, behind what was said before`, () => {
      const reader = readAnswer(undefined, LIMITS);
      expect(reader.feed(Buffer.from(DELTA("水") + stream))).toHaveLength(1);
      expect(() => [reader.feed(new Uint8Array()), reader.end()]).toThrow(message);
    });
  }
  const wholes = [
    ['{"object":"response","status":"failed","error":{"message":"no 水"}}', "no 水"],
    ['{"object":"response","status":"in_progress","output":[]}', "not finished"],
    ['{"error":{"message":"no 水"}}', "no 水"],
    ['{"object":"list"}', "without finishing"],
  ] as const;
  for (const [body, message] of wholes) {
    test(body, () => expect(() => read(body)).toThrow(message));
  }
});
