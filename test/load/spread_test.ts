import { describe, expect, test } from "bun:test";
import { build } from "hdr-histogram-js";
import { seeded } from "../../src/lib/seeded.ts";
import { shareInterval95 } from "../../src/load/rounds.ts";
import { Spread } from "../../src/load/spread.ts";

describe("Spread", () => {
  test("an empty one has no figures", () => {
    const spread = new Spread();
    expect(spread.summary()).toBeUndefined();
    expect(spread.percentile(50)).toBeUndefined();
  });

  test("percentiles are right to three digits, mean and max exactly", () => {
    const spread = new Spread();
    for (let ms = 1; ms <= 10_000; ms++) spread.record(ms / 10);
    const { p50, p90, p95, p99, p999, max, mean } = spread.summary()!;
    const wanted = [[p50, 500], [p90, 900], [p95, 950], [p99, 990], [p999, 999]] as const;
    for (const [found, ms] of wanted) expect(Math.abs(found / ms - 1)).toBeLessThan(0.002);
    expect(max).toBe(1000);
    expect(mean).toBeCloseTo(500.05, 6);
  });

  test("counts() tells how many lie between edges", () => {
    const spread = new Spread();
    for (let us = 1000; us < 2000; us++) spread.record(us / 1000);
    for (const ms of [0, 0, 3, 900]) spread.record(ms);
    expect(spread.counts([0, 1, 1.25, 2, 10])).toEqual([2, 250, 750, 1]);
    // A place is 4 µs wide there, and an edge may go through it.
    const [below, above] = spread.counts([899, 900.001, 901]);
    expect(below! + above!).toBeCloseTo(1, 9);
    expect(new Spread().counts([0, 1])).toEqual([0]);
    expect(spread.counts([1])).toEqual([]);
  });

  test("parts put together are the whole, also by way of a file", () => {
    const random = seeded(19);
    const whole = new Spread();
    const parts = [new Spread(), new Spread(), new Spread()];
    for (let i = 0; i < 10_000; i++) {
      const ms = Math.exp(8 * random());
      whole.record(ms);
      parts[i % 3]!.record(ms);
    }
    const joined = new Spread();
    for (const part of parts) joined.merge(Spread.read(JSON.parse(JSON.stringify(part.toFile()))));
    expect(joined.count).toBe(whole.count);
    const { mean, ...figures } = joined.summary()!;
    const { mean: wantedMean, ...wanted } = whole.summary()!;
    expect(figures).toEqual(wanted);
    expect(mean).toBeCloseTo(wantedMean, 9);
  });

  test("what is negative counts as 0, and what takes hours is kept as its maximum", () => {
    const spread = new Spread();
    spread.record(-1);
    expect(spread.summary()).toMatchObject({ p50: 0, max: 0, mean: 0 });
    spread.record(7_200_000);
    expect(spread.summary()).toMatchObject({ max: 7_200_000 });
  });
});

test("Spread has each value in the place where the library has it", () => {
  const random = seeded(7);
  for (let i = 0; i < 300; i++) {
    const parts = Math.floor(2 ** (31 * random()));
    const spread = new Spread();
    spread.record(parts / 1000);
    spread.record(1e7);
    const wanted = build({ numberOfSignificantValueDigits: 3, autoResize: true });
    wanted.recordValue(parts);
    expect(spread.percentile(50)).toBe(wanted.getValueAtPercentile(50) / 1000);
  }
});

/** Values of each round → the bounds of the percentile of all of them. */
const INTERVALS: readonly (readonly [
  name: string,
  rounds: readonly (readonly number[])[],
  share: number,
  low: number | undefined,
  high: number | undefined,
])[] = [
  ["none", [], 50, undefined, undefined],
  ["one round", [[1, 2, 3]], 50, undefined, undefined],
  ["one of two that has values", [[1, 2, 3], []], 50, undefined, undefined],
  // By chance alone, as all rounds are the same: 2.306 times the error of a half of 9 000.
  ["alike", Array(9).fill(upTo(1000)), 50, 488, 512],
  // The mean of the rounds' own percentiles is 34 ± 121.
  ["one that is slower", [upTo(100, 0.02), upTo(100, 0.02), upTo(100, 1)], 99, 85, 100],
  ["two that know little", [upTo(10), upTo(10, 3)], 50, 1, 30],
];

function upTo(most: number, step = 1): readonly number[] {
  return Array.from({ length: most }, (_, i) => (i + 1) * step);
}

describe("shareInterval95()", () => {
  for (const [name, rounds, share, low, high] of INTERVALS) {
    test(name, () => {
      const spreads = rounds.map((values) => {
        const spread = new Spread();
        for (const ms of values) spread.record(ms);
        return spread;
      });
      const all = new Spread();
      for (const spread of spreads) all.merge(spread);
      const found = shareInterval95(all, spreads, share);
      if (low === undefined) return expect(found).toBeUndefined();
      expect(Math.abs(found![0] - low)).toBeLessThan(0.02 * low + 1e-9);
      expect(Math.abs(found![1] - high!)).toBeLessThan(0.02 * high!);
      // The number that it is said of lies inside.
      expect(found![0]).toBeLessThanOrEqual(all.percentile(share)!);
      expect(found![1]).toBeGreaterThanOrEqual(all.percentile(share)!);
    });
  }
});
