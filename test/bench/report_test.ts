import { describe, expect, test } from "bun:test";
import { PACED_CASES, WHOLE_CASES } from "../../bench/cases.ts";
import { barChart, escape, lineChart } from "../../bench/charts.ts";
import { figuresOf, type Standing } from "../../bench/figures.ts";
import { htmlPage } from "../../bench/page.ts";
import { ratioText } from "../../bench/numbers.ts";
import { METHOD, resultsPage } from "../../bench/report.ts";
import {
  added,
  median,
  type PacedRow,
  ratioOf,
  type Results,
  type WholeRow,
} from "../../bench/results.ts";
import type { Summary } from "../../src/lib/histogram.ts";

const MACHINE = {
  cpu: "a <core>",
  cores: 2,
  memoryGib: 4,
  kernel: "6",
  isPinned: true,
  commit: "abc",
  date: "2026-01-01 00:00",
  versions: { bun: "1" },
};

function wholeRow(server: string, rates: readonly number[], ours: readonly number[]): WholeRow {
  const results = rates.map((requestsPerSecond) => ({
    tool: "wrk" as const,
    requestsPerSecond,
    requests: requestsPerSecond,
    clientCpuUs: 1e5,
    besideUsPerRequest: 1,
    p50Ms: 1000 / requestsPerSecond,
    p99Ms: 1,
    cpuUsPerRequest: 1e6 / requestsPerSecond,
    stolenShare: 0.02,
  }));
  const ratio = server === "weir" ? undefined : ratioOf(ours, rates);
  return {
    caseTitle: WHOLE_CASES[0]!.title,
    connections: 64,
    server,
    results,
    weirRatio: ratio,
    weirCpuRatio: ratio,
    peakRssKib: 1024,
  };
}

function summary(p99: number): Summary {
  return { count: 9, mean: 1, p50: p99 / 4, p90: p99 / 2, p99, p999: p99, max: p99 };
}

function pacedRow(server: string, lateMs: number, lost: number): PacedRow {
  const zero = summary(0);
  const report = {
    streams: 4000,
    completed: 4000,
    failed: {},
    events: 100,
    bytes: 100,
    lost,
    doubled: 0,
    strange: 0,
    merged: 0,
    windowMs: 5000,
    eventsPerSecond: 80_000,
    bytesPerSecond: 1,
    eventsPerRead: 1,
    firstEventMs: zero,
    gapMs: zero,
    latenessMs: summary(lateMs),
    driftMs: zero,
    driftPercent: summary(0.2),
    startDelayMs: zero,
    loopDelayMs: zero,
    clientCpuShare: 0.5,
  };
  const found = { report, verdict: { kind: "valid" as const, reasons: [] } };
  const round = { found, cpuUsPerEvent: 9, peakRssKib: 40_000, stolenShare: 0 };
  const { title, streams } = PACED_CASES[0]!;
  return { caseTitle: title, streams, server, rounds: [round] };
}

function resultsOf(rows: Partial<Results>): Results {
  return {
    machine: MACHINE,
    isQuick: false,
    rounds: 3,
    secondsPerRun: 1,
    whole: [],
    paced: [],
    idle: [],
    skipped: [],
    ...rows,
  };
}

