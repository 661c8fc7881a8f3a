import { describe, expect, test } from "bun:test";
import { exitCode } from "../../src/cli/load_run.ts";
import type { LoadReport } from "../../src/load/report/report.ts";

function report(failed: number, share: number | null, isDoubtful: boolean): LoadReport {
  return {
    requests: { failed },
    goodput: share === null ? null : { share },
    doubt: { is_doubtful: isDoubtful },
  } as unknown as LoadReport;
}

/** failed, share of good ones, doubtful, interrupted → exit code: 130 before 1 before 3 */
const CASES = [
  [0, null, false, false, 0],
  [0, 1, false, false, 0],
  [1, null, false, false, 1],
  [0, 0.5, false, false, 1],
  [0, null, true, false, 3],
  [1, null, true, false, 1],
  [0, 0.5, true, false, 1],
  [1, 0.5, true, true, 130],
  [0, null, false, true, 130],
] as const;

describe("exitCode()", () => {
  for (const [failed, share, isDoubtful, isInterrupted, code] of CASES) {
    test(`${failed} failed, ${share} good, doubtful ${isDoubtful}, interrupted ${isInterrupted}`, () => {
      expect(exitCode([report(failed, share, isDoubtful)], isInterrupted, 0.99)).toBe(code);
    });
  }

  test("one stage that failed is enough", () => {
    expect(exitCode([report(0, null, false), report(1, null, false)], false, 0)).toBe(1);
  });
});
