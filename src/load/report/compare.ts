/**
 * Two runs beside each other: what has become slower, and whether that can be chance.
 *
 * Requests of the same number are a pair where both runs have sent the same ones, and then the signed
 * ranks of their differences are looked at (Wilcoxon); else the ranks of all (Mann and Whitney). No
 * distribution is assumed: latencies have none that has a name.
 *
 * @module
 */

import { erfc } from "../../lib/normal.ts";
import { percentileOf, samplesOf } from "../metrics/statistics.ts";
import type { Rows } from "../rows.ts";

/** What is compared. */
export const COMPARED = ["ttft", "tpot", "e2e"] as const;

/** One figure of two runs. */
export interface Comparison {
  readonly metric: typeof COMPARED[number];
  readonly isPaired: boolean;
  /** Requests of each that have it. */
  readonly counts: readonly [number, number];
  readonly p50: readonly [number, number];
  readonly p99: readonly [number, number];
  /** The second's p50 by the first's, less one. */
  readonly change: number;
  /** How likely such a difference, or a larger one, is by chance alone; two-sided. */
  readonly chance: number;
}

/** Compares `after` with `before`; a figure that one of them has not is left out. */
export function compareRows(before: Rows, after: Rows): readonly Comparison[] {
  return COMPARED.flatMap((metric) => {
    const [a, b] = [valuesOf(before, metric), valuesOf(after, metric)];
    const [first, second] = [samplesOf([...a.values()]), samplesOf([...b.values()])];
    if (first === undefined || second === undefined) return [];
    const pairs = [...a].flatMap(([number, value]) => {
      const other = b.get(number);
      return other === undefined ? [] : [other - value];
    });
    // One that failed in one of them has no pair; where that is many, they are not the same requests.
    const isPaired = pairs.length >= 0.9 * Math.max(a.size, b.size);
    const p50 = [percentileOf(first, 50), percentileOf(second, 50)] as const;
    return [{
      metric,
      isPaired,
      counts: [a.size, b.size] as const,
      p50,
      p99: [percentileOf(first, 99), percentileOf(second, 99)] as const,
      change: p50[0] === 0 ? 0 : p50[1] / p50[0] - 1,
      chance: isPaired ? signedRanks(pairs) : rankSum([...a.values()], [...b.values()]),
    }];
  });
}

/** By the request's number. Rounds have the same numbers: each is a request of its own. */
function valuesOf(rows: Rows, metric: typeof COMPARED[number]): ReadonlyMap<string, number> {
  const values = new Map<string, number>();
  const seen = new Map<number, number>();
  for (let row = 0; row < rows.length; row++) {
    const number = rows.get(row, "number");
    const round = seen.get(number) ?? 0;
    seen.set(number, round + 1);
    const value = rows.get(row, metric);
    if (!Number.isNaN(value)) values.set(`${round} ${number}`, value);
  }
  return values;
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
