import { describe, expect, test } from "bun:test";
import { askOf, type TimedStep, type TokenLogprob } from "../../../src/core/answer.ts";
import { AppError } from "../../../src/core/errors.ts";
import { Gathering, textOfSteps } from "../../../src/core/gathering.ts";
import { EMPTY_TURN, type Turn } from "../../../src/core/turn.ts";
import { Mock, type MockOptions } from "../../../src/sources/mock/mock.ts";
import { words } from "../../../src/sources/mock/words.ts";
import { cpuMs } from "../../cpu_ms.ts";
import { TokenCounters } from "../../../src/sources/tokens.ts";

const OPTIONS: MockOptions = {
  reply: "powered by openai",
  first_token_ms: 7,
  delay_ms: 50,
  chunks: "word",
  tools: "forced",
  models: [],
};

async function ask(
  turn: Partial<Turn>,
  options: Partial<MockOptions> = {},
  cutsAfterBlank?: true,
) {
  const mock = new Mock({ ...OPTIONS, ...options }, new TokenCounters(65_536));
  const answer = await mock.answer({ ...askOf({ ...EMPTY_TURN, ...turn }), cutsAfterBlank });
  if (answer.kind !== "script") throw new Error(answer.kind);
  return answer;
}

function said(text: string, afterMs: number, choice = 0): TimedStep {
  return { kind: "delta", choice, block: "text", text, afterMs };
}

describe("words()", () => {
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ["powered by openai", ["powered", " by", " openai"], ["powered ", "by ", "openai"]],
    ["", [], []],
    ["  a\n\nb ", ["  a\n\n", "b", " "], ["  a\n\n", "b "]],
    ["   ", ["   "], ["   "]],
    ["\n a \n  b\r\n", ["\n a \n", "  b\r\n"], ["\n a \n  ", "b\r\n"]],
    ["你好，世界", ["你", "好，", "世", "界"], ["你", "好，", "世", "界"]],
    ["水 flows 🌊!", ["水", " flows", " 🌊!"], ["水 ", "flows ", "🌊!"]],
  ];
  for (const [text, before, after] of cases) {
    test(`${JSON.stringify(text)} comes in pieces that join to itself`, () => {
      expect(words(text, "before")).toEqual(before);
      expect(words(text, "after")).toEqual(after);
      expect(before.join("")).toBe(text);
      expect(after.join("")).toBe(text);
    });
  }
});

