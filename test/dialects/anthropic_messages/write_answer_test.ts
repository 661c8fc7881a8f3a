import { describe, expect, test } from "bun:test";
import type { Step, TimedStep, Usage } from "../../../src/core/answer.ts";
import { layScript, layText, type StampTexts } from "../../../src/core/frames.ts";
import { Gathering } from "../../../src/core/gathering.ts";
import type { Thinking } from "../../../src/dialects/anthropic_messages/request.ts";
import { MessageLayout } from "../../../src/dialects/anthropic_messages/write_answer.ts";

const ID = "AbCdEfGhIjKlMnOpQrStUv";
const CALLS = "zYxWvUtSrQpOnMlKjIhG";
const STAMPS: StampTexts = ["1764300000", ID, CALLS];
const USAGE: Usage = {
  promptTokens: 20,
  completionTokens: 7,
  cachedTokens: 5,
  cacheWriteTokens: 6,
  reasoningTokens: 3,
};

const text = (text: string): Step => ({ kind: "delta", choice: 0, block: "text", text });
const thought = (text: string): Step => ({ kind: "delta", choice: 0, block: "reasoning", text });
const call = (index: number, id = ""): Step => ({
  kind: "call",
  choice: 0,
  index,
  id,
  name: "wetter",
});
const json = (index: number, text: string): Step => ({ kind: "arguments", choice: 0, index, text });
const end = (reason: "stop" | "length" | "content_filter" | "tool_calls", more = {}): Step => ({
  kind: "end",
  choice: 0,
  reason,
  ...more,
});
const usage: Step = { kind: "usage", usage: USAGE };

/** The events of `steps`, as the client parses them. */
function events(steps: readonly Step[], thinking: Thinking = "words", foretold?: Usage) {
  const writer = new MessageLayout("claude-x", thinking).writer(STAMPS, { usage: foretold });
  const stream = steps.map((step) => writer.step(step)).join("") + writer.close();
  return parsed(stream);
}

function parsed(stream: string): Record<string, unknown>[] {
  expect(stream).toEndWith("\n\n");
  return stream.slice(0, -2).split("\n\n").map((event) => {
    const match = /^event: (\w+)\ndata: (\{.*\})$/.exec(event)!;
    const value = JSON.parse(match[2]!) as Record<string, unknown>;
    expect(value["type"]).toBe(match[1]!);
    return value;
  });
}

const COUNTS = {
  input_tokens: 9,
  cache_creation_input_tokens: 6,
  cache_read_input_tokens: 5,
};
const start = (usage: unknown) => ({
  type: "message_start",
  message: {
    model: "claude-x",
    id: `msg_01${ID}`,
    type: "message",
    role: "assistant",
    content: [],
    stop_reason: null,
    stop_sequence: null,
    stop_details: null,
    usage,
  },
});
const NOTHING = {
  input_tokens: 0,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
  output_tokens: 1,
  service_tier: "standard",
  inference_geo: "not_available",
};
const PING = { type: "ping" };
const begin = (index: number, block: unknown) => ({
  type: "content_block_start",
  index,
  content_block: block,
});
const delta = (index: number, delta: unknown) => ({ type: "content_block_delta", index, delta });
const stop = (index: number) => ({ type: "content_block_stop", index });
const last = (stop_reason: string, usage: unknown, stop_sequence: string | null = null) => [
  {
    type: "message_delta",
    delta: { stop_reason, stop_sequence, stop_details: null },
    usage,
  },
  { type: "message_stop" },
];
const NO_COUNTS = {
  input_tokens: 0,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  output_tokens: 0,
};
const TOOL = (id: string) => ({
  type: "tool_use",
  id,
  name: "wetter",
  input: {},
  caller: { type: "direct" },
});

