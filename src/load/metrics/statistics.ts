/**
 * Statistics of samples as numpy has them, on which the tools' reports rest.
 *
 * @module
 */

/** Samples in order, so that percentiles are a look-up. */
export interface Samples {
  readonly sorted: Float64Array;
  readonly count: number;
  readonly sum: number;
  readonly mean: number;
  /** Of the population, as `numpy.std`. */
  readonly std: number;
  readonly min: number;
  readonly max: number;
}

/** Undefined when there are none: nobody's mean is 0. */
export function samplesOf(values: readonly (number | undefined)[]): Samples | undefined {
  const sorted = Float64Array.from(values.filter((value) => value !== undefined)).sort();
  const count = sorted.length;
  if (count === 0) return undefined;
  const sum = sorted.reduce((total, value) => total + value, 0);
  const mean = sum / count;
  const squares = sorted.reduce((total, value) => total + (value - mean) ** 2, 0);
  return {
    sorted,
    count,
    sum,
    mean,
    std: Math.sqrt(squares / count),
    min: sorted[0]!,
    max: sorted[count - 1]!,
  };
}

/** `numpy.percentile`: linear between the two nearest ranks. `share`: 0 to 100. */
export function percentileOf({ sorted, count }: Samples, share: number): number {
  const rank = (share / 100) * (count - 1);
  const low = Math.floor(rank);
  const below = sorted[low]!;
  const above = sorted[Math.min(count - 1, low + 1)]!;
  return below + (above - below) * (rank - low);
}

/** The value that occurs most often, the smallest of several. */
export function modeOf({ sorted, count }: Samples): number {
  let mode = sorted[0]!;
  let most = 0;
  for (let from = 0; from < count;) {
    let to = from;
    while (to < count && sorted[to] === sorted[from]) to++;
    if (to - from > most) {
      most = to - from;
      mode = sorted[from]!;
    }
    from = to;
  }
  return mode;
}
