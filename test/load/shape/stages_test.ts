import { describe, expect, test } from "bun:test";
import {
  found,
  listed,
  search,
  type Stage,
  type StagePlan,
  type StageResult,
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
    isHeld: asked <= perSecond,
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
    const dead = { requestsPerSecond: undefined, isHeld: false, isSaturated: false };
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
    expect(found(results)).toEqual({ held: 50, missed: undefined });
  });

  test("search() gives up on a server that bears nothing", () => {
    const results = run(search(1, 1000), 0);
    expect(found(results).held).toBeUndefined();
    expect(results.length).toBeLessThan(10);
  });

  test("a rate that is held above one that is not proves nothing", () => {
    const one = (ratePerSecond: number, isHeld: boolean): StageResult => ({
      stage: { kind: "open", ratePerSecond },
      requestsPerSecond: ratePerSecond,
      isHeld,
      isSaturated: false,
    });
    expect(found([one(10, true), one(20, false), one(40, true)])).toEqual({ held: 10, missed: 20 });
  });

  /** Runs a plan against a server on which every rate above `perSecond` runs away. */
  function runAway(plan: StagePlan, perSecond: number): readonly StageResult[] {
    const results: StageResult[] = [];
    for (let stage = plan(results); stage !== undefined; stage = plan(results)) {
      const found = answered(stage, perSecond);
      const isSaturated = stage.kind === "open" && !found.isHeld;
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