describe("Mock.answer()", () => {
  test("says one word per step, 50 ms apart, the first after first_token_ms", async () => {
    const { script } = await ask({});
    expect(script.steps).toEqual([
      said("powered", 7),
      said(" by", 50),
      said(" openai", 50),
      { kind: "end", choice: 0, reason: "stop", afterMs: 50 },
    ]);
  });

  const cuttings: readonly (readonly [string, Partial<MockOptions>, true | undefined, string])[] = [
    ["gpt-4o", {}, undefined, "powered| by| openai"],
    ["gpt-4o", {}, true, "powered |by |openai"],
    ["gpt-4o", { chunks: "token" }, undefined, "powered| by| open|ai"],
    ["gpt-4o", { chunks: "token" }, true, "powered |by |openai"],
    ["gpt-4o", { chunks: "token", reply: "深い川 🧜🏽" }, undefined, "深|い|川| 🧜|🏽"],
    ["gpt-4", { chunks: "token", reply: "深い川 🧜🏽" }, undefined, "深|い|川| 🧜|🏽"],
    [
      "gpt-4o",
      { chunks: "token", reply: "internationalisation" },
      undefined,
      "international|isation",
    ],
    [
      "gpt-4",
      { chunks: "token", reply: "internationalisation" },
      undefined,
      "international|isation",
    ],
    [
      "gpt-4o",
      { chunks: "token", reply: `${"a".repeat(70_000)} b` },
      undefined,
      `${"a".repeat(70_000)}| b`,
    ],
  ];
  for (const [model, options, cutsAfterBlank, pieces] of cuttings) {
    const { chunks = "word", reply = OPTIONS.reply } = options;
    const where = cutsAfterBlank ? "behind" : "before";
    test(`${model}, chunks: ${chunks}, ${where} blanks: ${reply.slice(0, 30)}`, async () => {
      const { script } = await ask({ model }, options, cutsAfterBlank);
      const deltas = script.steps.flatMap((step) => step.kind === "delta" ? [step.text] : []);
      expect(deltas).toEqual(pieces.split("|"));
    });
  }

  const cuts: readonly (readonly [Partial<Turn>, string, string])[] = [
    [{ tokensMax: 1 }, "powered", "length"],
    [{ tokensMax: 2 }, "powered by", "length"],
    [{ tokensMax: 3 }, "powered by open", "length"],
    [{ tokensMax: 100 }, "powered by openai", "stop"],
    [{ stop: [" by"] }, "powered", "stop"],
    [{ stop: ["zzz", "openai", "by"] }, "powered ", "stop"],
    [{ stop: ["powered"] }, "", "stop"],
    [{ stop: ["openai"], tokensMax: 1 }, "powered", "length"],
    [{ stop: ["by"], tokensMax: 50 }, "powered ", "stop"],
  ];
  for (const [turn, text, reason] of cuts) {
    test(`${JSON.stringify(turn)} → ${JSON.stringify(text)}, ${reason}`, async () => {
      const { script } = await ask(turn);
      expect(textOfSteps(script.steps)).toBe(text);
      expect(script.steps.at(-1)).toMatchObject({ kind: "end", reason });
    });
  }

  test("the same cut is the same script", async () => {
    const mock = new Mock(OPTIONS, new TokenCounters(65_536));
    const ask = askOf({ ...EMPTY_TURN, tokensMax: 1 });
    const [first, second] = [await mock.answer(ask), await mock.answer(ask)];
    if (first.kind !== "script" || second.kind !== "script") throw new Error("no script");
    expect(first.script).toBe(second.script);
  });

  test("says each word for every choice at a time", async () => {
    const { script } = await ask({ choiceCount: 2 }, { reply: "水 flows" });
    expect(script.steps).toEqual([
      said("水", 7),
      said("水", 0, 1),
      said(" flows", 50),
      said(" flows", 0, 1),
      { kind: "end", choice: 0, reason: "stop", afterMs: 50 },
      { kind: "end", choice: 1, reason: "stop", afterMs: 0 },
    ]);
  });

  test("the whole reply is one script, with usage or without", async () => {
    const mock = new Mock(OPTIONS, new TokenCounters(65_536));
    const plain = await mock.answer(askOf(EMPTY_TURN));
    const counted = await mock.answer(askOf({ ...EMPTY_TURN, wantsUsage: true }));
    if (plain.kind !== "script" || counted.kind !== "script") throw new Error("no script");
    expect(counted.script).toBe(plain.script);
    expect(plain.usage).toBeUndefined();
    expect(counted.usage).toEqual({ promptTokens: 3, completionTokens: 4 });
  });

  test("an empty reply is an end", async () => {
    const { script } = await ask({}, { reply: "" });
    expect(script.steps).toEqual([{ kind: "end", choice: 0, reason: "stop", afterMs: 7 }]);
  });

  test("counts prompt and answer by OpenAI's rule, the answer once per choice", async () => {
    const messages = [{ role: "user", content: "This is a test." }];
    const { usage } = await ask({ messages, wantsUsage: true, choiceCount: 2 });
    // 3 + (3 + 1 "user" + 5 "This is a test.") and 2 × 4 "powered by openai"
    expect(usage).toEqual({ promptTokens: 12, completionTokens: 8 });
  });

  test("refuses a model that mock.models does not list", async () => {
    await expect(ask({ model: "b" }, { models: ["a"] })).rejects.toThrow(AppError);
    await expect(ask({ model: "a" }, { models: ["a"] })).resolves.toMatchObject({ model: "a" });
  });
});

