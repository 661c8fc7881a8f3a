import { describe, expect, test } from "bun:test";
import { seeded } from "../../../src/lib/seeded.ts";
import { ownValues } from "../../../src/load/metrics/own.ts";
import { KIND } from "../../../src/load/record.ts";
import { compareRows, exchanged, rankSum, signedRanks } from "../../../src/load/report/compare.ts";
import { reportOf } from "../../../src/load/report/report.ts";
import {
  type FinishedRun,
  mergedRuns,
  readRunFile,
  runFileOf,
  type Stage,
} from "../../../src/load/report/run_file.ts";
import { Rows } from "../../../src/load/rows.ts";
import type { StageFacts } from "../../../src/load/stage_facts.ts";
import { Tally } from "../../../src/load/tally.ts";
import { recorded } from "../recorded.ts";

const { choice, text, finish, usage, done } = KIND;

const FACTS: StageFacts = {
  measuredMs: 10_000,
  offeredMs: 9000,
  isInterrupted: false,
  connectionsOpened: 3,
  requestsOnKept: 7,
  activeMax: 4,
  waitingMax: 0,
  loop: { p50: 0.1, p99: 1, max: 2 },
  cpuShare: 0.2,
  waitShare: 0,
  processes: 1,
  saturatedMs: null,
  troubles: [],
};

const NO_VALUES = ownValues(recorded([]), undefined);

/** A tally of requests whose first token came after `ttftMs(i)`. Every tenth has failed. */
function tallyOf(count: number, ttftMs: (i: number) => number): Tally {
  const tally = new Tally({ slo: { ttft: 150 }, countTokens: (said) => said.length });
  for (let i = 0; i < count; i++) {
    const firstMs = ttftMs(i);
    const hasFailed = i % 10 === 9;
    const record = recorded([
      [firstMs, choice | text, "a"],
      [firstMs + 20, choice | text, "b"],
      [firstMs + 21, choice | finish | usage],
      [firstMs + 22, done],
    ], {
      usage: { promptTokens: 2, completionTokens: 2 },
      outcome: hasFailed ? "failed" : "completed",
      status: hasFailed ? 503 : 200,
    });
    record.number = i;
    if (hasFailed) record.failure = { phase: "head", status: 503, text: "full" };
    tally.observe(record);
  }
  return tally;
}

function stageOf(tally: Tally, facts: StageFacts = FACTS): Stage {
  const slo = { ttft: 150 };
  const limits = { loopMsMax: 5, ratePerSecond: 2, concurrencyMax: 10 };
  const rounds = [{ tally, facts }];
  const report = reportOf(rounds, { load: "2/s", slo, countTokens: undefined, limits });
  return { report, startedAtMs: 1_000_000, rounds, slo, limits };
}

const ASKED = { "the target": "http://a/", "--seed": "1" };
const WHOLE_RUN = { asked: ASKED, parts: { count: 1, have: [0] } };

/** One of several parts, from 1. */
function partRun(part: number, count: number, stages: readonly Stage[]): FinishedRun {
  return { asked: ASKED, parts: { count, have: [part - 1] }, stages };
}

const again = (run: FinishedRun) => readRunFile(JSON.stringify(runFileOf(run)))[0]!;

