import { describe, expect, test } from "bun:test";
import { dayOf, type UsageSum } from "../../src/core/store.ts";
import {
  dayName,
  readReport,
  reportCsv,
  reportLines,
  reportTable,
} from "../../src/ops/usage_report.ts";

const NOW_MS = Date.parse("2028-03-01T00:30:00Z");

/** What is said of days → the first and the last one. */
const DAYS: readonly (readonly [string | undefined, string | undefined, string, string])[] = [
  [undefined, undefined, "2028-03-01", "2028-03-01"],
  ["today", undefined, "2028-03-01", "2028-03-01"],
  ["yesterday", "yesterday", "2028-02-29", "2028-02-29"],
  ["7d", undefined, "2028-02-24", "2028-03-01"],
  ["1d", "today", "2028-03-01", "2028-03-01"],
  ["2028-02", "2028-02", "2028-02-01", "2028-02-29"],
  ["2027-12", "2028-01-15", "2027-12-01", "2028-01-15"],
  ["2028-02-29", undefined, "2028-02-29", "2028-03-01"],
];

describe("readReport", () => {
  for (const [since, until, first, last] of DAYS) {
    test(`${since} to ${until}`, () => {
      const asked = readReport({ by: undefined, since, until, key: undefined }, NOW_MS);
      if ("word" in asked) throw new Error(asked.must);
      expect([dayName(asked.sinceDay), dayName(asked.untilDay)]).toEqual([first, last]);
    });
  }
  for (const since of ["", "2027-02-29", "2028-13", "0d", "-1d", "7", "tomorrow", "28-02-01"]) {
    test(`${JSON.stringify(since)} is no day`, () => {
      expect(readReport({ by: undefined, since, until: undefined, key: undefined }, NOW_MS))
        .toMatchObject({ word: "since" });
    });
  }
});

const SUM: UsageSum = {
  day: dayOf(NOW_MS),
  key: "ci",
  model: "gpt-4o",
  requests: 1,
  estimated: 0,
  unknownTokens: 0,
  unknownCosts: 0,
  promptTokens: 10,
  cachedTokens: 0,
  completionTokens: 5,
  reasoningTokens: 0,
  costNanos: 1_500_000,
};

function linesOf(sums: readonly Partial<UsageSum>[], by: "key" | "model") {
  const query = { by: [by], sinceDay: 0, untilDay: 0, key: undefined } as const;
  return reportLines(sums.map((sum) => ({ ...SUM, ...sum })), query);
}

describe("reportTable", () => {
  test("stands in columns whatever models are called, and tells the total", () => {
    const table = reportTable(linesOf([
      { model: "通义千问-max" },
      { model: "x".repeat(300), unknownCosts: 1 },
      { model: "a\tb" },
    ], "model"));
    expect(table).toEqual([
      `${"model".padEnd(40)}  requests  tokens_in  tokens_out  cost_usd  unknown_costs`,
      `通义千问-max${" ".repeat(28)}         1         10           5  0.001500              0`,
      `${"x".repeat(39)}…         1         10           5   unknown              1`,
      `${"a b".padEnd(40)}         1         10           5  0.001500              0`,
      `${"total".padEnd(40)}         3         30          15  0.003000              1`,
    ]);
  });

  test("has no total of one line, and none of nothing", () => {
    expect(reportTable(linesOf([{ key: "" }], "key"))).toEqual([
      "key  requests  tokens_in  tokens_out  cost_usd",
      "-           1         10           5  0.001500",
    ]);
    expect(reportTable([])).toEqual([]);
  });

  test("nothing in it is known", () => {
    const table = reportTable(
      linesOf([{ unknownCosts: 1 }, { key: "dev", unknownCosts: 1 }], "key"),
    );
    expect(table.at(-1)).toBe("total         2         20          10   unknown              2");
  });
});

test("CSV has whole names, and no formulas", () => {
  const [head, ...rows] = reportCsv(linesOf([
    { model: "=1+1" },
    { model: `"x,${"y".repeat(99)}` },
  ], "model")).split("\r\n");
  expect(head).toStartWith("model,requests,");
  expect(rows[0]).toStartWith("'=1+1,1,");
  expect(rows[1]).toStartWith(`"""x,${"y".repeat(99)}",1,`);
});
