import { describe, expect, test } from "bun:test";
import { fitting } from "../../src/cli/load_progress.ts";

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