describe("run files", () => {
  const random = seeded(3);
  const whole = tallyOf(200, (i) => 100 + (i % 100) + random());

  test("a run that was written and read has the same report", () => {
    const stage = stageOf(whole);
    const read = again({ ...WHOLE_RUN, stages: [stage] });
    expect(read).toMatchObject(WHOLE_RUN);
    const [{ rounds, slo, limits, startedAtMs }] = read.stages as [Stage];
    expect(startedAtMs).toBe(1_000_000);
    const report = reportOf(rounds, { load: "2/s", slo, countTokens: undefined, limits });
    expect(report).toEqual(stage.report);
    expect(report.requests).toMatchObject({ sent: 200, completed: 180, failed: 20 });
    expect(rounds[0]!.tally.rows.length).toBe(200);
  });

  test("parts of two machines are exactly the whole", () => {
    const random = seeded(3);
    const all = Array.from({ length: 200 }, (_, i) => 100 + (i % 100) + random());
    // Each part has its own tenths that fail, so that the whole is made of the parts.
    const parts = [
      tallyOf(100, (i) => all[i]!),
      tallyOf(100, (i) => all[100 + i]!),
    ];
    const files = parts.map((part, i) => again(partRun(i + 1, 2, [stageOf(part)])));
    const merged = mergedRuns(files, ["one", "two"]);
    expect(merged.parts).toEqual({ count: 2, have: [0, 1] });
    const [{ report }] = merged.stages as [Stage];
    expect(report.processes).toBe(2);
    expect(report.doubt.reasons).toEqual([]);
    const wanted = stageOf(whole).report;
    expect(report.requests).toEqual(wanted.requests);
    for (const name of ["ttft_ms", "itl_ms", "tpot_ms", "e2e_ms"] as const) {
      const { mean, ...figures } = report[name]!;
      const { mean: wantedMean, ...wantedFigures } = wanted[name]!;
      expect(figures).toEqual(wantedFigures);
      expect(mean).toBeCloseTo(wantedMean, 9);
    }
    expect(report.goodput!.good).toBe(wanted.goodput!.good);
    // Side by side: twice the answers in the same time.
    expect(report.seconds).toBe(10);
    expect(report.requests_per_second).toBe(18);
    expect(report.connections).toMatchObject({ opened: 6, at_once_max: 8 });
  });

  test("rounds one after the other take the time of all, and have bounds", () => {
    const rounds = [10, 12, 14].map((ms) => ({ tally: tallyOf(20, () => ms), facts: FACTS }));
    const report = reportOf(rounds, {
      load: "",
      slo: undefined,
      countTokens: undefined,
      limits: { loopMsMax: 5, ratePerSecond: undefined, concurrencyMax: Infinity },
    });
    expect(report.seconds).toBe(30);
    expect(report.requests_per_second).toBe(54 / 30);
    const [low, high] = report.ttft_ms!.ci95!.p50!;
    // The rounds have nothing in common, and there are three: all that was measured is possible.
    expect([low, high].map(Math.round)).toEqual([10, 14]);
  });

  test("parts of parts are the whole, in whichever order", () => {
    const random = seeded(4);
    const parts = [0, 1, 2, 3].map((i) => {
      const firstMs = Array.from({ length: 50 }, () => 50 + 500 * random());
      return partRun(i + 1, 4, [stageOf(tallyOf(50, (at) => firstMs[at]!))]);
    });
    const all = mergedRuns(parts, ["a", "b", "c", "d"]);
    const halves = [[parts[3]!, parts[1]!], [parts[0]!, parts[2]!]]
      .map((half) => again(mergedRuns(half, ["a", "b"])));
    const [first] = halves as [FinishedRun];
    expect(first.parts).toEqual({ count: 4, have: [1, 3] });
    expect(first.stages[0]!.report.doubt.reasons).toEqual([
      "parts 1, 3 of 4 are missing: what was sent from there is in no figure",
    ]);
    const merged = mergedRuns(halves, ["left", "right"]);
    expect(merged.parts).toEqual({ count: 4, have: [0, 1, 2, 3] });
    const [one, other] = [merged, all].map(({ stages }) => stages[0]!.report);
    for (const name of ["ttft_ms", "e2e_ms"] as const) {
      const { mean, ...figures } = one![name]!;
      const { mean: wantedMean, ...wanted } = other![name]!;
      expect(figures).toEqual(wanted);
      expect(mean).toBeCloseTo(wantedMean, 9);
    }
    expect(one!.requests).toEqual(other!.requests);
  });

  test("a run in the lines of a log, and several of them", () => {
    const line = (part: number) => JSON.stringify(runFileOf(partRun(part, 2, [stageOf(whole)])));
    const log = (...parts: readonly number[]) =>
      ["waits 3.0 s", ...parts.map(line), "bye", ""].join("\n");
    const have = (text: string) => readRunFile(text).map(({ parts }) => parts.have);
    expect(have(log(2))).toEqual([[1]]);
    expect(have(log(2, 1))).toEqual([[1], [0]]);
    expect(() => readRunFile(log(1).slice(0, 100))).toThrow("a run in it is cut off");
  });

  test("what is no run", () => {
    for (const text of ["x", "{}", "[]", "null", '{"weir_load":2,"stages":[]}']) {
      expect(() => readRunFile(text)).toThrow("it is no run of weir load --out");
    }
  });

  const stage = stageOf(whole);
  const closed = { ...stage, limits: { ...stage.limits, ratePerSecond: undefined } };
  const one = partRun(1, 2, [stage]);
  const two = partRun(2, 2, [stage]);
  /** runs → why they are not put together */
  const REFUSED: readonly (readonly [string, readonly FinishedRun[], string])[] = [
    ["a part twice", [one, two, one], "a and c are both part 1 of 2"],
    [
      "a whole run",
      [one, { ...WHOLE_RUN, stages: [stage] }],
      "b is a whole run, and no part of one",
    ],
    [
      "another number of parts",
      [one, partRun(2, 3, [stage])],
      "b is one of 3 parts, and a one of 2",
    ],
    [
      "another seed",
      [one, { ...two, asked: { ...ASKED, "--seed": "2" } }],
      "different runs: --seed is 1 in a and 2 in b",
    ],
    [
      "another target",
      [one, { ...two, asked: { ...ASKED, "the target": "http://b/" } }],
      "the target is http://a/ in a and http://b/ in b",
    ],
    [
      "a limit that only one has",
      [one, { ...two, asked: { ...ASKED, "--slo": "1" } }],
      "--slo is none in a and 1 in b",
    ],
    ["fewer stages", [one, partRun(2, 2, [stage, stage])], "a has 1 of 2"],
    ["a rate in one", [one, partRun(2, 2, [closed])], "some of the runs have a rate"],
  ];
  for (const [name, runs, why] of REFUSED) {
    test(`${name} is refused`, () => {
      expect(() => mergedRuns(runs, ["a", "b", "c"])).toThrow(why);
    });
  }

  /** how much later the second part began → what is told */
  const APART = [[0, undefined], [499, undefined], [501, "0.5 s apart"], [3000, "3.0 s"]] as const;
  for (const [ms, told] of APART) {
    test(`parts that began ${ms} ms apart, in a run of 10 s`, () => {
      const late = partRun(2, 2, [{ ...stage, startedAtMs: stage.startedAtMs + ms }]);
      const [{ report }] = mergedRuns([one, late], ["a", "b"]).stages as [Stage];
      expect(report.doubt.is_doubtful).toBe(told !== undefined);
      expect(report.doubt.reasons.join()).toContain(told ?? "");
    });
  }
});

