/**
 * What numbers that were measured say: their quantiles, and whether they can come from a
 * distribution.
 *
 * @module
 */

/** `values` from the smallest to the largest, as new ones. */
export function sorted(values: Iterable<number>): Float64Array<ArrayBuffer> {
  return Float64Array.from(values).sort();
}

/**
 * The value that a `share` (0 to 1) of `ascending` does not exceed, between two of them where it
 * falls there (the definition 7 of Hyndman and Fan, 1996, which numpy and R have as well). NaN when
 * there are none.
 */
export function quantile(ascending: ArrayLike<number>, share: number): number {
  const at = (ascending.length - 1) * share;
  const low = ascending[Math.floor(at)];
  const high = ascending[Math.ceil(at)];
  if (low === undefined || high === undefined) return NaN;
  return low + (high - low) * (at - Math.floor(at));
}

/**
 * The largest distance between the shares of `ascending` and those of the distribution `cdf`: the D
 * of Kolmogorov and Smirnov. 0 when there are none.
 */
export function ksDistance(ascending: ArrayLike<number>, cdf: (x: number) => number): number {
  const count = ascending.length;
  let largest = 0;
  for (let i = 0; i < count; i++) {
    const share = cdf(ascending[i]!);
    largest = Math.max(largest, share - i / count, (i + 1) / count - share);
  }
  return largest;
}

/** The terms of the series below that a double can hold. */
const TERMS_MAX = 100;

/**
 * How often `count` values of the distribution itself would be at least `distance` away from it. The
 * limit of Kolmogorov (1933) with the correction of M. A. Stephens (1970) for few values: within
 * 0.003 where it is below 0.2, from five values on.
 *
 * It holds for a distribution that was known before the values were. One that was fitted to them
 * lies nearer: there it says too much.
 */
export function ksPValue(distance: number, count: number): number {
  const root = Math.sqrt(count);
  const lambda = (root + 0.12 + 0.11 / root) * distance;
  // The series does not converge there, and its sum is 1 to 1e-15.
  if (!(lambda > 0.2)) return 1;
  let sum = 0;
  for (let k = 1; k <= TERMS_MAX; k++) {
    const term = Math.exp(-2 * k * k * lambda * lambda);
    sum += k % 2 === 1 ? term : -term;
    if (term < 1e-17) break;
  }
  return Math.min(1, Math.max(0, 2 * sum));
}
