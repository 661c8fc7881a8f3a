import { describe, expect, test } from "bun:test";
import { LOAD_FLAGS } from "../../src/cli/load_flags.ts";
import { loadOptions } from "../../src/cli/load_options.ts";
import { makerOf } from "../../src/cli/load_requests.ts";
import type { Flags, FlagValues } from "../../src/cli/flags.ts";
import { EventReader } from "../../src/load/event_reader.ts";
import { EventShapes } from "../../src/load/event_shapes.ts";
import { Recording } from "../../src/load/record.ts";
import type { RequestMaker } from "../../src/load/run.ts";
import { WHOLE } from "../../src/load/shape/shards.ts";
import type { Stage } from "../../src/load/shape/stages.ts";
import { TokenCounters } from "../../src/sources/tokens.ts";
import { join } from "node:path";
import { makeFolder } from "../server/launch.ts";

const counter = new TokenCounters(1024 * 1024).of("gpt-4o");

function makerFor(
  words: Readonly<Record<string, readonly string[]>>,
  path: string,
  stage: Stage,
): RequestMaker {
  const flags = Object.fromEntries(
    Object.entries(LOAD_FLAGS as Flags).map(([key, flag]) => [
      key,
      flag.read(words[key] ?? [], key),
    ]),
  ) as FlagValues<typeof LOAD_FLAGS>;
  return makerOf(loadOptions("load", `http://a${path}`, flags), stage, counter, 5, WHOLE);
}

/** Asks once, and answers. Gives the body that was asked, and the wait until the next question. */
function talk(
  maker: RequestMaker,
  slot: number,
  answer: string,
  { endMs = 0, status = 200 } = {},
): readonly [asked: Readonly<Record<string, unknown>>, waitMs: number | undefined] {
  const { bytes, follower, promptTokens } = maker.next(slot, 0, slot);
  const text = Buffer.from(bytes).toString();
  const body = Buffer.from(answer);
  const recording = new Recording();
  recording.endMs = endMs;
  recording.outcome = status === 200 ? "completed" : "failed";
  if (status === 200) {
    const events = new EventReader(new EventShapes());
    events.begin(recording, answer.startsWith("{") ? "whole" : "events");
    recording.read(0, body.length);
    events.data(body, 0, body.length);
    events.end();
    // As a socket does: what it gave is its own again.
    follower?.data(body, 0, body.length);
    body.fill(0);
  }
  const asked = JSON.parse(text.slice(text.indexOf("\r\n\r\n"))) as Record<string, unknown>;
  return [{ ...asked, promptTokens }, maker.over(slot, recording)];
}

const OPEN: Stage = { kind: "open", ratePerSecond: 10 };
const sse = (...values: readonly unknown[]) =>
  values.map((value) => `data: ${JSON.stringify(value)}\r\n\r\n`).join("");
const delta = (value: unknown) => ({ choices: [{ index: 0, delta: value }] });
const call = (index: number, rest: object) => delta({ tool_calls: [{ index, ...rest }] });
const fn = (name: string, input: string) => ({ function: { name, arguments: input } });
const USER = { role: "user", content: "Hello" };

/** What is called, a path, the answer → what stands between the first question and the second. */
const CALLS: readonly (readonly [string, string, string, readonly unknown[]])[] = [
  [
    "two calls in pieces, of which one breaks off",
    "/v1/chat/completions",
    sse(
      delta({ role: "assistant", content: "Let me" }),
      call(0, { id: "t1", type: "function", ...fn("get", "") }),
      call(0, { function: { arguments: '{"a":' } }),
      call(0, { function: { arguments: "1}" } }),
      call(1, { id: "t2", type: "function", ...fn("set", '{"b"') }),
    ),
    [
      {
        role: "assistant",
        content: "Let me",
        tool_calls: [
          { id: "t1", type: "function", ...fn("get", '{"a":1}') },
          { id: "t2", type: "function", ...fn("set", "{}") },
        ],
      },
      { role: "tool", tool_call_id: "t1", content: "Done." },
      { role: "tool", tool_call_id: "t2", content: "Done." },
    ],
  ],
  [
    "a thought, a text and a call of a whole answer, without an id",
    "/v1/chat/completions",
    JSON.stringify({
      choices: [{
        index: 0,
        message: { reasoning: "hm", content: "Let me", tool_calls: [fn("get", "{}")] },
      }],
    }),
    [
      {
        role: "assistant",
        content: "Let me",
        tool_calls: [{ id: "call_0", type: "function", ...fn("get", "{}") }],
      },
      { role: "tool", tool_call_id: "call_0", content: "Done." },
    ],
  ],
  [
    "a custom tool",
    "/v1/chat/completions",
    sse(call(0, { id: "t", type: "custom", custom: { name: "sh", input: "ls" } })),
    [
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "t", type: "custom", custom: { name: "sh", input: "ls" } }],
      },
      { role: "tool", tool_call_id: "t", content: "Done." },
    ],
  ],
  [
    "a function as there were before tools",
    "/v1/chat/completions",
    sse(
      delta({ function_call: { name: "get", arguments: "" } }),
      delta({ function_call: { arguments: "{}" } }),
    ),
    [
      {
        role: "assistant",
        content: null,
        function_call: { name: "get", arguments: "{}" },
      },
      { role: "function", name: "get", content: "Done." },
    ],
  ],
  [
    "items of Responses",
    "/v1/responses",
    sse(
      { type: "response.output_text.delta", delta: "Let me" },
      { type: "response.function_call_arguments.delta", delta: "{}" },
      {
        type: "response.output_item.done",
        item: { type: "function_call", call_id: "c1", name: "get", arguments: "{}" },
      },
      {
        type: "response.output_item.done",
        item: { type: "custom_tool_call", call_id: "c2", name: "sh", input: "ls" },
      },
    ),
    [
      { role: "assistant", content: "Let me" },
      { type: "function_call", call_id: "c1", name: "get", arguments: "{}" },
      { type: "custom_tool_call", call_id: "c2", name: "sh", input: "ls" },
      { type: "function_call_output", call_id: "c1", output: "Done." },
      { type: "custom_tool_call_output", call_id: "c2", output: "Done." },
    ],
  ],
  [
    "a block of Messages",
    "/v1/messages",
    sse(
      {
        type: "content_block_start",
        index: 1,
        content_block: { type: "tool_use", id: "u", name: "get", input: {} },
      },
      {
        type: "content_block_delta",
        index: 1,
        delta: { type: "input_json_delta", partial_json: '{"a":1}' },
      },
    ),
    [
      {
        role: "assistant",
        content: [{ type: "tool_use", id: "u", name: "get", input: { a: 1 } }],
      },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "u", content: "Done." }] },
    ],
  ],
  ["no word", "/v1/chat/completions", sse(delta({ reasoning_content: "hm" })), []],
];

