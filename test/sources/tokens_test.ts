import { describe, expect, test } from "bun:test";
import { encodingOf, TokenCounter, TokenCounters } from "../../src/sources/tokens.ts";

describe("encodingOf()", () => {
  const cases: Readonly<Record<string, readonly string[]>> = {
    cl100k_base: [
      "gpt-3.5-turbo",
      "gpt-3.5-turbo-0125",
      "gpt-35-turbo",
      "gpt-4",
      "gpt-4-0613",
      "gpt-4-turbo",
      "ft:gpt-3.5-turbo-0125:me::id",
      "ft:gpt-4:me::id",
      "davinci-002",
      "ft:babbage-002:me::id",
      "text-embedding-3-small",
    ],
    o200k_base: ["gpt-4o", "gpt-4.1", "gpt-4.5-preview", "gpt-5-mini", "o3-mini", "qwen3", "", "g"],
  };
  for (const [encoding, models] of Object.entries(cases)) {
    for (const model of models) {
      test(`${JSON.stringify(model)} counts in ${encoding}`, () => {
        expect(encodingOf(model)).toBe(encoding as ReturnType<typeof encodingOf>);
        expect(new TokenCounters(0).of(model).encoding).toBe(encodingOf(model));
      });
    }
  }
});

describe("TokenCounter", () => {
  test("is exact within its bound and estimates above it", () => {
    const counter = new TokenCounter(100);
    expect(counter.count("hello world")).toBe(2);
    expect(counter.count("hello world ".repeat(20))).toBe(60);
  });

  test("counts in the encoding that it is for", () => {
    const text = "深い川は静かに流れる";
    expect(new TokenCounter(100, "o200k_base").count(text)).toBe(9);
    expect(new TokenCounter(100, "cl100k_base").count(text)).toBe(13);
  });

  test("estimates a word of 100 000 letters and does not block on it", () => {
    const counter = new TokenCounter(1_000_000);
    expect(counter.count("a".repeat(100_000))).toBe(25_000);
    expect(counter.count(" ".repeat(100_000))).toBe(25_000);
  });

  test("counts a text of 2400 characters without a blank", () => {
    expect(new TokenCounter(65_536).count("深い川は静かに流れる。".repeat(200))).toBe(2000);
  });

  test("countAll() counts each text for itself, and estimates when all are over the bound", () => {
    const counter = new TokenCounter(12);
    expect(counter.countAll([])).toBe(0);
    expect(counter.countAll(["river", "rivers"])).toBe(3);
    expect(counter.count("riverrivers")).toBe(3);
    expect(counter.countAll(["river", "rivers", "ab"])).toBe(4);
  });

  test("pieces() are the tokens, those that share a character together", () => {
    const counter = new TokenCounter(100);
    expect(counter.pieces("The river flows, quietly.\n\nOn.")).toEqual([
      "The",
      " river",
      " flows",
      ",",
      " quietly",
      ".\n\n",
      "On",
      ".",
    ]);
    const text = "🧜🏽‍♀️ 深い \ud800 𠜎";
    const pieces = counter.pieces(text)!;
    expect(pieces.join("")).toBe(text);
    expect(pieces.filter((piece) => !piece.isWellFormed())).toEqual([" \ud800"]);
    expect(counter.pieces("")).toEqual([]);
    expect(counter.pieces("a".repeat(101))).toBeUndefined();
  });

  test("a special token in a text counts as the characters typed", () => {
    expect(new TokenCounter(100).count("<|endoftext|>")).toBe(7);
  });

  test("remembers a count, and more texts than it remembers are counted as well", () => {
    const counter = new TokenCounter(100);
    const texts = Array.from({ length: 2000 }, (_, n) => `${n} rivers`);
    const counts = texts.map((text) => counter.count(text));
    expect(counts.slice(0, 3)).toEqual([2, 2, 2]);
    expect(counts.at(-1)).toBe(3);
    expect(texts.map((text) => counter.count(text))).toEqual(counts);
  });

  test("a cut never ends in half a character", () => {
    const counter = new TokenCounter(1000);
    const text = "🧜🏽‍♀️ 深い川は静かに流れる 𠜎𠜱";
    for (let tokens = 1; tokens < 30; tokens++) {
      const cut = counter.cut(text, tokens);
      expect(text.startsWith(cut.text), `${tokens}: ${cut.text}`).toBe(true);
    }
  });
});
