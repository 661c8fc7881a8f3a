import { describe, expect, test } from "bun:test";
import type { BenchOptions } from "../../bench/bench_options.ts";
import { IDLE_CASES, WHOLE_CASES } from "../../bench/cases.ts";
import {
  estimateSeconds,
  planOf,
  PUBLISHED,
  QUICK,
  REPEATED_MS_MAX,
  type Thoroughness,
} from "../../bench/plan.ts";
import { connectionsOf, isJudgedAt } from "../../bench/whole.ts";

function optionsOf(usual: Thoroughness, isQuick: boolean): BenchOptions {
  return { ...usual, isQuick, weir: [], patience: { leftMs: 0 }, say: () => {} };
}

describe("planOf()", () => {
  const options = optionsOf(PUBLISHED, false);

  test("takes the cases whose name contains a word", () => {
    const { whole, paced, idle, isStart } = planOf("paced-4000", options);
    expect([whole.length, paced.length, idle.length, isStart]).toEqual([0, 1, 0, false]);
    const memory = { whole: [], paced: [], idle: [...IDLE_CASES], isStart: false };
    expect(planOf("idle", options)).toEqual(memory);
    expect(planOf("start", options)).toEqual({ whole: [], paced: [], idle: [], isStart: true });
  });

  test("leaves the sweep out of --against", () => {
    const against = { name: "weir at abc", command: [] };
    expect(planOf("sweep", { ...options, against }).paced).toEqual([]);
    expect(planOf("sweep", options).paced.length).toBeGreaterThan(0);
  });
});

describe("estimateSeconds()", () => {
  test("keeps --quick under a minute, with a reserve", () => {
    const options = optionsOf(QUICK, true);
    expect(estimateSeconds(planOf("", options), options)).toBeLessThanOrEqual(52);
  });

  test("keeps the published run under 34 minutes, with the runs that are repeated", () => {
    const options = optionsOf(PUBLISHED, false);
    const seconds = estimateSeconds(planOf("", options), options) + REPEATED_MS_MAX / 1000;
    expect(seconds).toBeLessThanOrEqual(34 * 60);
  });

  test("grows with the rounds, and is nothing for nothing", () => {
    const options = optionsOf(PUBLISHED, false);
    const plan = planOf("health", options);
    const nothing = { whole: [], paced: [], idle: [], isStart: false };
    const rounds = { judged: 50, shown: 3, many: 2, paced: 3, idle: 3 };
    expect(estimateSeconds(plan, { ...options, rounds })).toBeGreaterThan(
      estimateSeconds(plan, options),
    );
    expect(estimateSeconds(nothing, options)).toBe(0);
  });
});

describe("the connections of a case", () => {
  const caseOf = (wanted: string) => WHOLE_CASES.find(({ name }) => name === wanted)!;

  test("connectionsOf() takes its own of those that are asked for, or those", () => {
    const tls = caseOf("tls");
    expect(connectionsOf(tls, { connections: [1, 64, 512] })).toEqual([64]);
    expect(connectionsOf(tls, { connections: [8] })).toEqual([8]);
    expect(connectionsOf(caseOf("health"), { connections: [1, 64] })).toEqual([1, 64]);
  });

  test("isJudgedAt() says where a figure is wanted", () => {
    const judged = (name: string) =>
      [1, 64, 512, 4000].filter((one) => isJudgedAt(caseOf(name), one));
    expect(judged("stream-full")).toEqual([64, 512, 4000]);
    expect(judged("proxy")).toEqual([1, 64, 512]);
    expect(judged("health")).toEqual([]);
  });
});