describe("Mock.answer() of many choices", () => {
  const long = Array.from({ length: 5000 }, (_, i) => `w${i}`).join(" ");
  const refused = (choicesMax: number, choiceCount: number) =>
    new AppError(
      "integer_too_large",
      `Invalid 'n': integer above maximum value. Expected a value <= ${choicesMax}, but got ` +
        `${choiceCount} instead: so many choices of the mock's reply are too long together. Ask ` +
        "for fewer, or set 'max_completion_tokens'.",
      { param: "n" },
    );
  test("is refused when they have more than 65,536 pieces together", async () => {
    expect((await ask({ choiceCount: 13 }, { reply: long })).script.steps).toHaveLength(13 * 5001);
    await expect(ask({ choiceCount: 14 }, { reply: long })).rejects.toThrow(refused(13, 14));
  });

  test("is refused when they have more than 1 MiB of text together", async () => {
    const reply = "é".repeat(100_000);
    expect((await ask({ choiceCount: 10 }, { reply })).script.steps).toHaveLength(20);
    await expect(ask({ choiceCount: 11 }, { reply })).rejects.toThrow(refused(10, 11));
  });

  test("is said as far as the tokens of each go", async () => {
    const { script } = await ask({ choiceCount: 128, tokensMax: 10 }, { reply: long });
    expect(script.steps.length).toBeLessThanOrEqual(128 * 11);
  });
});

const CITY = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const NOW = { type: "function", function: { name: "now" } };

/** What the first choice says, gathered. */
async function gathered(turn: Partial<Turn>, options: Partial<MockOptions> = {}) {
  const { script, usage } = await ask({ wantsUsage: true, ...turn }, options);
  const said = new Gathering();
  for (const step of script.steps) said.add(step);
  return { ...said.choices[0]!, choices: said.choices, steps: script.steps, usage: usage! };
}

const REQUIRED = { tools: [CITY, NOW], tool_choice: "required" };

