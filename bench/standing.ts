/**
 * A figure that is wanted, and how what was measured stands to it.
 *
 * @module
 */

import { type Ratio, ratioOf } from "./results.ts";

/**
 * `within`: the median misses it and the spread of the rounds reaches it. `disturbed`: no round was
 * quiet or valid, so that nothing can be said. `shown`: nothing is wanted.
 */
export type Standing = "met" | "within" | "missed" | "disturbed" | "shown";

/** A figure that was wanted, and what it is. */
export interface Figure {
  readonly title: string;
  readonly wanted: string;
  /** The median of the rounds, and their spread. */
  readonly measured: string;
  /** What else is to be known: requests per second, the peer's own figure. */
  readonly note: string;
  readonly standing: Standing;
}

/** How the median and the spread stand to what is wanted. */
export function standingOf(
  { median, min, max }: Ratio,
  wanted: number,
  way: "least" | "most",
): Standing {
  const isMet = (value: number) => way === "least" ? value >= wanted : value <= wanted;
  if (isMet(median)) return "met";
  return isMet(way === "least" ? max : min) ? "within" : "missed";
}

/** Median and spread of values that are no ratios. */
export function spreadOf(values: readonly number[]): Ratio {
  return ratioOf(values, values.map(() => 1));
}
