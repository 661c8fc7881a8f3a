import { describe, expect, test } from "bun:test";
import { KIND } from "../../src/load/record.ts";
import { Tally } from "../../src/load/tally.ts";
import { recorded } from "./recorded.ts";

const { choice, text, finish, done } = KIND;

function answer(said: string, facts: Parameters<typeof recorded>[1] = {}) {
  return recorded([[10, choice | text, said], [20, choice | finish], [21, done]], facts);
}

describe("Tally", () => {
  test("counts own tokens of each text, also of one that is as long as the one before", () => {
    const counted: string[] = [];
    const count = (said: string) => {
      counted.push(said);
      return said.split(" ").length;
    };
    const tally = new Tally({ slo: undefined, countTokens: count });
    for (const said of ["a b c", "a b c", "abc d", "a b c"]) tally.observe(answer(said));
    expect(tally).toMatchObject({ ownTokens: 3 + 3 + 2 + 3, ownAnswers: 4, toldAnswers: 0 });
    // The same text twice is counted once.
    expect(counted).toEqual(["a b c", "abc d", "a b c"]);
  });

  test("failures, and what warms up, have no part in latencies", () => {
    const tally = new Tally({ slo: { ttft: 5 }, countTokens: undefined });
    tally.observe(answer("a"));
    const failed = answer("a", { outcome: "failed" });
    failed.failure = { phase: "end", status: 200, text: "no end mark" };
    tally.observe(failed);
    const warm = answer("a");
    warm.isWarmup = true;
    tally.observe(warm);
    expect(tally.spreads.ttft_ms.count).toBe(1);
    expect(tally.spreads.e2e_ms.count).toBe(1);
    expect(tally.outcomes).toMatchObject({ completed: 1, failed: 1 });
    expect(tally).toMatchObject({ good: 0, warmup: 1, sent: 2 });
    expect([...tally.errors.values()]).toEqual([
      { phase: "end", status: 200, text: "no end mark", count: 1 },
    ]);
  });

  test("failures that are all different do not fill the memory", () => {
    const tally = new Tally({ slo: undefined, countTokens: undefined });
    for (let i = 0; i < 1000; i++) {
      const failed = recorded([], { outcome: "failed", status: 500, endMs: 1 });
      failed.failure = { phase: "head", status: 500, text: `request ${i} failed` };
      tally.observe(failed);
    }
    const errors = [...tally.errors.values()];
    expect(errors.length).toBe(65);
    expect(errors.at(-1)).toEqual({ phase: "head", status: 500, text: "and others", count: 936 });
  });

  test("a request that never went out is counted apart, and has no times", () => {
    const tally = new Tally({ slo: undefined, countTokens: undefined });
    tally.observe(recorded([], { sentMs: NaN, endMs: 5, status: 0, outcome: "unfinished" }));
    expect(tally).toMatchObject({ notSent: 1, sent: 0, outcomes: { unfinished: 0 } });
    expect(tally.spreads.queue_ms.count).toBe(0);
  });
});
