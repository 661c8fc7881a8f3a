import { describe, expect, test } from "bun:test";
import { Histogram, VALUE_MAX } from "../../src/lib/histogram.ts";

/** A seeded source of numbers in [0, 1): mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const SHARES = [0, 0.01, 0.5, 0.9, 0.99, 0.999, 1];

const SHAPES: readonly (readonly [name: string, make: (random: () => number) => number])[] = [
  ["even", (random) => random() * 50],
  ["long tail", (random) => 0.2 / (random() + 1e-6)],
  ["two humps", (random) => (random() < 0.95 ? random() : 900 + random() * 200)],
  ["all alike", () => 12.345],
  ["tiny", (random) => random() * 0.02],
  ["nothing but 0", () => 0],
];

describe("Histogram", () => {
  for (const [name, make] of SHAPES) {
    test(`percentile() agrees with sorting: ${name}`, () => {
      const random = seeded(7);
      const values = Array.from({ length: 20_000 }, () => make(random));
      const histogram = new Histogram();
      for (const value of values) histogram.record(value);
      const sorted = values.toSorted((a, b) => a - b);
      for (const share of SHARES) {
        const exact = sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1]!;
        const found = histogram.percentile(share);
        expect(found, `share ${share}`).toBeGreaterThanOrEqual(exact - 1e-9);
        expect(found, `share ${share}`).toBeLessThanOrEqual(exact * (1 + 1 / 128) + 0.001);
      }
      expect(histogram.max).toBe(sorted.at(-1)!);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      expect(histogram.mean).toBeCloseTo(mean, 6);
      expect(histogram.count).toBe(values.length);
    });
  }

  test("record() keeps every power of two and its neighbours within their bucket", () => {
    for (let bit = 0; bit < 31; bit++) {
      for (const parts of [2 ** bit - 1, 2 ** bit, 2 ** bit + 1]) {
        const histogram = new Histogram();
        histogram.record(parts / 1000);
        histogram.record(VALUE_MAX);
        const found = histogram.percentile(0.5);
        expect(found).toBeGreaterThanOrEqual(parts / 1000);
        expect(found).toBeLessThanOrEqual((parts / 1000) * (1 + 1 / 128) + 0.0011);
      }
    }
  });

  const ODD: readonly (readonly [value: number, percentile: number])[] = [
    [-3, 0],
    [Number.NaN, 0],
    [VALUE_MAX * 10, VALUE_MAX * 10],
    [Infinity, Infinity],
  ];
  for (const [value, expected] of ODD) {
    test(`record(${value}) is held at a limit and counted`, () => {
      const histogram = new Histogram();
      histogram.record(value);
      expect(histogram.count).toBe(1);
      expect(histogram.max).toBe(expected);
      expect(histogram.percentile(1)).toBeLessThanOrEqual(Math.max(0, expected));
    });
  }

  test("merge() gives what one histogram would have", () => {
    const random = seeded(3);
    const all = new Histogram();
    const halves = [new Histogram(), new Histogram()] as const;
    for (let i = 0; i < 5000; i++) {
      const value = random() * 100;
      all.record(value);
      halves[i % 2]!.record(value);
    }
    halves[0].merge(halves[1]);
    const { mean, ...rest } = halves[0].summary();
    const { mean: meanOfAll, ...restOfAll } = all.summary();
    expect(rest).toEqual(restOfAll);
    expect(mean).toBeCloseTo(meanOfAll, 9);
  });

  test("recordCorrected() adds the values a stall kept from being measured", () => {
    const histogram = new Histogram();
    histogram.recordCorrected(10, 2);
    expect(histogram.count).toBe(5);
    expect(histogram.mean).toBe(6);
    histogram.recordCorrected(1, 2);
    expect(histogram.count).toBe(6);
  });

  test("countUpTo() counts what a cumulative bucket would", () => {
    const histogram = new Histogram();
    for (const value of [0, 0.5, 1, 2, 5, 100]) histogram.record(value);
    expect([0.25, 1, 2, 10, 1000].map((bound) => histogram.countUpTo(bound))).toEqual([
      1,
      3,
      4,
      5,
      6,
    ]);
  });

  test("an empty one, and one that was reset, says 0 everywhere", () => {
    const histogram = new Histogram();
    const empty = { count: 0, mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };
    expect(histogram.summary()).toEqual(empty);
    histogram.record(4);
    histogram.reset();
    expect(histogram.summary()).toEqual(empty);
  });
});
