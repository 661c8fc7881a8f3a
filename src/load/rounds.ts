/**
 * What several rounds of one run say together: the mean of a figure, and between which bounds the
 * true one lies, by Student's t.
 *
 * @module
 */

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

/** A figure over rounds. */
export interface Interval {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

/** The 95 % confidence interval of the mean of `values`; undefined for fewer than two. */
export function interval95(values: readonly number[]): Interval | undefined {
  const { length } = values;
  if (length < 2) return undefined;
  const mean = values.reduce((sum, value) => sum + value, 0) / length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const error = Math.sqrt(squares / (length - 1) / length);
  const reach = (T95[length - 2] ?? Z95) * error;
  return { mean, low: mean - reach, high: mean + reach };
}
