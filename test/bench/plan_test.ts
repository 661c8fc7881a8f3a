import { describe, expect, test } from "bun:test";
import type { BenchOptions } from "../../bench/bench_options.ts";
import {
  estimateSeconds,
  planOf,
  PUBLISHED,
  QUICK,
  REPEATED_MS_MAX,
  type Thoroughness,
} from "../../bench/plan.ts";

function optionsOf(usual: Thoroughness, isQuick: boolean): BenchOptions {
  return { ...usual, isQuick, weir: [], patience: { leftMs: 0 }, say: () => {} };
}

describe("planOf()", () => {
  const options = optionsOf(PUBLISHED, false);

  test("takes the cases whose name contains a word", () => {
    const { whole, paced, isIdle } = planOf("paced-4000", options);
    expect([whole.length, paced.length, isIdle]).toEqual([0, 1, false]);
    expect(planOf("idle", options)).toEqual({ whole: [], paced: [], isIdle: true });
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

  test("keeps the published run under 27 minutes, with the runs that are repeated", () => {
    const options = optionsOf(PUBLISHED, false);
    const seconds = estimateSeconds(planOf("", options), options) + REPEATED_MS_MAX / 1000;
    expect(seconds).toBeLessThanOrEqual(27 * 60);
  });

  test("grows with the rounds, and is nothing for nothing", () => {
    const options = optionsOf(PUBLISHED, false);
    const plan = planOf("health", options);
    const rounds = { judged: 50, shown: 3, many: 2, paced: 3 };
    expect(estimateSeconds(plan, { ...options, rounds })).toBeGreaterThan(
      estimateSeconds(plan, options),
    );
    expect(estimateSeconds({ whole: [], paced: [], isIdle: false }, options)).toBe(0);
  });
});
