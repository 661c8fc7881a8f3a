import { describe, expect, test } from "bun:test";
import { build } from "hdr-histogram-js";
import { seeded } from "../../src/lib/seeded.ts";
import { interval95 } from "../../src/load/rounds.ts";
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

describe("interval95()", () => {
  test("needs two rounds", () => {
    expect(interval95([])).toBeUndefined();
    expect(interval95([1])).toBeUndefined();
  });

  test("is Student's", () => {
    const { mean, low, high } = interval95([10, 12, 14])!;
    expect(mean).toBe(12);
    expect(high - 12).toBeCloseTo(4.303 * 2 / Math.sqrt(3), 6);
    expect(12 - low).toBeCloseTo(high - 12, 9);
  });
});
