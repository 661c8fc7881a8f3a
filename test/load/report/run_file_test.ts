import { describe, expect, test } from "bun:test";
import { seeded } from "../../../src/lib/seeded.ts";
import { KIND } from "../../../src/load/record.ts";
import { compareRows, rankSum, signedRanks } from "../../../src/load/report/compare.ts";
import { reportOf } from "../../../src/load/report/report.ts";
import {
  mergedRuns,
  readRunFile,
  runFileOf,
  type Stage,
} from "../../../src/load/report/run_file.ts";
import type { StageFacts } from "../../../src/load/stage_facts.ts";
import { Tally } from "../../../src/load/tally.ts";
import { recorded } from "../recorded.ts";

const { choice, text, finish, usage, done } = KIND;

const FACTS: StageFacts = {
  measuredMs: 10_000,
  sendingMs: 9000,
  isInterrupted: false,
  connectionsOpened: 3,
  requestsOnKept: 7,
  activeMax: 4,
  waitingMax: 0,
  loop: { p50: 0.1, p99: 1, max: 2 },
  cpuShare: 0.2,
  waitShare: 0,
};

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
  return { report, rounds, slo, limits };
}

describe("run files", () => {
  const random = seeded(3);
  const whole = tallyOf(200, (i) => 100 + (i % 100) + random());

  test("a run that was written and read has the same report", () => {
    const stage = stageOf(whole);
    const [read] = readRunFile(JSON.stringify(runFileOf([stage])));
    const { rounds, slo, limits } = read!;
    const again = reportOf(rounds, { load: "2/s", slo, countTokens: undefined, limits });
    expect(again).toEqual(stage.report);
    expect(again.requests).toMatchObject({ sent: 200, completed: 180, failed: 20 });
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
    const files = parts.map((part) => readRunFile(JSON.stringify(runFileOf([stageOf(part)]))));
    const [merged] = mergedRuns(files);
    const { report } = merged!;
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
    expect(low).toBeCloseTo(12 - 4.303 * 2 / Math.sqrt(3), 1);
    expect(high).toBeCloseTo(12 + 4.303 * 2 / Math.sqrt(3), 1);
  });

  test("what is no run, and runs that do not belong together", () => {
    expect(() => readRunFile("x")).toThrow("it is no JSON");
    expect(() => readRunFile("{}")).toThrow("it is no run of weir load --out");
    const stage = stageOf(whole);
    expect(() => mergedRuns([[stage], [stage, stage]])).toThrow("different numbers of stages");
    const closed = { ...stage, limits: { ...stage.limits, ratePerSecond: undefined } };
    expect(() => mergedRuns([[stage], [closed]])).toThrow("some of the runs have a rate");
  });
});

describe("compareRows()", () => {
  const rowsOf = (ttftMs: (i: number) => number) => tallyOf(200, ttftMs).rows;
  const noise = (seed: number) => {
    const random = seeded(seed);
    return (i: number) => 100 + (i % 50) + 10 * random();
  };

  test("the same server twice is no difference", () => {
    const [ttft] = compareRows(rowsOf(noise(1)), rowsOf(noise(2)));
    expect(ttft).toMatchObject({ metric: "ttft", isPaired: true, counts: [200, 200] });
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
    expect(ttft).toMatchObject({ isPaired: false, counts: [200, 50] });
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