describe("figuresOf()", () => {
  /** rates of weir beside a bare server of 100 → how ≥ 0.75 stands. */
  const WHOLE: readonly (readonly [rates: readonly number[], standing: Standing])[] = [
    [[80, 76, 90], "met"],
    [[70, 70, 80], "within"],
    [[70, 71, 72], "missed"],
  ];
  for (const [rates, standing] of WHOLE) {
    test(`${rates.join(", ")} of 100 has ${standing} 0.75`, () => {
      const rows = [
        wholeRow("weir", rates, rates),
        wholeRow("bare Bun.serve", [100, 100, 100], rates),
      ];
      const [figure, ...others] = figuresOf(resultsOf({ whole: rows }));
      expect(others).toEqual([]);
      expect(figure).toMatchObject({ wanted: "≥ 0.75", standing });
    });
  }

  test("beside a peer stands what the bare server itself reached", () => {
    const rows = [
      wholeRow("weir", [80], [80]),
      wholeRow("bare Bun.serve", [100], [80]),
      wholeRow("aimock", [10], [80]),
    ];
    const [bare, aimock] = figuresOf(resultsOf({ whole: rows }));
    expect(bare!.note).not.toContain("itself");
    expect(aimock!.note).toContain("bare Bun.serve itself 10.00");
  });

  describe("of two workers", () => {
    const { title } = WHOLE_CASES.find(({ oneProcess }) => oneProcess !== undefined)!;
    function rows(two: number, twoUs: number, besideUs: number): readonly WholeRow[] {
      const one = { rate: 1000, us: 1000 };
      return [
        { server: "weir", rate: two, us: twoUs },
        { server: "weir, 1 process", ...one },
      ].map(({ server, rate, us }) => {
        const row = wholeRow(server, [rate], [two]);
        const results = row.results.map((round) => ({
          ...round,
          cpuUsPerRequest: us,
          besideUsPerRequest: besideUs,
        }));
        const weirCpuRatio = server === "weir" ? undefined : ratioOf([one.us], [twoUs]);
        return { ...row, caseTitle: title, results, weirCpuRatio };
      });
    }

    /** rate and µs of two workers, the client's µs → standing beside 1000/s and 1000 µs of one, the bound. */
    const WORKERS: readonly (readonly [number, number, number, Standing, string])[] = [
      [1600, 1000, 100, "met", "at most 1.82"],
      [1400, 1000, 100, "missed", "at most 1.82"],
      [1300, 1000, 500, "limited", "at most 1.33"],
      [1100, 1000, 500, "missed", "at most 1.33"],
      [1200, 1600, 500, "missed", "so at most 1.25 with the client elsewhere"],
    ];
    for (const [rate, us, besideUs, standing, note] of WORKERS) {
      test(`${rate}/s of ${us} µs with a client of ${besideUs} µs: ${standing}`, () => {
        const [figure, ...others] = figuresOf(resultsOf({ whole: rows(rate, us, besideUs) }));
        expect(others).toEqual([]);
        expect(figure).toMatchObject({ wanted: "≥ 1.5", standing });
        expect(figure!.note).toContain(note);
      });
    }

    test("a client with cores of its own bounds nothing but the number of processes", () => {
      const machine = { ...MACHINE, cores: 8 };
      const [figure] = figuresOf(resultsOf({ machine, whole: rows(1300, 1000, 500) }));
      expect(figure).toMatchObject({ standing: "missed" });
      expect(figure!.note).toContain("at most 2.00");
    });
  });

  /** lateness and lost events of a paced run → standing of lateness and of the events. */
  const PACED: readonly (readonly [lateMs: number, lost: number, Standing, Standing])[] = [
    [11, 0, "met", "met"],
    [13, 0, "missed", "met"],
    [11, 1, "met", "missed"],
  ];
  for (const [lateMs, lost, late, events] of PACED) {
    test(`${lateMs} ms late and ${lost} lost: ${late}, ${events}`, () => {
      const rows = [pacedRow("weir", lateMs, lost), pacedRow("bare wheel", 9, 0)];
      const figures = figuresOf(resultsOf({ paced: rows }));
      const standingOf = (part: string) =>
        figures.find(({ title }) => title.includes(part))?.standing;
      expect(standingOf("lateness p99")).toBe(late);
      expect(standingOf("lost, doubled")).toBe(events);
      expect(standingOf("drift")).toBe("met");
      expect(standingOf("bare wheel")).toBe("met");
    });
  }

  test("a run that its client spoilt decides nothing", () => {
    const row = pacedRow("weir", 400, 9);
    const [round] = row.rounds;
    const verdict = { kind: "invalid" as const, reasons: ["late"] };
    const rounds = [{ ...round!, found: { ...round!.found, verdict } }];
    const figures = figuresOf(resultsOf({ paced: [{ ...row, rounds }] }));
    expect(figures.map(({ standing }) => standing)).toEqual([
      "disturbed",
      "disturbed",
      "disturbed",
    ]);
  });

  test("rounds in which others had the core decide nothing", () => {
    const rows = [wholeRow("weir", [50], [50]), wholeRow("bare Bun.serve", [100], [50])];
    const whole = rows.map((row) => ({
      ...row,
      results: row.results.map((one) => ({ ...one, stolenShare: 0.5 })),
    }));
    expect(figuresOf(resultsOf({ whole }))).toMatchObject([{ standing: "disturbed" }]);
  });

  test("the wanted memory is the table's", () => {
    const idle = [{
      server: "weir",
      streams: 10_000,
      idleKib: 0,
      openKib: 70_000,
      kibPerStream: 7,
    }];
    expect(figuresOf(resultsOf({ idle }))).toMatchObject([{
      wanted: "≤ 6 KiB",
      standing: "missed",
    }]);
  });

  test("what was not measured is no figure", () => expect(figuresOf(resultsOf({}))).toEqual([]));
});

