import { describe, expect, test } from "bun:test";
import { counted } from "../../../src/lib/counted.ts";
import { bytesText, fitLine, median, ms, quantile } from "../../../src/load/audit/numbers.ts";

describe("quantile()", () => {
  const CASES = [
    [[3, 1, 2], 0.5, 2],
    [[1, 2, 3, 4], 0.5, 2],
    [[1, 2, 3, 4], 0.99, 4],
    [[5], 0, 5],
  ] as const;
  for (const [values, share, expected] of CASES) {
    test(`of ${values.join(" ")} at ${share}`, () =>
      expect(quantile(values, share)).toBe(expected));
  }
  test("of nothing is no number", () => expect(median([])).toBeNaN());
});

describe("fitLine()", () => {
  test("finds a slope, and that it is certain", () => {
    const line = fitLine([[0, 1], [1, 3], [2, 5], [3, 7]])!;
    expect(line.slope).toBeCloseTo(2);
    expect(line.error).toBeCloseTo(0);
  });
  test("says how uncertain one is", () => {
    const line = fitLine([[0, 0], [1, 9], [2, 1], [3, 8]])!;
    expect(line.error).toBeGreaterThan(line.slope / 4);
  });
  test("needs three points that differ", () => {
    expect(fitLine([[0, 1], [1, 2]])).toBeUndefined();
    expect(fitLine([[1, 1], [1, 2], [1, 3]])).toBeUndefined();
  });
});

test("ms() and bytesText() write for people", () => {
  expect([0.126, 12.34, 130, 1204.4, NaN].map(ms)).toEqual([
    "0.13 ms",
    "12.3 ms",
    "130 ms",
    "1 204 ms",
    "–",
  ]);
  expect([10, 4096, 64 * 1024 ** 2].map(bytesText)).toEqual(["10 B", "4.0 KiB", "64.0 MiB"]);
});

test("counted() knows one from many", () => {
  expect([counted(1, "event"), counted(0, "event"), counted(2, "retry", "retries")]).toEqual([
    "1 event",
    "0 events",
    "2 retries",
  ]);
});
