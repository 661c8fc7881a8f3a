import { describe, expect, test } from "bun:test";
import { Needles } from "../../src/lib/needles.ts";
import { seeded } from "../seeded.ts";

function foundIn(needles: readonly string[], text: string): readonly number[] {
  const found = new Set<number>();
  new Needles(needles.map((needle, index) => [needle, index] as const))
    .find(text, (number) => void found.add(number));
  return [...found].sort((a, b) => a - b);
}

/** Needles, text → which are found. */
const CASES: readonly (readonly [needles: readonly string[], text: string, found: number[]])[] = [
  [["he", "she", "his", "hers"], "ushers", [0, 1, 3]],
  [["a", "aa", "aaa"], "aa", [0, 1]],
  [["abcd", "bc"], "xbcx", [1]],
  [["abcd", "bcx"], "abcx", [1]],
  [["天气", "气"], "天天气", [0, 1]],
  [["😀", "👍🏽"], "a😀b", [0]],
  [["same", "same"], "the same", [0, 1]],
  [["", "a"], "", []],
  [[], "text", []],
  // What may be there: upper and lower case are the same, and so are their kin.
  [["WEATHER", "ſk"], "weather S\u212a", [0, 1]],
];

describe("Needles", () => {
  for (const [needles, text, found] of CASES) {
    test(`${needles.join(", ")} in ${JSON.stringify(text)}`, () => {
      expect(foundIn(needles, text)).toEqual(found);
    });
  }

  test("a long needle is found by its beginning", () => {
    const needle = "x".repeat(20) + "y".repeat(1000);
    expect(foundIn([needle], `ab${needle}`)).toEqual([0]);
  });

  test("none is missed where there are more characters than classes, and more states than fit", () => {
    const random = seeded(7);
    const letter = () => String.fromCharCode(0x4e00 + Math.floor(random() * 5000));
    const needles = Array.from(
      { length: 9000 },
      () => Array.from({ length: 3 + Math.floor(random() * 40) }, letter).join(""),
    );
    const search = new Needles(needles.map((needle, index) => [needle, index] as const));
    for (const [index, needle] of needles.entries()) {
      if (index % 100 !== 0) continue;
      const found = new Set<number>();
      search.find(`${letter()}${needle}${letter()}`, (number) => void found.add(number));
      expect(found.has(index)).toBe(true);
    }
  });
});
