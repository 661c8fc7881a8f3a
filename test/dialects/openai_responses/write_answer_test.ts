import { describe, expect, test } from "bun:test";
import type { Step, TimedStep, Usage } from "../../../src/core/answer.ts";
import { layScript, type StampTexts, stampWhole } from "../../../src/core/frames.ts";
import { Gathering } from "../../../src/core/gathering.ts";
import { Stamps, stampTexts } from "../../../src/core/stamp.ts";
import { parseResponsesRequest } from "../../../src/dialects/openai_responses/request.ts";
import { ResponsesLayout } from "../../../src/dialects/openai_responses/write_answer.ts";
import { seeded } from "../../seeded.ts";
import { brokenRules, eventsOf } from "./event_rules.ts";

const random = seeded(7);
const stamps = new Stamps(() => 1_776_481_268, (target) => {
  for (let i = 0; i < target.length; i++) target[i] = random() * 256;
}).withResponseIds();

function layoutOf(body: object = {}): ResponsesLayout {
  return new ResponsesLayout(
    parseResponsesRequest({ model: "gpt-4o-mini", input: "hi", ...body }, "live", ""),
  );
}

function spoken(layout: ResponsesLayout, steps: readonly Step[]): string {
  const writer = layout.writer(stampTexts(stamps.own(3)));
  return steps.map((step) => writer.step(step)).join("") + writer.close();
}

function whole(layout: ResponsesLayout, steps: readonly Step[]): string {
  const said = new Gathering();
  for (const step of steps) said.add(step);
  return layout.whole(said, stampTexts(stamps.own(3)));
}

function delta(block: "text" | "reasoning" | "refusal", text: string): Step {
  return { kind: "delta", choice: 0, block, text };
}

function call(index: number, name: string, ...pieces: readonly string[]): Step[] {
  return [
    { kind: "call", choice: 0, index, id: "", name },
    ...pieces.map((text) => ({ kind: "arguments", choice: 0, index, text } as const)),
  ];
}

function end(reason: "stop" | "length" | "content_filter" | "tool_calls" = "stop"): Step[] {
  const usage: Usage = { promptTokens: 9, completionTokens: 7, reasoningTokens: 3 };
  return [{ kind: "end", choice: 0, reason }, { kind: "usage", usage }];
}

const CITATION: Step = {
  kind: "citation",
  choice: 0,
  citation: { url: "https://a.example/?q=水", title: "水", startChars: 0, endChars: 2 },
};
const TEXTS = [delta("text", "你好"), delta("text", ' "🌊"\n'), delta("text", "0123456789abcdef")];
const THOUGHTS = [delta("reasoning", "let me"), delta("reasoning", " see")];

const ANSWERS: Readonly<Record<string, readonly Step[]>> = {
  "a text": [...TEXTS, ...end()],
  "nothing": end(),
  "a text that is cut": [...TEXTS, ...end("length")],
  "a text that is filtered": [...TEXTS, ...end("content_filter")],
  "a refusal": [delta("refusal", "I"), delta("refusal", " will not"), ...end()],
  "a text and a refusal": [...TEXTS, delta("refusal", "no"), ...end()],
  "a text with its sources": [...TEXTS, CITATION, CITATION, ...end()],
  "thoughts in words": [...THOUGHTS, ...TEXTS, ...end()],
  "thoughts without words": [delta("reasoning", ""), ...TEXTS, ...end()],
  "proven thoughts": [
    delta("reasoning", ""),
    { kind: "signature", choice: 0, text: "gAAAAAB-of" },
    { kind: "signature", choice: 0, text: "-its-own" },
    ...call(0, "f", "{", "}"),
    ...end("tool_calls"),
  ],
  "a call": [...call(0, "wetter", '{"ort":', '"杭州"}'), ...end("tool_calls")],
  "calls side by side": [
    ...call(0, "a", "{}"),
    ...call(1, "b", '{"x":', "1}"),
    ...end("tool_calls"),
  ],
  "thoughts, a comment and calls": [
    delta("reasoning", ""),
    ...TEXTS,
    ...call(0, "a", "{}"),
    ...call(1, "b", "{}"),
    ...end("tool_calls"),
  ],
  "a custom call": [
    { kind: "call", choice: 0, index: 0, id: "call_x", name: "patch", tool: "custom" },
    { kind: "arguments", choice: 0, index: 0, text: "*** Begin" },
    ...end("tool_calls"),
  ],
};

