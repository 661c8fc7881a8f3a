import { describe, expect, test } from "bun:test";
import { lognormalCdf, lognormalQuantile } from "../../src/lib/normal.ts";
import { ksDistance, ksPValue, quantile, sorted } from "../../src/lib/sample.ts";
import { seeded } from "../seeded.ts";

describe("quantile()", () => {
  const ascending = sorted([9, 4, 2, 11, 4, 5]);

  /** As numpy has them. */
  const CASES = [[0, 2], [0.1, 3], [0.5, 4.5], [0.9, 10], [1, 11]] as const;
  for (const [share, value] of CASES) {
    test(String(share), () => expect(quantile(ascending, share)).toBeCloseTo(value, 12));
  }

  test("of none is none, of one is that one", () => {
    expect(quantile([], 0.5)).toBeNaN();
    expect([quantile([7], 0), quantile([7], 0.3), quantile([7], 1)]).toEqual([7, 7, 7]);
  });
});

describe("ksDistance()", () => {
  const even = (x: number) => x;

  test("is that of scipy", () => {
    const values = sorted([0.93, 0.11, 0.25, 0.31, 0.77, 0.52, 0.58]);
    expect(ksDistance(values, even)).toBeCloseTo(0.13428571428571434, 15);
  });

  test("sees what is too small and what is too large", () => {
    expect(ksDistance([0.9], even)).toBeCloseTo(0.9, 15);
    expect(ksDistance([0.1], even)).toBeCloseTo(0.9, 15);
    expect(ksDistance([], even)).toBe(0);
  });
});

describe("ksPValue()", () => {
  /** The exact values of scipy's kstwo. */
  const CASES = [
    [0.1, 50, 0.6623112704658186],
    [0.2, 50, 0.03143876777953241],
    [0.0163, 10_000, 0.009738034669724812],
    [0.05, 1000, 0.013012074781090332],
    [0.3, 10, 0.27053557479999946],
    [0.5, 5, 0.112],
  ] as const;
  for (const [distance, count, share] of CASES) {
    test(`${distance} of ${count}`, () => {
      expect(Math.abs(ksPValue(distance, count) - share)).toBeLessThan(share < 0.2 ? 0.003 : 0.02);
    });
  }

  test("is 1 for no distance and for no values, and 0 for the largest", () => {
    expect([ksPValue(0, 100), ksPValue(0, 0), ksPValue(1, 10_000)]).toEqual([1, 1, 0]);
  });

  test("rejects what it should, and as often as it should", () => {
    const body = { median: 650, sigma: 0.33 };
    const random = seeded(17);
    const pValueOf = (cdfOf: typeof body) => {
      const values = sorted(Array.from({ length: 500 }, () => lognormalQuantile(body, random())));
      return ksPValue(ksDistance(values, (x) => lognormalCdf(cdfOf, x)), values.length);
    };
    const rejected = (cdfOf: typeof body) =>
      Array.from({ length: 400 }, () => pValueOf(cdfOf)).filter((p) => p < 0.05).length;
    const rightCount = rejected(body);
    expect(rightCount).toBeGreaterThanOrEqual(8); // 20 ± 3 standard deviations of 4.4, rounded
    expect(rightCount).toBeLessThanOrEqual(33);
    expect(rejected({ median: 750, sigma: 0.33 })).toBeGreaterThan(390);
  });
});