describe("MessageLayout.writer()", () => {
  const ROWS: readonly [string, readonly Step[], readonly unknown[]][] = [
    ["a text", [text("你好"), text(" 🌊"), end("stop")], [
      start(NOTHING),
      begin(0, { type: "text", text: "" }),
      PING,
      delta(0, { type: "text_delta", text: "你好" }),
      delta(0, { type: "text_delta", text: " 🌊" }),
      stop(0),
      ...last("end_turn", NO_COUNTS),
    ]],
    ["what it costs", [text("a"), end("stop"), usage], [
      start(NOTHING),
      begin(0, { type: "text", text: "" }),
      PING,
      delta(0, { type: "text_delta", text: "a" }),
      stop(0),
      ...last("end_turn", {
        ...COUNTS,
        output_tokens: 7,
        output_tokens_details: { thinking_tokens: 3 },
      }),
    ]],
    ["a thought, signed, then a text", [
      thought("hm"),
      thought(", yes"),
      { kind: "signature", choice: 0, text: "c2ln" },
      text("a"),
      end("length"),
    ], [
      start(NOTHING),
      begin(0, { type: "thinking", thinking: "", signature: "" }),
      PING,
      delta(0, { type: "thinking_delta", thinking: "hm" }),
      delta(0, { type: "thinking_delta", thinking: ", yes" }),
      delta(0, { type: "signature_delta", signature: "c2ln" }),
      stop(0),
      begin(1, { type: "text", text: "" }),
      delta(1, { type: "text_delta", text: "a" }),
      stop(1),
      ...last("max_tokens", NO_COUNTS),
    ]],
    ["a thought without words", [thought(""), text("a"), end("stop")], [
      start(NOTHING),
      begin(0, { type: "thinking", thinking: "", signature: "" }),
      PING,
      stop(0),
      begin(1, { type: "text", text: "" }),
      delta(1, { type: "text_delta", text: "a" }),
      stop(1),
      ...last("end_turn", NO_COUNTS),
    ]],
    ["a text and two calls", [
      text("I look"),
      call(0, "toolu_theirs"),
      json(0, '{"ort":'),
      json(0, '"杭州"}'),
      call(1),
      end("tool_calls"),
    ], [
      start(NOTHING),
      begin(0, { type: "text", text: "" }),
      PING,
      delta(0, { type: "text_delta", text: "I look" }),
      stop(0),
      begin(1, TOOL("toolu_theirs")),
      delta(1, { type: "input_json_delta", partial_json: "" }),
      delta(1, { type: "input_json_delta", partial_json: '{"ort":' }),
      delta(1, { type: "input_json_delta", partial_json: '"杭州"}' }),
      stop(1),
      begin(2, TOOL(`toolu_01${CALLS}01`)),
      delta(2, { type: "input_json_delta", partial_json: "" }),
      stop(2),
      ...last("tool_use", NO_COUNTS),
    ]],
    ["calls that an upstream has ended with stop", [call(0), end("stop")], [
      start(NOTHING),
      begin(0, TOOL(`toolu_01${CALLS}00`)),
      PING,
      delta(0, { type: "input_json_delta", partial_json: "" }),
      stop(0),
      ...last("tool_use", NO_COUNTS),
    ]],
    ["a stop sequence", [text("a"), end("stop", { stopSequence: "水" })], [
      start(NOTHING),
      begin(0, { type: "text", text: "" }),
      PING,
      delta(0, { type: "text_delta", text: "a" }),
      stop(0),
      ...last("stop_sequence", NO_COUNTS, "水"),
    ]],
    ["words of refusal", [
      { kind: "delta", choice: 0, block: "refusal", text: "no" },
      end("stop"),
    ], [
      start(NOTHING),
      begin(0, { type: "text", text: "" }),
      PING,
      delta(0, { type: "text_delta", text: "no" }),
      stop(0),
      ...last("refusal", NO_COUNTS),
    ]],
    ["a filter", [end("content_filter")], [start(NOTHING), ...last("refusal", NO_COUNTS)]],
    ["nothing", [text(""), end("stop")], [start(NOTHING), ...last("end_turn", NO_COUNTS)]],
    ["no other choice, and nothing it has no words for", [
      { kind: "delta", choice: 1, block: "text", text: "b" },
      { kind: "audio", choice: 0, data: "AA==", transcript: "" },
      { kind: "signature", choice: 0, text: "c2ln" },
      end("stop"),
    ], [start(NOTHING), ...last("end_turn", NO_COUNTS)]],
  ];
  for (const [name, steps, wanted] of ROWS) {
    test(`says ${name}`, () => expect(events(steps)).toEqual(wanted as Record<string, unknown>[]));
  }

  test("tells the prompt's tokens at once where they are known", () => {
    const [first] = events([end("stop")], "none", USAGE);
    expect(first).toEqual(start({
      ...COUNTS,
      cache_creation: { ephemeral_5m_input_tokens: 6, ephemeral_1h_input_tokens: 0 },
      output_tokens: 1,
      service_tier: "standard",
      inference_geo: "not_available",
    }));
  });

  test("begins behind the first thought, and shows it where that is wanted", () => {
    const steps = [thought("hm"), { kind: "signature", choice: 0, text: "c2ln" }, end("stop")];
    const blocks = (thinking: Thinking) =>
      events(steps as readonly Step[], thinking).filter(({ type }) =>
        String(type).startsWith("content_block")
      );
    expect(blocks("none")).toEqual([]);
    expect(blocks("omitted")).toEqual([
      begin(0, { type: "thinking", thinking: "", signature: "" }),
      delta(0, { type: "signature_delta", signature: "c2ln" }),
      stop(0),
    ]);
    const writer = new MessageLayout("claude-x", "none").writer(STAMPS);
    expect(writer.step(thought("hm"))).toStartWith("event: message_start\n");
  });

  test("refuses arguments of a call that is over", () => {
    expect(() => events([call(0), call(1), json(0, "{}"), end("tool_calls")])).toThrow("mixes");
  });

  test("pads each event but ping with 0 to 15 blanks, all of them about as often", () => {
    const counts = new Map<number, number>();
    const writer = new MessageLayout("claude-x", "none").writer(STAMPS);
    let stream = "";
    for (let i = 0; i < 800; i++) stream += writer.step(text("水".repeat(i % 37)));
    for (const [, blanks] of stream.matchAll(/^data: .*?( *)\}$/gm)) {
      counts.set(blanks!.length, (counts.get(blanks!.length) ?? 0) + 1);
    }
    expect([...counts.keys()].sort((a, b) => a - b)).toEqual(
      Array.from({ length: 16 }, (_, i) => i),
    );
    for (const count of counts.values()) expect(count).toBeWithin(20, 90);
    expect(stream).toContain('data: {"type": "ping"}\n\n');
  });

  test("is laid with its ids in slots", () => {
    const steps: TimedStep[] = [call(0), end("tool_calls")].map((step) => ({
      ...step,
      afterMs: 0,
    }));
    const layout = new MessageLayout("claude-x", "none");
    expect(layScript({ name: "s", steps }, layout, USAGE).idCount).toBe(2);
    const short = steps.slice(1);
    expect(layScript({ name: "t", steps: short }, layout, USAGE).idCount).toBe(1);
  });
});