describe("compareRows()", () => {
  const rowsOf = (ttftMs: (i: number) => number) => tallyOf(200, ttftMs).rows;
  const noise = (seed: number) => {
    const random = seeded(seed);
    return (i: number) => 100 + (i % 50) + 10 * random();
  };

  test("the same server twice is no difference", () => {
    const [ttft] = compareRows(rowsOf(noise(1)), rowsOf(noise(2)));
    expect(ttft).toMatchObject({ metric: "ttft", isPaired: true, counts: [180, 180] });
    expect(ttft!.chance).toBeGreaterThan(0.01);
  });

  test("a server that is 3 ms slower is found by its pairs", () => {
    const slower = noise(2);
    const [ttft] = compareRows(rowsOf(noise(1)), rowsOf((i) => slower(i) + 3));
    expect(ttft!.chance).toBeLessThan(0.001);
    expect(ttft!.change).toBeGreaterThan(0);
  });

  test("runs of other lengths are compared without pairs", () => {
    const [ttft] = compareRows(rowsOf(noise(1)), tallyOf(50, noise(2)).rows);
    expect(ttft).toMatchObject({ isPaired: false, counts: [180, 45] });
  });
});

/** Requests of a run, in the order of being due → their first tokens. `n`: how many there are. */
type Server = (n: number, random: () => number) => readonly number[];

const bell = (random: () => number) =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const calm: Server = (n, random) =>
  Array.from({ length: n }, () => 20 * Math.exp(0.3 * bell(random)));

/** Servers that are no slower the second time. */
const SERVERS: Readonly<Record<string, Server>> = {
  "is even": calm,
  "now and then takes ten times as long": (n, random) =>
    Array.from({ length: n }, () => 20 * Math.exp(bell(random))),
  "stands still up to three times": (n, random) => {
    const times = [...calm(n, random)];
    for (let stall = Math.floor(4 * random()); stall > 0; stall--) {
      const at = Math.floor(n * random());
      const to = Math.min(n, at + Math.floor(n * (0.01 + 0.04 * random())));
      for (let i = at; i < to; i++) times[i]! += 300 * (1 - (i - at) / (to - at));
    }
    return times;
  },
  "has a queue": (n, random) => {
    let [dueMs, freeMs] = [0, 0];
    return Array.from({ length: n }, () => {
      dueMs -= 20 * Math.log(1 - random());
      freeMs = Math.max(freeMs, dueMs) - 16 * Math.log(1 - random());
      return freeMs - dueMs;
    });
  },
};

