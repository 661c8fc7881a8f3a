import { describe, expect, test } from "bun:test";
import { isDeeper } from "../../src/lib/depth.ts";

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { k: value };
  return value;
}

describe("isDeeper", () => {
  for (
    const [depth, max, expected] of [
      [0, 0, false],
      [1, 0, true],
      [1, 1, false],
      [5, 4, true],
      [5, 5, false],
      [200_000, 100, true],
      [1000, 1000, false],
    ] as const
  ) {
    test(`is ${expected} for ${depth} levels and a limit of ${max}`, () => {
      expect(isDeeper(nested(depth), max)).toBe(expected);
    });
  }

  test("does not count what lies side by side, nor bytes", () => {
    expect(isDeeper(Array.from({ length: 1000 }, () => [1]), 2)).toBe(false);
    expect(isDeeper([new Uint8Array(10)], 1)).toBe(false);
  });
});
