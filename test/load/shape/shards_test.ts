import { describe, expect, test } from "bun:test";
import { seeded } from "../../../src/lib/seeded.ts";
import { type Arrivals, arrivals, type Rate, steady } from "../../../src/load/shape/arrivals.ts";
import {
  partOf,
  type Shard,
  shareOf,
  timesOf,
  WHOLE,
  within,
} from "../../../src/load/shape/shards.ts";

const shardsOf = (count: number): readonly Shard[] =>
  Array.from({ length: count }, (_, index) => ({ index, count }));
const ascending = (values: readonly number[]) => [...values].sort((a, b) => a - b);
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

/** things, shards */
const DIVIDED = [[0, 3], [1, 1], [1, 4], [7, 3], [8, 4], [9, 4], [1000, 7]] as const;

describe("shareOf()", () => {
  for (const [things, shards] of DIVIDED) {
    test(`${things} over ${shards}: all of them, and nobody has more than one more`, () => {
      const shares = shardsOf(shards).map((shard) => shareOf(things, shard));
      expect(shares.reduce((sum, share) => sum + share)).toBe(things);
      expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
    });
  }

  test("no limit has no parts", () =>
    expect(shareOf(Infinity, { index: 1, count: 2 })).toBe(Infinity));
});

/** users at once (undefined: an open loop), shards, requests in all */
const LOADS = [
  [undefined, 1, 10],
  [undefined, 2, 31],
  [undefined, 4, 3],
  [undefined, 7, 1000],
  [1, 1, 10],
  [8, 3, 100],
  [3, 2, 31],
  [2, 4, 31],
  [5, 5, 3],
  [64, 7, 1000],
] as const;

describe("partOf()", () => {
  for (const [users, shards, total] of LOADS) {
    test(`${total} requests of ${users ?? "arrivals"} over ${shards}: each of them once`, () => {
      const numbers = shardsOf(shards).flatMap((shard) => {
        const part = partOf(shard, users);
        const own = upTo(part.countOf(total)).map((one) => part.numberOf(one));
        expect(own).toEqual(ascending(own));
        return own;
      });
      expect(ascending(numbers)).toEqual(upTo(total));
    });
  }

  test("a shard without a user has no request, however many there are", () => {
    const { countOf } = partOf({ index: 2, count: 3 }, 2);
    expect([countOf(0), countOf(100), countOf(Infinity)]).toEqual([0, 0, 0]);
    expect(partOf(WHOLE, 2).countOf(Infinity)).toBe(Infinity);
  });

  test("the parts of a part are parts of the whole", () => {
    const all = shardsOf(3).flatMap((shard) => shardsOf(2).map((part) => within(shard, part)));
    expect(ascending(all.map(({ index }) => index))).toEqual(upTo(6));
    expect(all.every(({ count }) => count === 6)).toBe(true);
  });
});

const RAMP: Rate = { startPerSecond: 5, perSecond: 50, rampMs: 2000, ramp: "linear" };
const SCHEDULES: readonly (readonly [string, Arrivals, Rate])[] = [
  ["constant", { kind: "constant" }, steady(50)],
  ["Poisson", { kind: "poisson" }, steady(50)],
  ["gamma in bursts", { kind: "gamma", k: 0.5 }, steady(50)],
  ["gamma, evenly", { kind: "gamma", k: 4 }, steady(50)],
  ["a linear ramp", { kind: "poisson" }, RAMP],
  ["an exponential ramp", { kind: "gamma", k: 2 }, { ...RAMP, ramp: "exponential" }],
];

describe("timesOf()", () => {
  const first = (times: Iterator<number>, count: number) =>
    upTo(count).map(() => times.next().value as number);
  for (const [name, kind, rate] of SCHEDULES) {
    for (const shards of [2, 3, 8]) {
      test(`${name}: the arrivals of ${shards} shards together are those of one`, () => {
        const draw = () => arrivals(kind, rate, seeded(7));
        const each = 48 / shards;
        const together = shardsOf(shards).flatMap((shard) => first(timesOf(draw(), shard), each));
        expect(ascending(together)).toEqual(first(draw(), 48));
      });
    }
  }

  test("a trace ends for everybody", () => {
    const trace = [0, 10, 10, 25, 900];
    const parts = shardsOf(3).map((shard) => [...timesOf(trace.values(), shard)]);
    expect(parts).toEqual([[0, 25], [10, 900], [10]]);
  });
});
