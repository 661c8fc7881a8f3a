/**
 * What several rounds of one run say together: between which bounds a percentile lies.
 *
 * @module
 */

import type { Spread } from "./spread.ts";

/** 95 % two-sided, for 1 to 30 degrees of freedom; above, the normal distribution's. */
const T95 = [
  12.706,
  4.303,
  3.182,
  2.776,
  2.571,
  2.447,
  2.365,
  2.306,
  2.262,
  2.228,
  2.201,
  2.179,
  2.16,
  2.145,
  2.131,
  2.12,
  2.11,
  2.101,
  2.093,
  2.086,
  2.08,
  2.074,
  2.069,
  2.064,
  2.06,
  2.056,
  2.052,
  2.048,
  2.045,
  2.042,
] as const;
const Z95 = 1.96;

/** Shares are of a hundred. */
const HUNDRED = 100;

/**
 * Between which bounds the percentile `share` (0 to 100) of `all` lies, with 95 % confidence; undefined
 * for fewer than two rounds with values. `rounds`: what `all` was put together of.
 *
 * Woodruff's interval, with rounds as its clusters: which share of each round lies below the percentile
 * of all says how sure that share is, by Student's t; the bounds are the percentiles of all at both ends
 * of it. So they are values that occurred, on either side of the percentile, and never below zero. Two
 * rounds that differ know little: then the bounds are the least and the largest value.
 */
export function shareInterval95(
  all: Spread,
  rounds: readonly Spread[],
  share: number,
): readonly [low: number, high: number] | undefined {
  const measured = rounds.filter(({ count }) => count > 0);
  const { length } = measured;
  const found = all.percentile(share);
  if (length < 2 || found === undefined) return undefined;
  const wanted = share / HUNDRED;
  // How much of each round is on the wrong side, as a part of all.
  const squares = measured.reduce((sum, round) => {
    const off = (round.count / all.count) * (round.shareUpTo(found) - all.shareUpTo(found));
    return sum + off * off;
  }, 0);
  const byRounds = Math.sqrt((length / (length - 1)) * squares);
  const byChance = Math.sqrt((wanted * (1 - wanted)) / all.count);
  const reach = (T95[length - 2] ?? Z95) * Math.max(byRounds, byChance);
  const at = (part: number) => all.percentile(HUNDRED * Math.min(1, Math.max(0, part)))!;
  return [Math.min(found, at(wanted - reach)), Math.max(found, at(wanted + reach))];
}
