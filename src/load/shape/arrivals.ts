/**
 * When requests are due in an open loop: gaps between arrivals, and how their rate changes. Pure:
 * chance is an argument, and there is no clock.
 *
 * @module
 */

/** How arrivals are spread around their rate. */
export type Arrivals =
  /** Evenly. */
  | { readonly kind: "constant" }
  /** Each by itself: exponential gaps. */
  | { readonly kind: "poisson" }
  /**
   * Gamma gaps of shape k: a coefficient of variation of 1/√k. Below 1 they come in bursts, 1 is
   * Poisson, above they become even.
   */
  | { readonly kind: "gamma"; readonly k: number };

/** How many requests a second are due, over time. */
export interface Rate {
  /** Requests a second at the beginning. */
  readonly startPerSecond: number;
  /** And from `rampMs` on. */
  readonly perSecond: number;
  /** 0 = there is no ramp. */
  readonly rampMs: number;
  /** Exponential: by the same factor in the same time. */
  readonly ramp: "linear" | "exponential";
}

/** A rate that stays. */
export function steady(perSecond: number): Rate {
  return { startPerSecond: perSecond, perSecond, rampMs: 0, ramp: "linear" };
}

/**
 * Gives when one request after the other is due, in milliseconds after the start, without an end.
 * `random`: 0 ≤ x < 1.
 *
 * The gaps are drawn in the time of a rate of 1 and then stretched by the rate of their moment, so
 * that a ramp keeps the distribution. The first is due after one gap, as in a process that has been
 * going on before.
 */
export function* arrivals(
  kind: Arrivals,
  rate: Rate,
  random: () => number,
): Generator<number, never, void> {
  const gap = gaps(kind, random);
  let expected = 0;
  for (;;) {
    expected += gap();
    yield whenDue(expected, rate);
  }
}

/** Draws gaps of mean 1. */
export function gaps(kind: Arrivals, random: () => number): () => number {
  switch (kind.kind) {
    case "constant":
      return () => 1;
    case "poisson":
      return () => -Math.log(1 - random());
    case "gamma": {
      const { k } = kind;
      return () => gamma(k, random) / k;
    }
  }
}

/** When the rate has added up to `expected` requests: the inverse of its integral. */
export function whenDue(expected: number, rate: Rate): number {
  const { startPerSecond: from, perSecond: to, rampMs, ramp } = rate;
  const seconds = rampMs / 1000;
  const inRamp = rampedRequests(rate);
  if (expected >= inRamp) return 1000 * (seconds + (expected - inRamp) / to);
  if (ramp === "exponential") {
    // from·(e^(g·t) − 1)/g = expected
    const growth = Math.log(to / from) / seconds;
    if (growth !== 0) return (1000 * Math.log1p((expected * growth) / from)) / growth;
  }
  // from·t + (to − from)·t²/(2·seconds) = expected
  const half = (to - from) / (2 * seconds);
  if (half === 0) return (1000 * expected) / from;
  return (1000 * (-from + Math.sqrt(from * from + 4 * half * expected))) / (2 * half);
}

/** How many requests a ramp has in all. */
export function rampedRequests({ startPerSecond, perSecond, rampMs, ramp }: Rate): number {
  const seconds = rampMs / 1000;
  if (ramp === "exponential" && startPerSecond !== perSecond) {
    return (seconds * (perSecond - startPerSecond)) / Math.log(perSecond / startPerSecond);
  }
  return (seconds * (startPerSecond + perSecond)) / 2;
}

/**
 * A gamma variate of shape `k` and scale 1 (Marsaglia and Tsang, 2000). Below 1 it is that of k + 1
 * times the k-th root of a uniform one.
 */
function gamma(k: number, random: () => number): number {
  if (k < 1) return gamma(k + 1, random) * (1 - random()) ** (1 / k);
  const d = k - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(random);
    const v = (1 + c * x) ** 3;
    if (v <= 0) continue;
    const u = 1 - random();
    if (Math.log(u) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** A standard normal variate (Box and Muller). */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
