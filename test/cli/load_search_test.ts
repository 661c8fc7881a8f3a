import { describe, expect, test } from "bun:test";
import { resultOf, searchCode, searchLine } from "../../src/cli/load_search.ts";
import { NO_PORT } from "../../src/load/link.ts";
import type { LoadReport } from "../../src/load/report/report.ts";
import type { Found, StageVerdict } from "../../src/load/shape/stages.ts";

const STAGE = { kind: "open", ratePerSecond: 10 } as const;
const GOOD = {
  requests: { completed: 10, left: 0, failed: 0, not_sent: 0, errors: [] },
  requests_per_second: 10,
  saturated_after_s: null,
  goodput: { share: 1 },
  doubt: { limit: "none", notes: [], unjudged: [], overload: null },
};
const CLIENT = { ...GOOD.doubt, limit: "client" };
const failed = (text: string) => ({ ...GOOD.requests, failed: 1, errors: [{ text }] });

/** What a stage has found, beside what is good → what that says of its rate. */
const ROWS: readonly (readonly [string, object, StageVerdict])[] = [
  ["all is good", {}, "held"],
  ["all is good though the client was late", { doubt: CLIENT }, "held"],
  ["the limits were not kept", { goodput: { share: 0.5 } }, "missed"],
  ["they were not, as the client was late", { goodput: { share: 0.5 }, doubt: CLIENT }, "unjudged"],
  [
    "they were not, for readers that were to be slow",
    { goodput: { share: 0.5 }, doubt: { ...CLIENT, notes: ["slow"] } },
    "missed",
  ],
  ["a request failed", { requests: failed("Busy") }, "missed"],
  [
    "a request failed, and the client was late",
    { requests: failed("Busy"), doubt: CLIENT },
    "missed",
  ],
  ["the client had no port for it", { requests: failed(NO_PORT), doubt: CLIENT }, "unjudged"],
  [
    "the client did not send all",
    { requests: { ...GOOD.requests, not_sent: 1 }, doubt: CLIENT },
    "unjudged",
  ],
  ["all places were taken", { requests: { ...GOOD.requests, not_sent: 1 } }, "missed"],
  ["less was answered than asked", { doubt: { ...GOOD.doubt, overload: {} } }, "missed"],
  ["a limit has no figure", { doubt: { ...GOOD.doubt, unjudged: ["tpot"] } }, "unjudged"],
  [
    "a limit has none as all have left",
    {
      requests: { ...GOOD.requests, completed: 0, left: 10 },
      doubt: { ...GOOD.doubt, unjudged: ["e2e"] },
    },
    "unjudged",
  ],
  [
    "no limit has a figure, as nothing was answered",
    { requests: { ...GOOD.requests, completed: 0 }, doubt: { ...GOOD.doubt, unjudged: ["e2e"] } },
    "missed",
  ],
  ["it ran away", { saturated_after_s: 3 }, "missed"],
  ["nothing was answered", { requests: { ...GOOD.requests, completed: 0 } }, "missed"],
];

describe("resultOf()", () => {
  for (const [what, more, verdict] of ROWS) {
    test(`${what}: ${verdict}`, () => {
      const report = { ...GOOD, ...more } as unknown as LoadReport;
      expect(resultOf(STAGE, report, 1).verdict).toBe(verdict);
    });
  }
});

/** What was found → in words, and the exit code. */
const ENDS: readonly (readonly [Partial<Found>, string, number])[] = [
  [{ held: 40 }, "The highest rate that was held: 40.0/s.", 0],
  [{ held: 40, missed: 43 }, "The highest rate that was held: 40.0/s; 43.0/s was not.", 0],
  [
    { held: 40, missed: 80, unjudged: 43 },
    "The highest rate that was held: 40.0/s; 43.0/s could not be judged: its report says why.",
    3,
  ],
  [{ missed: 5 }, "No rate was held.", 1],
  [{ unjudged: 5 }, "No rate was held; 5.00/s could not be judged: its report says why.", 3],
];

for (const [some, words, code] of ENDS) {
  test(`a search that has found ${JSON.stringify(some)} says so, and exits with ${code}`, () => {
    const all = { held: undefined, missed: undefined, unjudged: undefined, ...some };
    expect([searchLine(all).trim(), searchCode(all)]).toEqual([words, code]);
  });
}