const REQUESTS: Readonly<Record<string, object>> = {
  "with nothing asked": {},
  "of a newest model": { model: "gpt-5.5", include: ["reasoning.encrypted_content"] },
  "of a reasoning model that is shown": { model: "gpt-5", reasoning: { summary: "auto" } },
  "with tools and a schema": {
    tools: [{ type: "function", name: "f", parameters: { type: "object" } }, {
      type: "web_search",
    }],
    text: { format: { type: "json_schema", name: "n", schema: { type: "object" } } },
    instructions: 'say "水" \\ "sequence_number":7',
    metadata: { a: "b" },
    temperature: 1,
    service_tier: "flex",
  },
};

describe("a stream keeps the rules of all streams", () => {
  for (const [request, body] of Object.entries(REQUESTS)) {
    for (const [answer, steps] of Object.entries(ANSWERS)) {
      test(`${answer} ${request}`, () => {
        expect(brokenRules(spoken(layoutOf(body), steps))).toEqual([]);
      });
    }
  }
  test("without pads", () => {
    const stream = spoken(layoutOf({ stream_options: { include_obfuscation: false } }), [
      ...TEXTS,
      ...end(),
    ]);
    expect(brokenRules(stream, false)).toEqual([]);
  });
});

describe("laid frames are what the writer says", () => {
  for (const [answer, steps] of Object.entries(ANSWERS)) {
    test(answer, () => {
      const layout = layoutOf();
      const timed = steps.filter(({ kind }) => kind !== "usage")
        .map((step): TimedStep => ({ ...step, afterMs: 1 }));
      const { usage } = steps.find((step) => step.kind === "usage")!;
      const frames = layScript({ name: "s", steps: timed }, layout, usage);
      const own = stamps.own(3);
      stampWhole(frames, own);
      const writer = layout.writer(stampTexts(own));
      const said = steps.map((step) => writer.step(step)).join("") + writer.close();
      expect(Buffer.from(frames.bytes).toString()).toBe(said);
      // What begins an answer does not wait for its first word.
      expect(frames.dueMs[0]).toBe(0);
      expect(Buffer.from(frames.bytes).toString("utf8", 0, frames.ends[0])).toContain(
        "in_progress",
      );
    });
  }
});

