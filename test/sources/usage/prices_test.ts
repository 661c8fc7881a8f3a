import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { layPrices } from "../../../release/prices.ts";
import { Prices } from "../../../src/sources/usage/prices.ts";

const NOW_MS = Date.UTC(2026, 10, 28);
const USAGE = { promptTokens: 1000, completionTokens: 100 };
const published = new Prices([], () => NOW_MS);

describe("Prices", () => {
  test("has the table that bun run prices lays", () => {
    const file = new URL("../../../src/sources/usage/prices.json", import.meta.url);
    expect(readFileSync(file, "utf8")).toBe(layPrices());
  });

  test("tells what a published price makes of the tokens, those of a cache apart", () => {
    // gpt-4o: 2.5 dollars for a million tokens in, 1.25 out of the cache, 10 out.
    expect(published.costOf("gpt-4o", USAGE)).toBe(2_500_000 + 1_000_000);
    expect(published.costOf("gpt-4o", { ...USAGE, cachedTokens: 400 })).toBe(
      600 * 2500 + 400 * 1250 + 1_000_000,
    );
    // claude-3-5-haiku: 0.8 in, 0.08 read, 1 written, 4 out.
    const cached = { ...USAGE, cachedTokens: 500, cacheWriteTokens: 200 };
    expect(published.costOf("claude-3-5-haiku-20241022", cached)).toBe(
      300 * 800 + 500 * 80 + 200 * 1000 + 100 * 4000,
    );
    expect(published.costOf("text-embedding-3-small", { promptTokens: 9, completionTokens: 0 }))
      .toBe(9 * 20);
  });

  test("knows no price of what nobody has published, and that is not nothing", () => {
    for (const model of ["", "llama-3.1-8b", "gpt-4o-of-mine", "x".repeat(100_000)]) {
      expect(published.costOf(model, USAGE)).toBeUndefined();
      expect(published.isPriced(model)).toBeFalse();
    }
  });

  test("takes the first price of the config that fits", () => {
    const prices = new Prices([
      { model: "llama*", input: 0.1, output: 0.2, cached: -1, cache_write: -1 },
      { model: "*", input: 0, output: 0, cached: 0, cache_write: 0 },
    ], () => NOW_MS);
    expect(prices.costOf("llama-3", { ...USAGE, cachedTokens: 900 })).toBe(100_000 + 20_000);
    expect(prices.costOf("gpt-4o", USAGE)).toBe(0);
  });

  test("takes a higher price of long prompts for all of the request, and the price of the day", () => {
    const long = { promptTokens: 300_000, completionTokens: 1 };
    const short = { promptTokens: 100_000, completionTokens: 1 };
    const perToken = (usage: typeof long) =>
      published.costOf("gemini-2.5-pro", usage)! / usage.promptTokens;
    expect(perToken(long)).toBeGreaterThan(1.9 * perToken(short));
    const before = new Prices([], () => Date.UTC(2025, 5, 9));
    const after = new Prices([], () => Date.UTC(2025, 5, 10));
    expect(before.costOf("o3", USAGE)! / after.costOf("o3", USAGE)!).toBe(5);
  });
});