describe("Mock.answer(), when tools are called", () => {
  test("says the call, then its arguments token by token, paced", async () => {
    const { script } = await ask({ params: REQUIRED });
    const piece = (text: string): TimedStep => ({
      kind: "arguments",
      choice: 0,
      index: 0,
      text,
      afterMs: 50,
    });
    expect(script.steps).toEqual([
      { kind: "call", choice: 0, index: 0, id: "", name: "get_weather", afterMs: 7 },
      ...['{"', "city", '":"', "city", '"}'].map(piece),
      { kind: "end", choice: 0, reason: "tool_calls", afterMs: 50 },
    ]);
  });

  test("in every choice", async () => {
    const { choices } = await gathered({ params: REQUIRED, choiceCount: 3 });
    expect(choices.map(({ calls, reason }) => [calls[0]!.arguments, reason])).toEqual(
      Array(3).fill(['{"city":"city"}', "tool_calls"]),
    );
  });

  test("several at once, each marked so", async () => {
    const messages = [{ role: "user", content: "Call get_weather and now." }];
    const { calls, steps } = await gathered({ params: REQUIRED, messages });
    expect(calls.map(({ name, arguments: text }) => [name, text])).toEqual([
      ["get_weather", '{"city": "city"}'],
      ["now", "{}"],
    ]);
    expect(steps.filter(({ kind }) => kind === "call")).toMatchObject([
      { isParallel: true },
      { isParallel: true },
    ]);
  });

  test("several in the Responses API, whose arguments have no blanks", async () => {
    const messages = [{ role: "user", content: "Call get_weather and now." }];
    const { calls } = await gathered({ params: REQUIRED, messages, hasResponseTools: true });
    expect(calls).toMatchObject([{ arguments: '{"city":"city"}' }, { arguments: "{}" }]);
  });

  test("Claude's blanks stand between values and not in them", async () => {
    const properties = { a: { const: "x,\n y: z" }, b: { const: [1, { c: 2 }] } };
    const parameters = { type: "object", properties, required: ["a", "b"] };
    const tools = [{ type: "function", function: { name: "f", parameters } }];
    const { calls } = await gathered(
      { params: { tools, tool_choice: "required" }, model: "claude-sonnet-4-5" },
    );
    expect(calls[0]!.arguments).toBe('{"a": "x,\\n y: z", "b": [1, {"c": 2}]}');
  });

  test("in the older way", async () => {
    const functions = [CITY.function];
    const { calls } = await gathered({
      params: { functions, function_call: { name: "get_weather" } },
    });
    expect(calls).toMatchObject([{ tool: "function_call", arguments: '{"city":"city"}' }]);
  });

  const custom = (format?: unknown) => ({
    tools: [{ type: "custom", custom: { name: "c", format } }],
    tool_choice: { type: "custom", custom: { name: "c" } },
  });
  const regex = { type: "grammar", grammar: { syntax: "regex", definition: "^[a-c]\\d{2}$" } };
  const lark = { type: "grammar", grammar: { syntax: "lark", definition: "start: x" } };

  test("a custom tool gets a text, or one of its regex", async () => {
    expect((await gathered({ params: custom() })).calls).toMatchObject([
      { tool: "custom", arguments: OPTIONS.reply },
    ]);
    expect((await gathered({ params: custom(regex) })).calls[0]!.arguments).toBe("a00");
  });

  test("is refused where arguments cannot be made, with what to do about it", async () => {
    const properties = { a: { type: "string", pattern: "^(?=b)a$" } };
    const broken = { type: "object", properties, required: ["a"] };
    const tools = [{ type: "function", function: { name: "f", parameters: broken } }];
    await expect(ask({ params: { tools, tool_choice: "required" } })).rejects.toThrow(
      /arguments for the tool 'f': at 'a', .* `default` or `examples`/,
    );
    const deep = JSON.parse(`${'{"items":'.repeat(50_000)}{}${"}".repeat(50_000)}`);
    const deepTools = [{ type: "function", function: { name: "f", parameters: deep } }];
    await expect(ask({ params: { tools: deepTools, tool_choice: "required" } })).rejects.toThrow(
      /nested more than 64 deep/,
    );
    await expect(ask({ params: custom(lark) })).rejects.toThrow(/grammar is written in lark/);
    await expect(
      ask({
        params: {
          tools: [CITY],
          tool_choice: {
            type: "allowed_tools",
            allowed_tools: { mode: "required", tools: [NOW] },
          },
        },
      }),
    ).rejects.toThrow(/allows none of the tools/);
    // As of a request whose tools are all run by the API itself.
    await expect(ask({ params: { tool_choice: "required" } }))
      .rejects.toThrow(/allows none of the tools that the mock can call/);
  });

  test("takes another tool where it may choose, and a text where nothing can be called", async () => {
    const larkOnly = { tools: custom(lark).tools };
    expect((await gathered({ params: larkOnly }, { tools: "auto" })).text).toBe(OPTIONS.reply);
    const both = { tools: [...larkOnly.tools, NOW] };
    expect((await gathered({ params: both }, { tools: "auto" })).calls[0]!.name).toBe("now");
  });

  test("Claude says something first, where it calls of its own accord", async () => {
    const model = "claude-sonnet-4-5";
    const auto = { params: { tools: [CITY] }, model };
    const { text, calls, reason } = await gathered(auto, { tools: "auto" });
    expect([text, calls.length, reason]).toEqual([OPTIONS.reply, 1, "tool_calls"]);
    expect(await gathered({ params: REQUIRED, model })).toMatchObject({ text: "" });
    // What ends the text ends the answer.
    const stop = [OPTIONS.reply.slice(-3)];
    const stopped = await gathered({ ...auto, stop }, { tools: "auto" });
    expect(stopped).toMatchObject({ calls: [], reason: "stop", stopSequence: stop[0] });
    const cut = await gathered({ ...auto, tokensMax: 1 }, { tools: "auto" });
    expect(cut).toMatchObject({ calls: [], reason: "length", usage: { completionTokens: 1 } });
  });

  test("breaks off where the tokens end", async () => {
    const { calls, reason, usage } = await gathered({ params: REQUIRED, tokensMax: 3 });
    expect(calls).toMatchObject([{ arguments: '{"city":"' }]);
    expect(reason).toBe("length");
    expect(usage.completionTokens).toBe(3);
  });

  const costs: readonly (readonly [string, Turn["params"], Turn["messages"], number])[] = [
    ["gpt-4o", REQUIRED, [], 7 + 2 + 5],
    ["gpt-4o", { tools: [CITY] }, [], 1 + 4],
    ["gpt-4", { tools: [CITY] }, [], 4],
    ["gpt-5", { ...REQUIRED, reasoning_effort: "minimal" }, [], 16 + 2 + 5],
    [
      "gpt-4o",
      {
        tools: ["get_country", "get_product_name"].map((name) => ({
          type: "function",
          function: { name },
        })),
        tool_choice: "required",
      },
      [{ role: "user", content: "get country, get product name" }],
      40, // as recorded
    ],
  ];
  for (const [model, params, messages, tokens] of costs) {
    test(`${model}: ${tokens} tokens`, async () => {
      const { usage } = await gathered({ model, params, messages });
      expect(usage.completionTokens).toBe(tokens);
    });
  }
});