test("ratioOf() pairs the rounds", () => {
  expect(ratioOf([1, 4, 9], [2, 4, 3])).toEqual({ rounds: 3, median: 1, min: 0.5, max: 3 });
  expect(ratioText(ratioOf([1, 4, 9], [2, 4, 3]))).toBe("1.00 (0.50–3.00)");
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

test("added() keeps what was not measured again", () => {
  const before = resultsOf({
    whole: [wholeRow("weir", [1], [1])],
    paced: [pacedRow("weir", 1, 0)],
  });
  const now = resultsOf({ whole: [wholeRow("weir", [2], [2])] });
  const { whole, paced } = added(before, now);
  expect(whole.map(({ results }) => results[0]!.requests)).toEqual([2]);
  expect(paced.length).toBe(1);
  const other = { ...wholeRow("weir", [3], [3]), connections: 1 };
  expect(added(before, resultsOf({ whole: [other] })).whole.length).toBe(2);
});

describe("the pages", () => {
  const rows = [wholeRow("weir", [80], [80]), wholeRow("bare Bun.serve", [100], [80])];
  const full = resultsOf({
    whole: rows,
    paced: [pacedRow("weir", 11, 0), pacedRow("bare wheel", 9, 0)],
    idle: [{ server: "weir", streams: 10_000, idleKib: 0, openKib: 50_000, kibPerStream: 5 }],
    skipped: ["nginx is not installed"],
  });

  test("the method has ten lines", () => expect(METHOD.length).toBe(10));

  test("results.md says what was wanted, measured and left out", () => {
    const page = resultsPage(full);
    expect(page).toContain("0.80 (0.80–0.80) | met |");
    expect(page).toContain("nginx is not installed");
    expect(page).toContain("Commit abc");
  });

  test("results.html asks nobody for anything and lets no text become markup", () => {
    const page = htmlPage(full);
    expect(page).not.toMatch(/https?:|src=|<script|@import|url\(/);
    expect(page).toContain("a &lt;core&gt;");
    expect(page.match(/<svg/g)!.length).toBeGreaterThanOrEqual(5);
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
  });

  test("an empty run still makes pages", () => {
    expect(htmlPage(resultsOf({}))).not.toMatch(/NaN|undefined|Infinity/);
    expect(resultsPage(resultsOf({}))).toContain("# Results");
  });

  test("escape() leaves no sign of markup", () => {
    expect(escape(`<a b="c">&`)).toBe("&lt;a b=&quot;c&quot;&gt;&amp;");
  });

  test("charts hold a bar and a point for every value", () => {
    const bar = { name: "a", value: 2, min: 1, max: 3, color: "red" };
    const bars = barChart([{ title: "t", bars: [bar, { ...bar, value: 0, min: 0, max: 0 }] }], {
      format: String,
      isLog: true,
      goal: 12,
    });
    expect(bars.match(/<rect/g)!.length).toBe(2);
    const points = [{ x: "1", y: 2 }, { x: "2", y: 5 }];
    const lines = [{ name: "p50", color: "red", isDashed: false, points }];
    const chart = lineChart(lines, { format: String, goal: 12, unit: "streams" });
    expect(chart.match(/<circle/g)!.length).toBe(2);
    expect(bars + chart).not.toMatch(/NaN|Infinity/);
  });
});
