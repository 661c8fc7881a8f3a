import { describe, expect, test } from "bun:test";
import { IDLE_CASES, PACED_CASES, START_CASE, WHOLE_CASES } from "../../bench/cases.ts";
import { barChart, escape, lineChart } from "../../bench/charts.ts";
import { figuresOf } from "../../bench/figures.ts";
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
import type { Standing } from "../../bench/standing.ts";
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
    unreadMs: zero,
    clientCpuShare: 0.5,
  };
  const found = { report, verdict: { kind: "valid" as const, isDoubtful: false, reasons: [] } };
  const round = { found, cpuUsPerEvent: 9, peakRssKib: 40_000, stolenShare: 0, loopLateMs: 5 };
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
    starts: [],
    skipped: [],
    ...rows,
  };
}

describe("figuresOf()", () => {
  /** processor time of a bare server where weir takes 100 → how ≥ 1.3 stands. */
  const WHOLE: readonly (readonly [theirs: readonly number[], standing: Standing])[] = [
    [[140, 130, 150], "met"],
    [[120, 120, 140], "within"],
    [[110, 111, 112], "missed"],
  ];
  for (const [theirs, standing] of WHOLE) {
    test(`${theirs.join(", ")} µs beside 100 have ${standing} 1.3`, () => {
      const weir = wholeRow("weir", [1, 1, 1], [1, 1, 1]);
      const bare = wholeRow("bare Bun.serve", [1, 1, 1], [1, 1, 1]);
      const timed = (row: WholeRow, us: readonly number[]) => ({
        ...row,
        results: row.results.map((one, i) => ({ ...one, cpuUsPerRequest: us[i]! })),
      });
      const rows = [
        timed(weir, [100, 100, 100]),
        { ...timed(bare, theirs), weirCpuRatio: ratioOf(theirs, [100, 100, 100]) },
      ];
      const [figure, ...others] = figuresOf(resultsOf({ whole: rows }));
      expect(others).toEqual([]);
      expect(figure).toMatchObject({ wanted: "≥ 1.3", standing });
      expect(figure!.note).toContain("1 and 1 requests/s: 1.00");
    });
  }

  test("each number of connections has its own figure", () => {
    const rows = [64, 512, 4000, 8].flatMap((connections) =>
      [wholeRow("weir", [120], [120]), wholeRow("bare Bun.serve", [100], [120])].map((row) => ({
        ...row,
        connections,
      }))
    );
    const figures = figuresOf(resultsOf({ whole: rows }));
    expect(figures.map(({ wanted }) => wanted)).toEqual(["≥ 1.3", "≥ 1.1", "≥ 1.3"]);
    expect(figures.map(({ standing }) => standing)).toEqual(["missed", "met", "missed"]);
  });

  test("processor time beside an older weir is its share, and may be so much", () => {
    const work = WHOLE_CASES.find(({ againstMax }) => againstMax !== undefined)!;
    const rows = [wholeRow("weir", [100], [100]), wholeRow("weir at abc", [80], [100])].map(
      (row) => ({ ...row, caseTitle: work.title }),
    );
    expect(figuresOf(resultsOf({ whole: rows }))).toMatchObject([
      { wanted: "≤ 0.85", measured: "0.80 (0.80–0.80)", standing: "met" },
    ]);
  });

  test("what a proxy adds is compared with what nginx adds", () => {
    const { title } = WHOLE_CASES.find(({ name }) => name === "proxy")!;
    const row = (server: string, p50Ms: number) => {
      const made = wholeRow(server, [1000], [1000]);
      const results = made.results.map((one) => ({ ...one, p50Ms }));
      return { ...made, caseTitle: title, connections: 1, results };
    };
    const rows = [
      row("weir", 0.12),
      row("the upstream itself", 0.02),
      row("nginx proxy_pass", 0.11),
    ];
    expect(figuresOf(resultsOf({ whole: rows }))).toMatchObject([{
      measured: "0.100 (0.100–0.100) ms",
      standing: "missed",
    }]);
  });

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

    test("processor time is shown, with the bound of requests/s on shared cores", () => {
      const [figure, ...others] = figuresOf(resultsOf({ whole: rows(1400, 1250, 100) }));
      expect(others).toEqual([]);
      expect(figure).toMatchObject({ wanted: "", standing: "shown", measured: "0.80 (0.80–0.80)" });
      expect(figure!.note).toContain("at most 1.82");
      expect(figure!.note).toContain("at most 1.60 with the client elsewhere");
    });

    test("a client with cores of its own bounds nothing but the number of processes", () => {
      const machine = { ...MACHINE, cores: 8 };
      const [figure] = figuresOf(resultsOf({ machine, whole: rows(1300, 1000, 500) }));
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
      expect(standingOf("processor time per event vs bare wheel")).toBe("met");
    });
  }

  test("a run that its client spoilt decides nothing", () => {
    const row = pacedRow("weir", 400, 9);
    const [round] = row.rounds;
    const verdict = { kind: "invalid" as const, isDoubtful: true, reasons: ["late"] };
    const rounds = [{ ...round!, found: { ...round!.found, verdict } }];
    const figures = figuresOf(resultsOf({ paced: [{ ...row, rounds }] }));
    expect(figures.map(({ standing }) => standing)).toEqual(Array(4).fill("disturbed"));
  });

  /** merged events and how late the loop was → how "nothing merged" stands, at 50 ms a word. */
  const MERGED: readonly (readonly [number, number | null | undefined, Standing])[] = [
    [0, 5, "met"],
    [3, 5, "missed"],
    [3, undefined, "missed"],
    [3, 100, "disturbed"],
    [3, null, "disturbed"],
  ];
  for (const [merged, loopLateMs, standing] of MERGED) {
    test(`${merged} merged while the loop was ${loopLateMs} ms late: ${standing}`, () => {
      const row = pacedRow("weir", 9, 0);
      const rounds = row.rounds.map((round) => {
        const report = { ...round.found.report, merged };
        return { ...round, loopLateMs, found: { ...round.found, report } };
      });
      const figures = figuresOf(resultsOf({ paced: [{ ...row, rounds }] }));
      expect(figures.find(({ title }) => title.includes("merged"))).toMatchObject({ standing });
    });
  }

  test("a proxied event may be so much later than nginx's", () => {
    const { title } = PACED_CASES.find(({ isProxied }) => isProxied)!;
    const rows = [
      pacedRow("weir", 3.2, 0),
      pacedRow("the upstream itself", 2, 0),
      pacedRow("nginx proxy_pass", 3, 0),
    ].map((row) => ({ ...row, caseTitle: title }));
    const figures = figuresOf(resultsOf({ paced: rows }));
    const added = figures.find((figure) => figure.title.includes("added"));
    expect(added).toMatchObject({ standing: "met", measured: "1.20 (1.20–1.20) ms" });
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
    const idle = IDLE_CASES.map(({ name }) => ({
      name,
      server: "weir",
      count: 10_000,
      rounds: [{ idleKib: 0, openKib: 70_000, kibEach: 7 }],
    }));
    expect(figuresOf(resultsOf({ idle }))).toMatchObject(
      IDLE_CASES.map(({ kibMax }) => ({ wanted: `≤ ${kibMax} KiB`, standing: "missed" })),
    );
  });

  test("a start has two figures", () => {
    const starts = [{ server: "weir", starts: [{ readyMs: 50, blockMs: 30 }] }];
    expect(figuresOf(resultsOf({ starts }))).toMatchObject([
      { wanted: `≤ ${START_CASE.readyMsMax} ms`, standing: "met" },
      { wanted: `≤ ${START_CASE.blockMsMax} ms`, standing: "missed" },
    ]);
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
  const idleOf = (name: string, count: number) => [{ name, server: "weir", count, rounds: [] }];
  const both = added(
    resultsOf({ idle: [...idleOf("a", 1), ...idleOf("b", 1)] }),
    resultsOf({ idle: idleOf("b", 2) }),
  );
  expect(both.idle.map(({ count }) => count)).toEqual([1, 2]);
  const other = { ...wholeRow("weir", [3], [3]), connections: 1 };
  expect(added(before, resultsOf({ whole: [other] })).whole.length).toBe(2);
});

describe("the pages", () => {
  const rows = [wholeRow("weir", [80], [80]), wholeRow("bare Bun.serve", [100], [80])];
  const full = resultsOf({
    whole: rows,
    paced: [pacedRow("weir", 11, 0), pacedRow("bare wheel", 9, 0)],
    idle: [{
      name: IDLE_CASES[0]!.name,
      server: "weir",
      count: 10_000,
      rounds: [{ idleKib: 0, openKib: 50_000, kibEach: 5 }],
    }],
    starts: [{ server: "weir", starts: [{ readyMs: 50, blockMs: 10 }] }],
    skipped: ["nginx is not installed"],
  });

  test("the method has ten lines", () => expect(METHOD.length).toBe(10));

  test("results.md says what was wanted, measured and left out", () => {
    const page = resultsPage(full);
    expect(page).toContain("0.80 (0.80–0.80) | missed |");
    expect(page).toContain("## Round by round");
    expect(page).toContain("| bare Bun.serve | 0.80 | 0 % |");
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
