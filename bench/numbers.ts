/**
 * Numbers as tables show them.
 *
 * @module
 */

import type { Ratio } from "./results.ts";

/** `0.83 (0.81–0.86)`: the median of the rounds, and their spread. */
export function ratioText(ratio: Ratio | undefined): string {
  if (ratio === undefined) return "";
  const [middle, min, max] = [ratio.median, ratio.min, ratio.max].map((value) =>
    decimals(value, 2)
  );
  return `${middle} (${min}–${max})`;
}

/** `12 345`: a whole number in groups of three. */
export function count(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, " ");
}

/** With a fixed number of `digits` behind the point. */
export function decimals(value: number, digits: number): string {
  return value.toFixed(digits);
}
