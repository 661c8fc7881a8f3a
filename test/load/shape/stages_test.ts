import { describe, expect, test } from "bun:test";
import {
  type Found,
  found,
  listed,
  search,
  type Stage,
  type StagePlan,
  type StageResult,
  type StageVerdict,
  sweep,
} from "../../../src/load/shape/stages.ts";

/** Runs a plan against a server that bears `perSecond`, and gives what was asked for. */
function run(plan: StagePlan, perSecond: number): readonly StageResult[] {
  const results: StageResult[] = [];
  for (let stage = plan(results); stage !== undefined; stage = plan(results)) {
    results.push({ stage, ...answered(stage, perSecond) });
  }
  return results;
}

/** An answer takes 100 ms, and there are no more than `perSecond` of them. */
function answered(stage: Stage, perSecond: number) {
  const asked = stage.kind === "closed"
    ? 10 * stage.concurrency
    : stage.kind === "open"
    ? stage.ratePerSecond
    : 0;
  return {
    requestsPerSecond: Math.min(asked, perSecond),
    verdict: asked <= perSecond ? "held" as const : "missed" as const,
    isSaturated: false,
  };
}

const rates = (results: readonly StageResult[]) =>
  results.flatMap(({ stage }) => stage.kind === "open" ? [stage.ratePerSecond] : []);

describe("stages", () => {
  test("listed() gives them in their order", () => {
    const stages: readonly Stage[] = [
      { kind: "closed", concurrency: 1 },
      { kind: "closed", concurrency: 8 },
    ];
    expect(run(listed(stages), 100).map(({ stage }) => stage)).toEqual([...stages]);
  });

  test("sweep() goes from one at a time to what the server bears", () => {
    const results = run(sweep(10, 512), 100);
    expect(results.slice(0, 2).map(({ stage }) => stage)).toEqual([
      { kind: "closed", concurrency: 1 },
      { kind: "closed", concurrency: 512 },
    ]);
    expect(rates(results).map(Math.round)).toEqual([20, 30, 40, 50, 60, 70, 80, 90, 100]);
  });

  test("sweep() ends where nothing was answered", () => {
    const dead = { requestsPerSecond: undefined, verdict: "missed", isSaturated: false } as const;
    const stage: Stage = { kind: "closed", concurrency: 1 };
    expect(sweep(10, 512)([{ stage, ...dead }, { stage, ...dead }])).toBeUndefined();
  });

  for (const perSecond of [0.3, 1, 37, 1000]) {
    test(`search() finds the ${perSecond}/s that a server bears`, () => {
      const { held, missed } = found(run(search(1, 1e6), perSecond));
      expect(held!).toBeLessThanOrEqual(perSecond);
      expect(missed!).toBeGreaterThan(perSecond);
      expect(missed! / held!).toBeLessThan(1.08);
    });
  }

  test("search() asks for no more than it may", () => {
    const results = run(search(10, 50), 1000);
    expect(rates(results)).toEqual([10, 20, 40, 50]);
    expect(found(results)).toEqual({ held: 50, missed: undefined, unjudged: undefined });
  });

  test("search() gives up on a server that bears nothing", () => {
    const results = run(search(1, 1000), 0);
    expect(found(results).held).toBeUndefined();
    expect(results.length).toBeLessThan(10);
  });

  const one = (ratePerSecond: number, verdict: StageVerdict): StageResult => ({
    stage: { kind: "open", ratePerSecond },
    requestsPerSecond: ratePerSecond,
    verdict,
    isSaturated: false,
  });
  const FOUND: readonly (readonly [string, readonly StageResult[], Partial<Found>])[] = [
    [
      "a rate that is held above one that is not proves nothing",
      [one(10, "held"), one(20, "missed"), one(40, "held")],
      { held: 10, missed: 20 },
    ],
    [
      "a rate that could not be judged was not held",
      [one(10, "held"), one(20, "unjudged"), one(20, "unjudged"), one(40, "missed")],
      { held: 10, missed: 40, unjudged: 20 },
    ],
    [
      "a rate that was judged the second time was judged",
      [one(10, "held"), one(20, "unjudged"), one(20, "held"), one(40, "missed")],
      { held: 20, missed: 40 },
    ],
    [
      "what could not be judged above a rate that was missed does not matter",
      [one(40, "unjudged"), one(40, "unjudged"), one(20, "missed"), one(10, "held")],
      { held: 10, missed: 20 },
    ],
  ];
  for (const [what, results, wanted] of FOUND) {
    test(what, () => {
      expect(found(results)).toEqual({
        held: undefined,
        missed: undefined,
        unjudged: undefined,
        ...wanted,
      });
    });
  }

  test("search() asks once more for what could not be judged, and then goes below it", () => {
    const results: StageResult[] = [];
    const plan = search(8, 64);
    for (let stage = plan(results); stage?.kind === "open"; stage = plan(results)) {
      results.push(one(stage.ratePerSecond, stage.ratePerSecond > 30 ? "unjudged" : "held"));
    }
    expect(rates(results).slice(0, 5)).toEqual([8, 16, 32, 32, Math.sqrt(16 * 32)]);
    const { held, unjudged } = found(results);
    expect(held!).toBeLessThanOrEqual(30);
    expect(unjudged!).toBeGreaterThan(30);
    expect(unjudged! / held!).toBeLessThan(1.08);
  });

  /** Runs a plan against a server on which every rate above `perSecond` runs away. */
  function runAway(plan: StagePlan, perSecond: number): readonly StageResult[] {
    const results: StageResult[] = [];
    for (let stage = plan(results); stage !== undefined; stage = plan(results)) {
      const found = answered(stage, perSecond);
      const isSaturated = stage.kind === "open" && found.verdict !== "held";
      results.push({ stage, ...found, isSaturated });
    }
    return results;
  }

  const open = (...all: readonly number[]): readonly Stage[] =>
    all.map((ratePerSecond) => ({ kind: "open", ratePerSecond }));
  test("rates above one that ran away are left out, and lower ones are not", () => {
    const plan = listed(open(10, 40, 80, 20, 40, 30));
    expect(rates(runAway(plan, 100))).toEqual([10, 40, 80, 20, 40, 30]);
    expect(rates(runAway(plan, 35))).toEqual([10, 40, 20, 30]);
    expect(rates(runAway(plan, 5))).toEqual([10]);
  });

  test("a sweep ends with the rate that ran away", () => {
    const plan = sweep(10, 512);
    const results = run(plan, 100);
    const isOver = (one: StageResult) => one.stage.kind === "open" && one.stage.ratePerSecond > 55;
    const marked = results.slice(0, 7).map((one) => ({ ...one, isSaturated: isOver(one) }));
    expect(rates(marked).map(Math.round)).toEqual([20, 30, 40, 50, 60]);
    expect(plan(marked)).toBeUndefined();
    expect(plan(marked.slice(0, 6))).toEqual(results[6]!.stage);
  });

  test("a search takes a rate that ran away for one that was not held", () => {
    const { held, missed } = found(runAway(search(1, 1e6), 37));
    expect(held!).toBeLessThanOrEqual(37);
    expect(missed!).toBeGreaterThan(37);
  });
});
