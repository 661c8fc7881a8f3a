import { describe, expect, test } from "bun:test";
import { fitting, secondsLeft } from "../../src/cli/load_progress.ts";

/** columns → what of the line is shown */
const CASES = [
  [80, "3 FAILED, 20.0/s, 5 s left, 8 active"],
  [35, "3 FAILED, 20.0/s, 5 s left"],
  [10, "3 FAILED"],
  [4, "3 FA"],
] as const;

describe("fitting()", () => {
  for (const [columns, line] of CASES) {
    test(`the most important of a line fits into ${columns} columns`, () => {
      expect(fitting(["3 FAILED", "20.0/s", "5 s left", "8 active"], columns)).toBe(line);
    });
  }
});

/** sent, over, of how many requests; after how many of how many ms → seconds left with a schedule, without */
const LEFT: readonly (readonly [
  counts: readonly [sent: number, over: number, requests: number],
  times: readonly [nowMs: number, durationMs: number],
  hasSchedule: number | undefined,
  hasNone: number | undefined,
])[] = [
  [[0, 0, Infinity], [1000, 5000], 4, 4],
  [[60, 30, 90], [2000, Infinity], 1, 4],
  [[60, 30, 90], [2000, 3500], 1, 2],
  // All are under way, and nothing has been answered.
  [[2, 0, 2], [1000, Infinity], undefined, undefined],
  [[2, 0, 9], [1000, Infinity], 4, undefined],
  // What is under way has some time to end in.
  [[60, 30, 90], [5200, 5000], undefined, undefined],
  [[9, 7, Infinity], [1000, Infinity], undefined, undefined],
];

describe("secondsLeft()", () => {
  for (const [[sent, over, requests], [nowMs, durationMs], ...seconds] of LEFT) {
    test(`${sent} sent, ${over} of ${requests} over, after ${nowMs} of ${durationMs} ms`, () => {
      const left = [true, false].map((hasSchedule) =>
        secondsLeft({ sent, over, nowMs }, { durationMs, requests, hasSchedule })[0]
      );
      expect(left).toEqual(seconds);
    });
  }
});