describe("Mock.answer(), when a schema is to be kept", () => {
  const format = (schema: unknown) => ({
    response_format: { type: "json_schema", json_schema: { name: "joke", schema } },
  });
  const JOKE = {
    type: "object",
    properties: { joke: { type: "string" }, rating: { type: "integer", minimum: 1 } },
    required: ["joke", "rating"],
  };
  const rows: readonly (readonly [string, Turn["params"], string, string])[] = [
    ["a schema", format(JOKE), "hi", '{"joke":"joke","rating":1}'],
    ["no schema to speak of", format({}), "hi", "{}"],
    [
      "a reply that keeps it",
      format(JOKE),
      '{"joke": "x", "rating": 3}',
      '{"joke": "x", "rating": 3}',
    ],
    ["a reply that does not", format(JOKE), '{"joke": "x"}', '{"joke":"joke","rating":1}'],
    ["any JSON", { response_format: { type: "json_object" } }, "hi 你", '{"answer":"hi 你"}'],
    ["any JSON, as it is", { response_format: { type: "json_object" } }, "{}", "{}"],
    ["text", { response_format: { type: "text" } }, "hi", "hi"],
  ];
  for (const [what, params, reply, text] of rows) {
    test(`${what}: ${text}`, async () => {
      expect((await gathered({ params }, { reply })).text).toBe(text);
    });
  }

  const told: readonly (readonly [string, string, object, string])[] = [
    ["in a text", `Keep {to} this: ${JSON.stringify(JOKE)}, in JSON.`, {}, "joke"],
    ["in a block of code", `JSON:\n\`\`\`\n${JSON.stringify(JOKE, null, 2)}\n\`\`\``, {}, "joke"],
    ["behind another object", `{"a": "}"} then ${JSON.stringify(JOKE)}`, {}, "joke"],
    ["beside the type", "JSON", { schema: JOKE }, "joke"],
    ["nowhere", 'JSON like {"a": 1} or {', {}, "answer"],
    ["broken", `${JSON.stringify(JOKE).slice(0, -1)} JSON`, {}, "answer"],
    ["that cannot be kept", 'JSON: {"$ref":"#/nowhere"}', {}, "answer"],
  ];
  for (const [where, content, more, key] of told) {
    test(`any JSON, and a schema ${where}: ${key}`, async () => {
      const { text } = await gathered({
        messages: [{ role: "system", content }],
        params: { response_format: { type: "json_object", ...more } },
      });
      expect(Object.keys(JSON.parse(text))[0]).toBe(key);
    });
  }

  test("limits hold for it", async () => {
    expect(await gathered({ params: format(JOKE), tokensMax: 2 })).toMatchObject({
      text: '{"j',
      reason: "length",
    });
    expect(await gathered({ params: format(JOKE), stop: [","] })).toMatchObject({
      text: '{"joke":"joke"',
      stopSequence: ",",
    });
  });

  test("is refused where it cannot be, with the setting to use", async () => {
    const params = format({ type: "object", properties: { a: false }, required: ["a"] });
    await expect(ask({ params })).rejects.toThrow(/schema 'joke': at 'a', .* set mock\.reply/);
  });

  test("another seed says something else", async () => {
    const schema = { type: "array", minItems: 9, items: { enum: ["a", "b", "c"] } };
    const texts = await Promise.all(
      Array.from(
        { length: 9 },
        async (_, seed) => (await gathered({ params: { ...format(schema), seed } })).text,
      ),
    );
    expect(new Set(texts).size).toBeGreaterThan(1);
    expect((await gathered({ params: { ...format(schema), seed: 3 } })).text).toBe(texts[3]!);
  });
});

