import { describe, expect, test } from "bun:test";
import { exitCode, otherCount } from "../../src/cli/load_run.ts";
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

/** outcome, whether the tool takes it for a success → what is said */
const COUNTS: readonly (readonly [readonly (readonly [string, boolean])[], string | undefined])[] =
  [
    [[["completed", true], ["failed", false]], undefined],
    [[["completed", true], ["failed", true]], "2 requests are successes; here 1 was completed"],
    // As many, and others.
    [[["completed", false], ["failed", true]], "1 request is a success; here 1 was completed"],
  ];

describe("otherCount()", () => {
  for (const [told, said] of COUNTS) {
    test(`${told.join(" ")}`, () => {
      const requests = told.map(([outcome, isSuccess]) => ({ outcome, isSuccess })) as never;
      const completed = told.filter(([outcome]) => outcome === "completed").length;
      const found = otherCount({ requests }, { requests: { completed } as never }, "vllm");
      if (said === undefined) expect(found).toBeUndefined();
      else expect(found).toContain(`--as vllm: by its own rules ${said}`);
    });
  }
});

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
