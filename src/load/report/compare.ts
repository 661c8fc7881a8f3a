/**
 * Two runs beside each other: what has become slower, and whether that can be chance.
 *
 * Of the middle: requests of the same number are a pair where both runs have sent the same ones, and
 * then the signed ranks of their differences are looked at (Wilcoxon); else the ranks of all (Mann and
 * Whitney). Both hold that no request hangs on another, and in a queue each does: so the difference must
 * also be there in nearly all parts of a run's time.
 *
 * Of the tail: how much of the slowest part of both runs together each has had, in each of the parts.
 *
 * Were they alike, each part could as well have been the other's: all ways to exchange them say what is
 * chance. What held up many requests at once counts as the few times that it was.
 *
 * No distribution is assumed: latencies have none that has a name.
 *
 * @module
 */

import { erfc } from "../../lib/normal.ts";
import { percentileOf, samplesOf } from "../metrics/statistics.ts";
import type { Rows } from "../rows.ts";

/** What is compared. */
export const COMPARED = ["ttft", "tpot", "e2e"] as const;
/** One of them. */
export type Compared = typeof COMPARED[number];

/** A difference is no chance below this. */
const CHANCE_MAX = 0.01;
/** A smaller change matters to nobody. */
const CHANGE_MIN = 0.05;

/** What is to be held of a difference. */
export type Verdict =
  | "slower"
  | "faster"
  | "a difference, and a small one"
  | "no difference that could not be chance";

/** One figure of two runs. */
export interface Comparison {
  readonly metric: Compared;
  readonly isPaired: boolean;
  /** Requests of each that have it. */
  readonly counts: readonly [number, number];
  readonly p50: readonly [number, number];
  readonly p95: readonly [number, number];
  readonly p99: readonly [number, number];
  /** The second's p50 by the first's, less one. */
  readonly change: number;
  /** How likely such a difference, or a larger one, is by chance alone; two-sided. */
  readonly chance: number;
  /** Of the middle. */
  readonly verdict: Verdict;
  readonly tail: Tail;
}

/** The tail of one figure of two runs. */
export interface Tail {
  /** As `change`, of p95 and of p99. */
  readonly changes: readonly [number, number];
  readonly chance: number;
  readonly verdict: Verdict;
}

/**
 * Compares `after` with `before`; a figure that one of them has not is left out. `lateMs`: how late the
 * client itself may have been: what differs by less says nothing of a tail.
 */
export function compareRows(
  before: Rows,
  after: Rows,
  lateMs: Readonly<Partial<Record<Compared, number>>> = {},
): readonly Comparison[] {
  return COMPARED.flatMap((metric) => {
    const [a, b] = [valuesOf(before, metric), valuesOf(after, metric)];
    const [first, second] = [samplesOf([...a.values()]), samplesOf([...b.values()])];
    if (first === undefined || second === undefined) return [];
    const common = [...a.keys()].filter((key) => b.has(key));
    // One that failed in one of them has no pair; where that is many, they are not the same requests.
    const isPaired = common.length >= 0.9 * Math.max(a.size, b.size);
    const [ofA, ofB] = isPaired
      ? [common.map((key) => a.get(key)!), common.map((key) => b.get(key)!)]
      : [[...a.values()], [...b.values()]];
    const both = (share: number) =>
      [percentileOf(first, share), percentileOf(second, share)] as const;
    const [p50, p95, p99] = [both(50), both(95), both(99)];
    const change = changeOf(p50);
    const chance = isPaired
      ? pairedChance(ofA.map((value, i) => ofB[i]! - value))
      : unpairedChance(ofA, ofB);
    return [{
      metric,
      isPaired,
      counts: [a.size, b.size] as const,
      p50,
      p95,
      p99,
      change,
      chance,
      verdict: verdictOf(chance, change > 0, Math.abs(change) >= CHANGE_MIN),
      tail: tailOf(ofA, ofB, [p95, p99], lateMs[metric] ?? 0),
    }];
  });
}

function changeOf([before, after]: readonly [number, number]): number {
  return before === 0 ? 0 : after / before - 1;
}

function verdictOf(chance: number, isSlower: boolean, matters: boolean): Verdict {
  if (chance >= CHANCE_MAX) return "no difference that could not be chance";
  if (!matters) return "a difference, and a small one";
  return isSlower ? "slower" : "faster";
}

/**
 * By the request's number, in the order of being due. Rounds have the same numbers: each is a request
 * of its own.
 */
function valuesOf(rows: Rows, metric: Compared): ReadonlyMap<number, number> {
  const values: (readonly [key: number, value: number])[] = [];
  const seen = new Map<number, number>();
  for (let row = 0; row < rows.length; row++) {
    const number = rows.get(row, "number");
    const round = seen.get(number) ?? 0;
    seen.set(number, round + 1);
    const value = rows.get(row, metric);
    if (!Number.isNaN(value)) values.push([round * 2 ** 32 + number, value]);
  }
  return new Map(values.sort(([one], [other]) => one - other));
}

/** The chance of the differences of pairs, in the order of being due, where there is none. */
function pairedChance(differences: readonly number[]): number {
  const { ranks } = ranksOf(differences.map(Math.abs));
  const signed = differences.map((one, i) => Math.sign(one) * ranks[i]!);
  return Math.max(
    signedRanks(differences),
    exchanged(meansOf(signed, Math.min(PARTS, signed.length))),
  );
}

/** The chance of such samples, in the order of being due, where both are of one server. */
function unpairedChance(a: readonly number[], b: readonly number[]): number {
  const { ranks } = ranksOf([...a, ...b]);
  const differences = partDifferences(ranks.slice(0, a.length), ranks.slice(a.length), PARTS);
  return Math.max(rankSum(a, b), exchanged(differences));
}