describe("an answer in one piece says what its stream says", () => {
  for (const [answer, steps] of Object.entries(ANSWERS)) {
    test(answer, () => {
      const layout = layoutOf({ model: "gpt-5.5" });
      const last = eventsOf(spoken(layout, steps)).at(-1)!["response"] as Record<string, unknown>;
      const text = whole(layout, steps);
      const { billing, ...told } = JSON.parse(text);
      expect(billing).toEqual({ payer: "developer" });
      const masked = (value: unknown) =>
        JSON.stringify(value).replace(/_[0-9a-zA-Z]{24,50}"/g, '"');
      if (steps.some(({ kind }) => kind === "delta") || steps.length < 3) {
        const isShown = (item: { type: string }) => item.type !== "reasoning";
        expect(masked((told.output as { type: string }[]).filter(isShown))).toBe(
          masked((last["output"] as { type: string }[]).filter(isShown)),
        );
      }
      expect(told.status).toBe(last["status"] as string);
      expect(text).toBe(
        JSON.stringify(JSON.parse(text), null, 2).replaceAll(
          /"(temperature|frequency_penalty|presence_penalty)": (\d)(?=,)/g,
          '"$1": $2.0',
        ),
      );
    });
  }
});

describe("what a response says again", () => {
  const response = (body: object) => JSON.parse(whole(layoutOf(body), [...TEXTS, ...end()]));
  const rows: readonly (readonly [body: object, told: object])[] = [
    [{}, {
      model: "gpt-4o-mini-2024-07-18",
      reasoning: { context: null, effort: null, summary: null },
      prompt_cache_retention: "in_memory",
      service_tier: "default",
      store: true,
      tool_choice: "auto",
      tools: [],
      truncation: "disabled",
      text: { format: { type: "text" }, verbosity: "medium" },
      user: null,
      metadata: {},
      usage: {
        input_tokens: 9,
        input_tokens_details: { cache_write_tokens: 0, cached_tokens: 0 },
        output_tokens: 7,
        output_tokens_details: { reasoning_tokens: 3 },
        total_tokens: 16,
      },
    }],
    [{ model: "gpt-5" }, {
      reasoning: { context: "current_turn", effort: "medium", mode: "standard", summary: null },
      prompt_cache_retention: "24h",
      top_p: 1,
    }],
    [{ model: "gpt-5.2" }, {
      reasoning: { context: "current_turn", effort: "none", mode: "standard", summary: null },
      top_p: 0.98,
    }],
    [{ model: "o3", reasoning: { summary: "auto", effort: "high" } }, {
      reasoning: {
        context: "current_turn",
        effort: "high",
        mode: "standard",
        summary: "detailed",
      },
    }],
    [{ model: "gpt-5.5" }, {
      reasoning: { context: "current_turn", effort: "medium", mode: "standard", summary: null },
    }],
    [{ tools: [{ type: "function", name: "f", parameters: { type: "object", properties: {} } }] }, {
      tools: [{
        type: "function",
        description: null,
        name: "f",
        output_schema: null,
        parameters: { type: "object", properties: {}, additionalProperties: false },
        strict: true,
      }],
    }],
    [{
      metadata: { k: "水" },
      user: "u",
      store: false,
      service_tier: "flex",
      max_output_tokens: 99,
      prompt_cache_options: { ttl: "30m" },
    }, {
      metadata: { k: "水" },
      prompt_cache_options: { ttl: "30m" },
      user: "u",
      store: false,
      service_tier: "flex",
      max_output_tokens: 99,
    }],
  ];
  for (const [body, told] of rows) {
    test(JSON.stringify(body), () => expect(response(body)).toMatchObject(told));
  }
  test("moderation, once there is an answer", () => {
    const result = { isFlagged: true, scores: { hate: 0.9, violence: 0 }, flagged: ["hate"] };
    const moderation = { model: "omni", input: { ...result, isFlagged: false }, output: result };
    const steps: Step[] = [...TEXTS, { kind: "moderation", choice: 0, moderation }, ...end()];
    const told = (flagged: boolean) => ({
      type: "moderation_result",
      categories: { hate: true, violence: false },
      category_applied_input_types: { hate: ["text"], violence: ["text"] },
      category_scores: { hate: 0.9, violence: 0 },
      flagged,
      model: "omni",
    });
    const both = { input: told(false), output: told(true) };
    expect(JSON.parse(whole(layoutOf(), steps)).moderation).toEqual(both);
    const events = eventsOf(spoken(layoutOf(), steps));
    const objects = events.flatMap(({ response }) => response === undefined ? [] : [response]);
    expect(objects.map((object) => (object as typeof moderation & object)["moderation" as never]))
      .toEqual([null, null, both] as never[]);
  });
  test("numbers keep their form", () => {
    const text = whole(layoutOf({ temperature: 0, top_p: 0.5 }), [...TEXTS, ...end()]);
    expect(text).toContain('"temperature": 0.0,');
    expect(text).toContain('"top_p": 0.5,');
    expect(text.endsWith("}")).toBe(true);
  });
  test("a key tells what an answer depends on, and nothing else", () => {
    const key = (body: object) => layoutOf(body).key;
    expect(key({ input: "other", client_metadata: { a: "1" }, stream: true })).toBe(key({}));
    for (
      const body of [
        { model: "gpt-4o" },
        { instructions: "x" },
        { instructions: "x".repeat(500) },
        { instructions: "x".repeat(501) },
        { reasoning: { summary: "auto" } },
        { include: ["reasoning.encrypted_content"] },
        { stream_options: { include_obfuscation: false } },
      ]
    ) expect(key(body)).not.toBe(key({}));
    expect(key({ instructions: "x".repeat(500) })).not.toBe(key({ instructions: "x".repeat(501) }));
    expect(key({ instructions: "x".repeat(5000) }).length).toBeLessThan(200);
  });
});

describe("steps that come as they come", () => {
  const typesOf = (steps: readonly Step[], body: object = {}) =>
    eventsOf(spoken(layoutOf(body), steps)).map(({ type }) => type.replace("response.", ""));

  test("reasoning is shown in words only where they were asked for", () => {
    expect(typesOf([...THOUGHTS, ...end()])).not.toContain("reasoning_summary_text.delta");
    expect(typesOf([...THOUGHTS, ...end()])).toContain("output_item.done");
    expect(typesOf([...THOUGHTS, ...end()], { reasoning: { summary: "concise" } })).toContain(
      "reasoning_summary_text.delta",
    );
  });

  test("calls whose arguments are mixed are kept apart", () => {
    const [a, ...aRest] = call(0, "a", '{"x":', "1}");
    const [b, ...bRest] = call(1, "b", '{"y":', "2}");
    const steps = [a!, b!, aRest[0]!, bRest[0]!, aRest[1]!, bRest[1]!, ...end("tool_calls")];
    const { output } = eventsOf(spoken(layoutOf(), steps)).at(-1)!["response"] as {
      readonly output: readonly { readonly arguments: string }[];
    };
    expect(output.map((item) => item.arguments)).toEqual(['{"x":1}', '{"y":2}']);
  });

  test("a finished call that goes on is an error, and not half of one", () => {
    const steps = [...call(0, "a", "{}"), ...call(1, "b"), ...call(0, "a", "{}").slice(1)];
    expect(() => spoken(layoutOf(), steps)).toThrow("went on with a call");
  });

  test("a custom tool that an upstream knows as a function comes back as text", () => {
    const tools = [{ type: "custom", name: "patch" }];
    const steps = [...call(0, "patch", '{"input":"*** Be', 'gin\\n水"}'), ...end("tool_calls")];
    const stream = spoken(layoutOf({ tools }), steps);
    expect(brokenRules(stream)).toEqual([]);
    expect(stream).toContain('"input":"*** Begin\\n水"');
  });

  test("logprobs are told where they were asked for", () => {
    const step: Step = {
      ...delta("text", "水") as Extract<Step, { kind: "delta" }>,
      logprobs: [{ token: "水", logprob: -0.5, top: [{ token: "a", logprob: -2 }] }],
    };
    const told = [{
      token: "水",
      bytes: [230, 176, 180],
      logprob: -0.5,
      top_logprobs: [{ token: "a", bytes: [97], logprob: -2 }],
    }];
    const include = ["message.output_text.logprobs"];
    const events = eventsOf(spoken(layoutOf({ include }), [step, ...end()]));
    expect(events.find(({ type }) => type.endsWith("output_text.delta"))!["logprobs"])
      .toEqual(told);
    expect(events.find(({ type }) => type.endsWith("output_text.done"))!["logprobs"]).toEqual(told);
    expect(spoken(layoutOf(), [step, ...end()])).not.toContain("-0.5");
  });

  test("ids are made where nobody gave any, and kept where somebody did", () => {
    const given: Step = { kind: "call", choice: 0, index: 0, id: "call_mine", name: "a" };
    expect(spoken(layoutOf(), [given, ...end()])).toContain('"call_id":"call_mine"');
    expect(spoken(layoutOf(), [...call(0, "a", "{}"), ...end()])).toMatch(
      /"call_id":"call_[A-Za-z0-9]{24}"/,
    );
  });
});

test("an answer without calls needs two ids", () => {
  const text = layScript({ name: "s", steps: [{ ...TEXTS[0]!, afterMs: 0 }] }, layoutOf());
  expect(text.idCount).toBe(2);
});

const ANY: StampTexts = ["1776481268", "0".repeat(26), "1".repeat(14), "a".repeat(22)];
test("a response of a whole that was never told ends as it is", () => {
  expect(layoutOf().writer(ANY).close()).toContain("response.completed");
});
