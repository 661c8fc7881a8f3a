import { describe, expect, test } from "bun:test";
import { trimHistory } from "../../src/core/history.ts";

const TURNS = ["aa", "bbbb", "c"].map((query, i) => ({
  query,
  answer: "+",
  isPartial: false,
  atMs: i,
}));

describe("trimHistory()", () => {
  /** turnsMax, tokensMax → queries that are left. A character is a token here. */
  const CASES = [
    [20, 0, ["aa", "bbbb", "c"]],
    [3, 100, ["aa", "bbbb", "c"]],
    [2, 0, ["bbbb", "c"]],
    [0, 0, []],
    [20, 10, ["aa", "bbbb", "c"]], // 3 + 5 + 2: just fits
    [20, 9, ["bbbb", "c"]],
    [20, 7, ["bbbb", "c"]],
    [20, 6, ["c"]],
    [20, 1, []], // never more than the budget, not even one turn
    [1, 9, ["c"]],
  ] as const;
  for (const [turnsMax, tokensMax, wanted] of CASES) {
    test(`within ${turnsMax} turns and ${tokensMax} tokens leaves ${wanted.length}`, () => {
      const trimmed = trimHistory(TURNS, { turnsMax, tokensMax }, (text) => text.length);
      expect(trimmed.map(({ query }) => query)).toEqual([...wanted]);
    });
  }

  test("counts nothing while the lengths leave no doubt", () => {
    const count = () => {
      throw new Error("counted");
    };
    expect(trimHistory(TURNS, { turnsMax: 20, tokensMax: 30 }, count)).toHaveLength(3);
    expect(() => trimHistory(TURNS, { turnsMax: 20, tokensMax: 29 }, count)).toThrow("counted");
  });
});