/** Parts of a run's time that the middle is looked at in … */
const PARTS = 12;
/** … and the tail: what is slow stands further apart, and hangs less on its neighbours. */
const TAIL_PARTS = 20;

/** By how much the means of each part differ. */
function partDifferences(
  a: readonly number[],
  b: readonly number[],
  partsMax: number,
): readonly number[] {
  const parts = Math.min(partsMax, a.length, b.length);
  const before = meansOf(a, parts);
  return meansOf(b, parts).map((mean, part) => mean - before[part]!);
}

/** The mean of each part of `values`. */
function meansOf(values: readonly number[], parts: number): readonly number[] {
  const sums = new Array<number>(parts).fill(0);
  const counts = new Array<number>(parts).fill(0);
  values.forEach((value, i) => {
    const part = Math.floor((i * parts) / values.length);
    counts[part]!++;
    sums[part]! += value;
  });
  return sums.map((sum, part) => sum / counts[part]!);
}

/** The slowest twentieth of both runs together, its half, and the slowest hundredth. */
const TAILS = [0.95, 0.975, 0.99] as const;

/** Values are in the order of being due. */
function tailOf(
  a: readonly number[],
  b: readonly number[],
  percentiles: readonly [p95: readonly [number, number], p99: readonly [number, number]],
  lateMs: number,
): Tail {
  const pooled = Float64Array.from([...a, ...b]).sort();
  const tests = TAILS.map((share) => {
    const limit = pooled[Math.floor(share * (pooled.length - 1))]!;
    const [was, is] = [a, b].map((values) => values.map((value) => Number(value > limit)));
    const differences = partDifferences(was!, is!, TAIL_PARTS);
    const sum = differences.reduce((total, one) => total + one, 0);
    return { isSlower: sum > 0, chance: exchanged(differences) };
  });
  const { isSlower, chance } = tests.reduce((one, other) =>
    other.chance < one.chance ? other : one
  );
  const matters = percentiles.some((pair) => {
    const [slow, fast] = isSlower ? [pair[1], pair[0]] : pair;
    return slow - fast > Math.max(CHANGE_MIN * pair[0], lateMs);
  });
  // Several tests find something by chance more often than one (Bonferroni).
  const all = Math.min(1, TAILS.length * chance);
  const [p95, p99] = percentiles;
  return {
    changes: [changeOf(p95), changeOf(p99)],
    chance: all,
    verdict: verdictOf(all, isSlower, matters),
  };
}

/** Steps that a sum of differences is counted in. */
const STEPS = 5000;

/**
 * The chance that a sum of such differences is so far from 0, or further, where each of them has its
 * sign by chance: over all ways to choose the signs.
 */
export function exchanged(differences: readonly number[]): number {
  const most = differences.reduce((sum, one) => sum + Math.abs(one), 0);
  if (most === 0) return 1;
  const weights = differences.map((one) => Math.round((STEPS * Math.abs(one)) / most));
  const all = weights.reduce((sum, weight) => sum + weight, 0);
  // How likely those with a plus have each sum.
  const chances = new Float64Array(all + 1);
  chances[0] = 1;
  let reached = 0;
  for (const weight of weights) {
    reached += weight;
    for (let sum = reached; sum >= 0; sum--) {
      chances[sum] = (chances[sum]! + (sum < weight ? 0 : chances[sum - weight]!)) / 2;
    }
  }
  const found = (STEPS * Math.abs(differences.reduce((sum, one) => sum + one, 0))) / most;
  // Equal sums stay equal though weights are rounded.
  const least = found - weights.length;
  return chances.reduce(
    (total, chance, sum) => Math.abs(2 * sum - all) >= least ? total + chance : total,
    0,
  );
}

/** Wilcoxon's signed ranks: the chance of such differences where there is none. */
export function signedRanks(differences: readonly number[]): number {
  const moved = differences.filter((difference) => difference !== 0);
  const count = moved.length;
  if (count === 0) return 1;
  const { ranks, ties } = ranksOf(moved.map(Math.abs));
  const positive = moved.reduce((sum, value, i) => sum + (value > 0 ? ranks[i]! : 0), 0);
  const mean = (count * (count + 1)) / 4;
  const variance = (count * (count + 1) * (2 * count + 1)) / 24 - ties / 48;
  return twoSided(positive - mean, variance);
}

/** Mann and Whitney's ranks: the chance of such samples where both are of one distribution. */
export function rankSum(a: readonly number[], b: readonly number[]): number {
  const [m, n] = [a.length, b.length];
  const { ranks, ties } = ranksOf([...a, ...b]);
  const sum = ranks.slice(0, m).reduce((total, rank) => total + rank, 0);
  const u = sum - (m * (m + 1)) / 2;
  const all = m + n;
  const variance = ((m * n) / 12) * (all + 1 - ties / (all * (all - 1) || 1));
  return twoSided(u - (m * n) / 2, variance);
}

/** By the normal distribution, half a rank nearer to the middle. */
function twoSided(distance: number, variance: number): number {
  if (variance <= 0) return 1;
  const z = Math.max(0, Math.abs(distance) - 0.5) / Math.sqrt(variance);
  return Math.min(1, erfc(z / Math.SQRT2));
}

/** Ranks from 1, equal values having the mean of theirs. `ties`: Σ(t³ − t) over groups of equals. */
function ranksOf(values: readonly number[]): {
  readonly ranks: readonly number[];
  readonly ties: number;
} {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const ranks = new Array<number>(values.length);
  let ties = 0;
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to < order.length && values[order[to]!] === values[order[from]!]) to++;
    for (let at = from; at < to; at++) ranks[order[at]!] = (from + to + 1) / 2;
    const equals = to - from;
    ties += equals ** 3 - equals;
    from = to;
  }
  return { ranks, ties };
}