/** What each slowest part of a run becomes → the requests, and what is said of the tail. */
const TAILS: readonly (readonly [
  name: string,
  (ms: number, i: number) => number,
  requests: number,
  verdict: string,
])[] = [
  [
    "each twentieth takes half a second more",
    (ms, i) => i % 20 === 7 ? ms + 500 : ms,
    400,
    "slower",
  ],
  ["each fiftieth does", (ms, i) => i % 50 === 7 ? ms + 500 : ms, 1000, "slower"],
  ["one of four hundred does", (ms, i) => i === 7 ? ms + 500 : ms, 400, "no difference that"],
  ["a twentieth in a row does", (ms, i) => i < 20 ? ms + 500 : ms, 400, "no difference that"],
  ["what took long takes less", (ms) => ms > 27 ? 22 + (ms - 27) / 10 : ms, 400, "faster"],
  ["what took long takes 1 % more", (ms) => ms > 27 ? ms * 1.01 : ms, 400, "no difference that"],
];

describe("two runs of one server, and tails that have changed", () => {
  const rowsOf = (times: readonly number[]) => {
    const rows = new Rows();
    const at = { sentMs: 0, endMs: 0, outcome: "completed" } as const;
    // They end in another order than they were due in.
    for (const [number, ttftMs] of [...times.entries()].reverse()) {
      rows.push({ number, dueMs: number, ...at }, { ...NO_VALUES, ttftMs });
    }
    return rows;
  };

  for (const [name, server] of Object.entries(SERVERS)) {
    for (const [requests, others] of [[400, 400], [1000, 1000], [400, 300]] as const) {
      test(`${requests} and ${others} of a server that ${name} are alike`, () => {
        const random = seeded(19);
        const pairs = 60;
        const slower = Array.from({ length: pairs }, () => {
          const runs = [requests, others].map((n) => rowsOf(server(n, random)));
          return compareRows(runs[0]!, runs[1]!)[0]!;
        }).filter(({ verdict, tail }) => [verdict, tail.verdict].includes("slower"));
        expect(slower.length).toBeLessThanOrEqual(0.05 * pairs);
      });
    }
  }

  for (const [name, change, requests, verdict] of TAILS) {
    test(`${name}: ${verdict}`, () => {
      const random = seeded(7);
      const [before, after] = [calm(requests, random), calm(requests, random).map(change)];
      const [ttft] = compareRows(rowsOf(before), rowsOf(after));
      expect(ttft!.tail.verdict).toStartWith(verdict);
      expect(["slower", "faster"]).not.toContain(ttft!.verdict);
      // A client that may itself have been as late says nothing.
      const late = compareRows(rowsOf(before), rowsOf(after), { ttft: 1000 })[0]!.tail;
      expect(["slower", "faster"]).not.toContain(late.verdict);
      expect(late.chance).toBe(ttft!.tail.chance);
    });
  }

  test("exchanged() counts all ways", () => {
    expect(exchanged([0, 0])).toBe(1);
    expect(exchanged([1, -1])).toBe(1);
    expect(exchanged([1, 1, 1])).toBeCloseTo(2 / 8, 9);
    // 1 + 2 + 3, and 1 + 2 + 3 with the 1 or none of them turned around.
    expect(exchanged([1, 2, 3])).toBeCloseTo(2 / 8, 9);
    expect(exchanged([-1, 2, 3])).toBeCloseTo(4 / 8, 9);
    expect(exchanged(Array(10).fill(0.05))).toBeCloseTo(2 / 1024, 9);
  });
});

describe("ranks", () => {
  test("signedRanks() is Wilcoxon's", () => {
    // All eight in one direction: W = 36 of 36, z = 17.5 / √51.
    expect(signedRanks([1, 2, 3, 4, 5, 6, 7, 8])).toBeCloseTo(0.01427, 4);
    expect(signedRanks([1, -1, 2, -2])).toBe(1);
    expect(signedRanks([0, 0])).toBe(1);
  });

  test("rankSum() is Mann and Whitney's", () => {
    // U = 0 of 25, z = 12 / √(25·11/12).
    expect(rankSum([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])).toBeCloseTo(0.01219, 4);
    expect(rankSum([1, 1], [1, 1])).toBe(1);
  });
});
