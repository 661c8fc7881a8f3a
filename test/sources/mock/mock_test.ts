import { describe, expect, test } from "bun:test";
import { askOf, type TimedStep } from "../../../src/core/answer.ts";
import { AppError } from "../../../src/core/errors.ts";
import { textOfSteps } from "../../../src/core/gathering.ts";
import { EMPTY_TURN, type Turn } from "../../../src/core/turn.ts";
import { Mock, type MockOptions } from "../../../src/sources/mock/mock.ts";
import { words } from "../../../src/sources/mock/words.ts";
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
