import { describe, expect, test } from "bun:test";
import { TokenCounter } from "../../src/sources/tokens.ts";

describe("TokenCounter", () => {
  test("is exact within its bound and estimates above it", () => {
    const counter = new TokenCounter(100);
    expect(counter.count("hello world")).toBe(2);
    expect(counter.count("hello world ".repeat(20))).toBe(60);
  });

  test("estimates a run of 1000 letters and does not block on it", () => {
    const counter = new TokenCounter(1_000_000);
    expect(counter.count("a".repeat(100_000))).toBe(25_000);
    expect(counter.count(" ".repeat(100_000))).toBe(25_000);
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
