/**
 * GuideLLM's distributions. A percentile is one of the values, never between two; values have weights
 * (the tokens that a mean per token stands for, the seconds that a rate was held); of nothing there is
 * a distribution of zeros whose `count` is 0.
 *
 * @module
 */

/** A value, and what it weighs. */
export type Weighted = readonly [value: number, weight: number];

/** One distribution, as it is written. */
export interface Distribution {
  readonly mean: number;
  readonly median: number;
  readonly mode: number;
  readonly variance: number;
  readonly std_dev: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
  readonly total_sum: number;
  readonly percentiles: Readonly<Record<string, number>>;
  readonly pdf: null;
}

const SHARES = {
  p001: 0.001,
  p01: 0.01,
  p05: 0.05,
  p10: 0.1,
  p25: 0.25,
  p50: 0.5,
  p75: 0.75,
  p90: 0.9,
  p95: 0.95,
  p99: 0.99,
  p999: 0.999,
} as const;

/** Moments closer than this are one; seconds. */
const SAME_SECONDS = 1e-4;
/** Less weight than this is none; also the shortest last interval of a rate. */
const EPSILON = 1e-6;

/** Of `values`. `count`: how many there were; else their weights together. */
export function distributionOf(values: readonly Weighted[], count?: number): Distribution {
  const weights = new Map<number, number>();
  let total = 0;
  for (const [value, weight] of values) {
    weights.set(value, (weights.get(value) ?? 0) + weight);
    total += weight;
  }
  const sorted = [...weights].filter(([, weight]) => weight > 0).sort((a, b) => a[0] - b[0]);
  const sum = sorted.reduce((all, [, weight]) => all + weight, 0);
  const shares = sorted.map(([value, weight]): Weighted => [
    value,
    sum > EPSILON ? weight / sum : 1 / sorted.length,
  ]);
  return ofShares(shares, count ?? Math.round(total));
}

/** Of values and their shares, in order. */
function ofShares(shares: readonly Weighted[], count: number): Distribution {
  const mean = shares.reduce((sum, [value, share]) => sum + value * share, 0);
  const variance = shares.reduce((sum, [value, share]) => sum + (value - mean) ** 2 * share, 0);
  let below = 0;
  const reached = shares.map(([, share]) => below += share);
  const at = (wanted: number) => {
    const index = reached.findIndex((share) => share >= wanted);
    return shares.at(index)?.[0] ?? 0;
  };
  const mode = shares.reduce<Weighted>((most, one) => one[1] > most[1] ? one : most, [0, 0])[0];
  return {
    mean,
    median: at(SHARES.p50),
    mode,
    variance,
    std_dev: Math.sqrt(variance),
    min: shares[0]?.[0] ?? 0,
    max: shares.at(-1)?.[0] ?? 0,
    count,
    total_sum: mean * count,
    percentiles: Object.fromEntries(
      Object.entries(SHARES).map(([name, share]) => [name, at(share)]),
    ),
    pdf: null,
  };
}

/** What a window of a run is; seconds. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

/**
 * How often something happened in each second, weighed by how long: of moments and what they weigh.
 * `window`: whatever lies outside is not counted.
 */
export function rateOf(moments: readonly Weighted[], window?: Window): Distribution {
  const within: Weighted[] = window === undefined
    ? [...moments]
    : moments.filter(([at]) => at >= window.from && at <= window.to);
  if (window !== undefined) within.push([window.from, 0], [window.to, 0]);
  const merged = mergedMoments(within);
  if (merged.length <= 1) return distributionOf([], merged.length);
  const happened = merged.reduce((sum, [, weight]) => sum + weight, 0);
  // Each moment stands for the time half way to its neighbours.
  const middles = merged.slice(1).map(([at], i) => (at + merged[i]![0]) / 2);
  const rates = merged.map(([at, weight], i): Weighted => {
    const from = middles[i - 1] ?? at;
    const to = middles[i];
    const seconds = to === undefined ? Math.max(EPSILON, at - from) : to - from;
    return [weight / seconds, seconds];
  });
  return distributionOf(rates, Math.round(happened));
}

/** How many were under way at once, weighed by how long. */
export function concurrencyOf(
  intervals: readonly (readonly [from: number, to: number])[],
  window: Window,
): Distribution {
  const within = intervals.filter(([from, to]) => to >= window.from && from <= window.to);
  const steps = mergedMoments(within.flatMap(([from, to]): Weighted[] => [[from, 1], [to, -1]]));
  const before = steps.filter(([at]) => at < window.from).reduce((sum, [, by]) => sum + by, 0);
  const inside = steps.filter(([at]) => at >= window.from && at <= window.to);
  const all: readonly Weighted[] = steps.length === 0
    ? []
    : [[window.from, before], ...inside, [window.to, 0]];
  let now = 0;
  const levels = all.slice(0, -1).map(([at, by], i): Weighted => {
    now += by;
    return [Math.max(0, now), Math.max(0, all[i + 1]![0] - at)];
  });
  const isLong = levels.some(([, seconds]) => seconds > 0);
  return distributionOf(isLong ? levels : [], within.length);
}

/** In order; those that are nearly the same are one, at the first of them. */
function mergedMoments(moments: readonly Weighted[]): readonly Weighted[] {
  const merged: [number, number][] = [];
  for (const [at, weight] of [...moments].sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last !== undefined && at - last[0] <= SAME_SECONDS) last[1] += weight;
    else merged.push([at, weight]);
  }
  return merged;
}