describe("Mock.answer(), when a model thinks", () => {
  const rows: readonly (readonly [string, Partial<Turn>, number])[] = [
    ["gpt-4o", {}, 0],
    ["gpt-5", {}, 320],
    ["gpt-5", { params: { reasoning_effort: "minimal" } }, 0],
    ["gpt-5", { params: { reasoning_effort: "low" } }, 64],
    ["gpt-5-mini", { params: { reasoning_effort: "high" } }, 1408],
    ["gpt-5", { choiceCount: 2 }, 640],
    ["gpt-5", { tokensMax: 200 }, 128],
    ["gpt-5", { tokensMax: 80 }, 64],
    ["gpt-5", { tokensMax: 70 }, 64],
    ["gpt-5", { tokensMax: 20 }, 0],
    ["o3-mini", {}, 320],
    ["gpt-5.2", {}, 0],
    ["gpt-5.2", { params: { reasoning_effort: "high" } }, 100],
    ["gpt-5.5", {}, 29],
    ["gpt-5.5", { tokensMax: 20 }, 13],
  ];
  for (const [model, turn, tokens] of rows) {
    test(`${model} ${JSON.stringify(turn)}: ${tokens} tokens`, async () => {
      const { usage, steps } = await gathered({ model, ...turn });
      expect(usage.reasoningTokens ?? 0).toBe(tokens);
      expect(usage.completionTokens).toBeLessThanOrEqual(turn.tokensMax ?? Infinity);
      const has = steps.some((step) => step.kind === "delta" && step.block === "reasoning");
      expect(has).toBe(tokens > 0);
    });
  }

  test("it thinks in silence, without keeping the text waiting", async () => {
    const { script } = await ask({ model: "gpt-5" });
    expect(script.steps.slice(0, 3)).toEqual([
      { kind: "delta", choice: 0, block: "reasoning", text: "", afterMs: 0 },
      { kind: "signature", choice: 0, text: "", afterMs: 0 },
      said("powered", 7),
    ]);
  });

  test("in words for whoever wants to read them, whatever the model", async () => {
    for (const model of ["gpt-5", "claude-sonnet-4-5", "qwen3"]) {
      const { reasoning, signature, text, usage } = await gathered({ model, wantsReasoning: true });
      expect(reasoning).not.toBe("");
      expect(signature).toBe("");
      expect(text).toBe(OPTIONS.reply);
      expect(usage.reasoningTokens).toBeGreaterThan(0);
    }
  });

  test("what has no room is empty, and ends with length", async () => {
    expect(await gathered({ model: "gpt-5", tokensMax: 64 })).toMatchObject({
      text: "",
      reason: "length",
      usage: { completionTokens: 64, reasoningTokens: 64 },
    });
  });
});

