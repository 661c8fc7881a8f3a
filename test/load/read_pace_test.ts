import { describe, expect, test } from "bun:test";
import { ReadPace } from "../../src/load/read_pace.ts";

/** when it read and how much → how long it waits; 1000 bytes a second */
const READS: readonly (readonly [string, readonly (readonly [number, number, number])[]])[] = [
  ["one read after the other", [[0, 100, 100], [100, 100, 100], [200, 50, 50]]],
  ["a timer that was late by little is made up for", [[0, 100, 100], [104, 100, 96]]],
  ["what was not there to be read is no credit", [[0, 100, 100], [5000, 100, 90], [
    5090,
    100,
    100,
  ]]],
  ["more that comes while it waits makes it wait longer", [[0, 100, 100], [10, 100, 190]]],
  ["parts of a millisecond add up", [[20, 10, 0], [20, 0.5, 0], [20, 1, 2]]],
];

describe("ReadPace", () => {
  for (const [name, reads] of READS) {
    test(name, () => {
      const pace = new ReadPace(1000, 0);
      for (const [nowMs, bytes, waitMs] of reads) expect(pace.waitMs(nowMs, bytes)).toBe(waitMs);
    });
  }

  test("late timers do not change the pace, as long as they are late by little", () => {
    const pace = new ReadPace(50_000, 0);
    let nowMs = 0;
    for (let read = 0; read < 1000; read++) nowMs += pace.waitMs(nowMs, 700) + (read % 7);
    // 700 000 bytes take 14 s.
    expect(nowMs).toBeGreaterThan(13_980);
    expect(nowMs).toBeLessThan(14_030);
  });
});