describe("conversationsOf()", () => {
  for (const [name, path, answer, between] of CALLS) {
    test(`a conversation goes on behind ${name}`, () => {
      const maker = makerFor({ turns: ["2"] }, path, OPEN);
      const [first, waitMs] = talk(maker, 0, answer);
      expect(waitMs).toBeCloseTo(0);
      const [second, end] = talk(maker, 0, answer);
      expect(second["messages"] ?? second["input"]).toEqual([USER, ...between, USER]);
      expect(second["promptTokens"]).toBeGreaterThan(first["promptTokens"] as number);
      expect(end).toBeUndefined();
    });
  }

  test("a conversation ends with what failed", () => {
    expect(talk(makerFor({ turns: ["2"] }, "/", OPEN), 0, "", { status: 500 })[1]).toBeUndefined();
  });
});

describe("sessions of AIPerf's traces", () => {
  const lines = [
    { timestamp: 0, session_id: "a", text_input: "one", output_length: 5, extra: { seed: 7 } },
    { timestamp: 100, session_id: "b", messages: [{ role: "user", content: "all" }] },
    { session_id: "a", delay: 700, text_input: "two" },
    { timestamp: 9000, session_id: "a", text_input: "three" },
    { timestamp: 300, input_length: 4 },
    {
      session_id: "b",
      messages: [{ role: "user", content: "all" }, { role: "user", content: "of it" }],
    },
  ];
  const file = join(makeFolder({ "t.jsonl": lines.map((one) => JSON.stringify(one)).join("\n") }));
  const words = { trace: [join(file, "t.jsonl")], speed: ["2"] };
  const answer = sse(delta({ content: "Yes" }));
  const yes = { role: "assistant", content: "Yes" };
  const user = (content: string) => ({ role: "user", content });

  test("turns follow answers, after their delay or at their time, with what was said", () => {
    const maker = makerFor(words, "/", { kind: "trace" });
    const [one, oneMs] = talk(maker, 0, answer, { endMs: 2000 });
    expect(one).toMatchObject({ messages: [user("one")], max_completion_tokens: 5, seed: 7 });
    expect(oneMs).toBe(350);
    const [two, twoMs] = talk(maker, 0, answer, { endMs: 4000 });
    expect(two["messages"]).toEqual([user("one"), yes, user("two")]);
    expect(Object.keys(two)).not.toContain("seed");
    expect(twoMs).toBe(500);
    const [three, threeMs] = talk(maker, 0, answer, { endMs: 5000 });
    expect(three["messages"]).toEqual([user("one"), yes, user("two"), yes, user("three")]);
    expect(threeMs).toBeUndefined();
  });

  test("messages that say all are asked as they are, and those of no session alone", () => {
    const maker = makerFor(words, "/", { kind: "trace" });
    maker.next(0, 0, 0);
    expect(talk(maker, 1, answer, { endMs: 50 })[1]).toBe(0);
    expect(talk(maker, 2, answer)[1]).toBeUndefined();
    expect(talk(maker, 1, answer)[0]["messages"]).toEqual([user("all"), user("of it")]);
  });

  /** An API's path → a body, what stands behind it in the next one, and where. */
  const PAYLOADS = [
    ["/v1/chat/completions", { messages: [user("S")] }, [user("S"), yes, user("next")], "messages"],
    ["/v1/messages", { messages: [user("S")] }, [user("S"), yes, user("next")], "messages"],
    ["/v1/responses", { input: "S" }, [user("S"), yes, user("next")], "input"],
    ["/v1/responses", { input: [user("S")] }, [user("S"), yes, user("next")], "input"],
    ["/v1/completions", { prompt: "S" }, "S\nYes\nnext", "prompt"],
  ] as const;
  for (const [path, payload, wanted, key] of PAYLOADS) {
    test(`an answer to ${JSON.stringify(payload)} of ${path} is gone on from with it`, () => {
      const folder = makeFolder({
        "p.jsonl": [{ timestamp: 0, session_id: "a", payload: { ...payload, model: "x" } }, {
          session_id: "a",
          text_input: "next",
        }].map((one) => JSON.stringify(one)).join("\n"),
      });
      const maker = makerFor({ trace: [join(folder, "p.jsonl")] }, path, { kind: "trace" });
      expect(talk(maker, 0, answer)[0]).toMatchObject(payload);
      const [next] = talk(maker, 0, answer);
      expect(next[key]).toEqual(wanted);
      expect(next["model"]).toBe("x");
    });
  }
});