describe("Mock.answer(), when more is wanted than a text", () => {
  test("log probabilities: one for each token, and all chances below 1", async () => {
    const params = { logprobs: true, top_logprobs: 20 };
    const { steps } = await gathered({ params }, { reply: "深い川 flows by" });
    const deltas = steps.flatMap((step) => step.kind === "delta" ? [step] : []);
    expect(deltas.map(({ text }) => text)).toEqual(["深", "い", "川", " flows", " by"]);
    for (const { text, logprobs } of deltas) {
      expect(logprobs).toHaveLength(1);
      const [{ token, logprob, top }] = logprobs as readonly [TokenLogprob];
      expect(token).toBe(text);
      expect(top).toHaveLength(20);
      expect(new Set(top.map(({ token }) => token)).size).toBe(20);
      expect(top[0]).toEqual({ token, logprob });
      expect(top.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeLessThan(1);
      const sorted = top.toSorted((one, other) => other.logprob - one.logprob);
      expect(sorted).toEqual([...top]);
    }
  });

  test("none of the others unless they are asked for", async () => {
    const { logprobs } = await gathered({ params: { logprobs: true } });
    expect(logprobs!.every(({ top }) => top.length === 0)).toBe(true);
  });

  for (const format of ["pcm16", "wav"] as const) {
    test(`sound in ${format}: a tone for each word, which joins to one`, async () => {
      const params = { modalities: ["text", "audio"], audio: { voice: "alloy", format } };
      const { audio, text, steps, usage } = await gathered({ params });
      const bytes = Buffer.from(audio!.data, "base64");
      const head = format === "wav" ? 44 : 0;
      expect(text).toBe("");
      expect(audio!.transcript).toBe(OPTIONS.reply);
      expect(bytes.length).toBe(head + 3 * 2400);
      if (format === "wav") {
        expect(bytes.toString("latin1", 0, 4)).toBe("RIFF");
        expect(bytes.readUInt32LE(4)).toBe(bytes.length - 8);
        expect(bytes.readUInt32LE(40)).toBe(bytes.length - 44);
        expect(bytes.readUInt32LE(24)).toBe(24_000);
      }
      const samples = bytes.subarray(head);
      let crossings = 0;
      for (let at = 2; at < samples.length; at += 2) {
        if (samples.readInt16LE(at - 2) < 0 && samples.readInt16LE(at) >= 0) crossings++;
      }
      expect(crossings / 0.15).toBeWithin(430, 450);
      expect(steps.map(({ afterMs }) => afterMs)).toEqual([7, 50, 50, 50]);
      expect(usage).toMatchObject({ completionTokens: 4 + 3, completionAudioTokens: 3 });
    });
  }

  test("a long answer is silent at its end", async () => {
    const params = { modalities: ["audio"], audio: { voice: "alloy", format: "pcm16" } };
    const { audio } = await gathered({ params }, { reply: "word ".repeat(1000) });
    expect(Buffer.from(audio!.data, "base64").length).toBe(10 * 24_000 * 2);
    expect(audio!.transcript).toBe("word ".repeat(1000));
    const many = await gathered({ params, choiceCount: 60 }, { reply: "word ".repeat(1000) });
    const bytes = many.choices.map(({ audio }) => Buffer.from(audio!.data, "base64").length);
    expect(new Set(bytes)).toEqual(new Set([0.15 * 24_000 * 2]));
  });

  test("sound that it has no encoder for is refused", async () => {
    const params = { modalities: ["audio"], audio: { voice: "alloy", format: "mp3" } };
    await expect(ask({ params })).rejects.toThrow(/wav and pcm16 only/);
  });

  const searches: readonly (readonly [string, Turn["params"], number])[] = [
    ["gpt-4o-search-preview", {}, 1],
    ["qwen3", { web_search_options: {} }, 1],
    ["qwen3", { web_search_options: null }, 0],
    ["gpt-4o", {}, 0],
  ];
  for (const [model, params, count] of searches) {
    test(`${model} ${JSON.stringify(params)}: ${count} citations`, async () => {
      const { citations } = await gathered({ model, params });
      expect(citations).toHaveLength(count);
      for (const { startChars, endChars } of citations) {
        expect([startChars, endChars]).toEqual([0, OPTIONS.reply.length]);
      }
    });
  }

  const predictions: readonly (readonly [unknown, number, number])[] = [
    ["powered by openai", 4, 0],
    ["powered by me and you", 2, 3],
    ["nothing like it", 0, 3],
    [[{ type: "text", text: "powered" }, { type: "text", text: " by" }], 2, 0],
  ];
  for (const [content, accepted, rejected] of predictions) {
    test(`a prediction: ${accepted} tokens right, ${rejected} wrong`, async () => {
      const { usage } = await gathered({ params: { prediction: { type: "content", content } } });
      expect(usage).toMatchObject({
        completionTokens: 4 + rejected,
        acceptedPredictionTokens: accepted,
        rejectedPredictionTokens: rejected,
      });
    });
  }

  test("a moderation of the prompt and of each answer", async () => {
    const { choices } = await gathered({
      params: { moderation: { model: "omni-moderation-latest" } },
      choiceCount: 2,
    });
    for (const { moderation } of choices) {
      const { model, input, output } = moderation!;
      expect(model).toBe("omni-moderation-latest");
      for (const { isFlagged, flagged, scores } of [input, output]) {
        expect([isFlagged, flagged]).toEqual([false, []]);
        expect(Object.keys(scores)).toHaveLength(13);
        for (const score of Object.values(scores)) expect(score).toBeWithin(1e-7, 5e-3);
      }
    }
  });

  test("the same turn is answered with the same script, and so is an equal one", async () => {
    const mock = new Mock(OPTIONS, new TokenCounters(65_536));
    const turn = { ...EMPTY_TURN, params: REQUIRED };
    const scripts = [];
    for (const one of [turn, turn, { ...turn }]) {
      const answer = await mock.answer(askOf(one));
      scripts.push(answer.kind === "script" ? answer.script : undefined);
    }
    expect(scripts[1]).toBe(scripts[0]!);
    expect(scripts[2]).toBe(scripts[0]!);
  });
});

describe("a tool whose arguments are no object", () => {
  for (const type of ["string", "bogus", ["string", "null"]]) {
    test(`is not called: ${JSON.stringify(type)}`, () => {
      const tools = [{ type: "function", function: { name: "f", parameters: { type } } }];
      expect(ask({ params: { tools, tool_choice: "required" } })).rejects.toThrow(
        "The mock cannot make arguments for the tool 'f': its parameters are not of the type object",
      );
    });
  }

  test("is called where one is allowed beside it", async () => {
    const parameters = { type: ["object", "null"], properties: { a: { const: 1 } } };
    const tools = [{ type: "function", function: { name: "f", parameters } }];
    const { script } = await ask({ params: { tools, tool_choice: "required" } });
    expect(textOfSteps(script.steps)).toBe("");
    expect(
      script.steps.filter(({ kind }) => kind === "arguments").map((step) =>
        step.kind === "arguments" ? step.text : ""
      ).join(""),
    ).toBe('{"a":1}');
  });
});

describe("a request that would take long", () => {
  test("128 tools whose arguments are hard to make share what one may cost", async () => {
    const tools = Array.from({ length: 128 }, (_, i) => ({
      type: "function",
      function: {
        name: `f${i}`,
        parameters: {
          type: "object",
          properties: {
            p: { type: "string", pattern: `^(([a-z])+.)+[A-Z]b{${i}}$`, minLength: 99 },
          },
          required: ["p"],
        },
      },
    }));
    const before = cpuMs();
    // A refusal is as good as a call.
    await ask({ params: { tools, tool_choice: "required" } }).catch((error) => {
      expect(error).toBeInstanceOf(AppError);
    });
    expect(cpuMs() - before).toBeLessThan(2000);
  });

  test("braces in many messages are not all looked through", async () => {
    const content = "{".repeat(32_000) + "}".repeat(32_000);
    const messages = Array.from({ length: 1000 }, () => ({ role: "user", content }));
    const before = cpuMs();
    await ask({ messages, params: { response_format: { type: "json_object" } } });
    expect(cpuMs() - before).toBeLessThan(2000);
  });
});