describe("MessageLayout.whole()", () => {
  function whole(steps: readonly Step[], thinking: Thinking = "words") {
    const said = new Gathering();
    for (const step of steps) said.add(step);
    const layout = new MessageLayout("claude-x", thinking);
    layText(layout, (stamps) => layout.whole(said, stamps));
    return layout.whole(said, STAMPS);
  }

  test("says the same in one piece, compact and without a line end", () => {
    const steps: Step[] = [
      thought("hm"),
      { kind: "signature", choice: 0, text: "c2ln" },
      text("I look"),
      call(0),
      json(0, '{"ort":"杭州"}'),
      call(1, "toolu_theirs"),
      end("tool_calls"),
      usage,
    ];
    expect(whole(steps)).toBe(
      `{"model":"claude-x","id":"msg_01${ID}","type":"message","role":"assistant","content":[` +
        `{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"text","text":"I look"},` +
        `{"type":"tool_use","id":"toolu_01${CALLS}00","name":"wetter","input":{"ort":"杭州"},` +
        `"caller":{"type":"direct"}},{"type":"tool_use","id":"toolu_theirs","name":"wetter",` +
        `"input":{},"caller":{"type":"direct"}}],"stop_reason":"tool_use","stop_sequence":null,` +
        `"stop_details":null,"usage":{"input_tokens":9,"cache_creation_input_tokens":6,` +
        `"cache_read_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":6,` +
        `"ephemeral_1h_input_tokens":0},"output_tokens":7,"output_tokens_details":` +
        `{"thinking_tokens":3},"service_tier":"standard","inference_geo":"not_available"}}`,
    );
    expect(whole(steps, "none")).not.toContain('thinking",');
    expect(whole(steps, "omitted")).toContain('"thinking":"","signature":"c2ln"');
  });

  test("says why it ended", () => {
    const reason = (...steps: readonly Step[]) => {
      const { stop_reason, stop_sequence } = JSON.parse(whole(steps)) as Record<string, unknown>;
      return [stop_reason, stop_sequence];
    };
    expect(reason(text("a"), end("stop"))).toEqual(["end_turn", null]);
    expect(reason(end("stop", { stopSequence: "x" }))).toEqual(["stop_sequence", "x"]);
    expect(reason(text("a"), end("length"))).toEqual(["max_tokens", null]);
    expect(reason({ kind: "delta", choice: 0, block: "refusal", text: "no" }, end("stop")))
      .toEqual(["refusal", null]);
    expect(reason(call(0), end("stop"))).toEqual(["tool_use", null]);
  });

  test("refuses arguments that are no JSON, unless the limit has cut them", () => {
    expect(whole([call(0), json(0, '{"ort'), end("length")])).toContain('"input":{}');
    expect(() => whole([call(0), json(0, '{"ort'), end("tool_calls")])).toThrow("no JSON");
  });
});
