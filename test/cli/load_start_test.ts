import { describe, expect, test } from "bun:test";
import { startOf } from "../../src/cli/load_start.ts";

const NOW_MS = Date.parse("2026-11-28T22:00:00Z");
const HOUR_MS = 3_600_000;

/** how far from now, in milliseconds → whether it waits, and what is said */
const STARTS: readonly (readonly [number, boolean, string | undefined])[] = [
  [0, true, undefined],
  [500, true, undefined],
  [2000, true, "waits 2.0 s, until 2026-11-28T22:00:02.000Z"],
  [90 * 60_000, true, "waits 1.5 h, until 2026-11-28T23:30:00.000Z"],
  [-2000, false, "--start-at was 2.0 s ago: it begins at once, that much later than the others"],
  [-30, false, "--start-at was 30 ms ago: it begins at once, that much later than the others"],
  [
    -400 * 24 * HOUR_MS,
    false,
    "--start-at was 400 days ago: it begins at once, that much later than the others",
  ],
];

describe("startOf()", () => {
  for (const [aheadMs, waits, said] of STARTS) {
    test(`${aheadMs} ms from now`, () => {
      expect(startOf(NOW_MS + aheadMs, NOW_MS)).toEqual({
        atMs: waits ? NOW_MS + aheadMs : undefined,
        said,
      });
    });
  }

  test("no moment is now", () => {
    expect(startOf(undefined, NOW_MS)).toEqual({ atMs: undefined, said: undefined });
  });

  test("what is too far away to be meant is refused, milliseconds for seconds above all", () => {
    expect(() => startOf(1000 * NOW_MS, NOW_MS)).toThrow(
      /--start-at is \d+ days away, and more than 7 days are no start: a number is seconds/,
    );
    expect(() => startOf(NOW_MS + 8 * 24 * HOUR_MS, NOW_MS)).toThrow("8.0 days away");
  });
});
