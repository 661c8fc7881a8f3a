/**
 * The normal distribution with mean 0 and variance 1, and the lognormal one that is made of it.
 *
 * @module
 */

/** √(2π). */
const ROOT_2_PI = Math.sqrt(2 * Math.PI);
/** From here on the series needs more terms than the continued fraction. */
const SERIES_MAX = 2;
/** More terms than the series needs for the precision of a double below `SERIES_MAX` … */
const SERIES_TERMS_MAX = 100;
/** … and as many as the fraction needs for it there; it needs fewer above. */
const FRACTION_TERMS = 64;

/**
 * The error function, to some 1e-15: its power series where `x` is small (Abramowitz and Stegun
 * 7.1.6), else what remains of 1 above it.
 */
export function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  const size = Math.abs(x);
  const value = size < SERIES_MAX ? series(size) : 1 - tail(size);
  return x < 0 ? -value : value;
}

/** 1 − erf(x), without its digits being lost where it is small. */
export function erfc(x: number): number {
  if (Number.isNaN(x)) return x;
  if (Math.abs(x) < SERIES_MAX) return 1 - erf(x);
  return x < 0 ? 2 - tail(-x) : tail(x);
}

/** erf(x) = 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (1·3·…·(2n+1)), for x ≥ 0. */
function series(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < SERIES_TERMS_MAX && term > sum * Number.EPSILON / 2; n++) {
    term *= 2 * x * x / (2 * n + 1);
    sum += term;
  }
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}

/**
 * erfc(x) = e^(−x²)/√π · 1/(x + (1/2)/(x + (2/2)/(x + (3/2)/(x + …)))), for x ≥ 2 (Abramowitz and
 * Stegun 7.1.14), evaluated from below.
 */
function tail(x: number): number {
  if (x === Infinity) return 0;
  let below = x;
  for (let n = FRACTION_TERMS; n > 0; n--) below = x + n / 2 / below;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / below;
}

/** How dense the values are at `z`. */
export function normalPdf(z: number): number {
  return Math.exp(-z * z / 2) / ROOT_2_PI;
}

/** The share of all values that do not exceed `z`. */
export function normalCdf(z: number): number {
  return erfc(-z * Math.SQRT1_2) / 2;
}

/**
 * The value that a `share` (0 to 1) of all does not exceed: −∞ for 0, ∞ for 1, NaN outside. Within
 * 1.2e-9 of itself, with a logarithm and a root at most: cheap enough to draw with. Rational
 * approximations after P. J. Acklam, "An algorithm for computing the inverse normal cumulative
 * distribution function", 2003.
 */
export function normalQuantile(share: number): number {
  if (!(share >= 0 && share <= 1)) return NaN;
  if (share === 0) return -Infinity;
  if (share === 1) return Infinity;
  if (share < TAIL_SHARE) return tailQuantile(share);
  if (share > 1 - TAIL_SHARE) return -tailQuantile(1 - share);
  const q = share - 0.5;
  const r = q * q;
  const [a0, a1, a2, a3, a4, a5] = A;
  const [b0, b1, b2, b3, b4] = B;
  return (((((a0 * r + a1) * r + a2) * r + a3) * r + a4) * r + a5) * q /
    (((((b0 * r + b1) * r + b2) * r + b3) * r + b4) * r + 1);
}

function tailQuantile(share: number): number {
  const q = Math.sqrt(-2 * Math.log(share));
  const [c0, c1, c2, c3, c4, c5] = C;
  const [d0, d1, d2, d3] = D;
  return (((((c0 * q + c1) * q + c2) * q + c3) * q + c4) * q + c5) /
    ((((d0 * q + d1) * q + d2) * q + d3) * q + 1);
}

/** Below it and above 1 − it, the tails have an approximation of their own. */
const TAIL_SHARE = 0.02425;
const A = [
  -3.969683028665376e+01,
  2.209460984245205e+02,
  -2.759285104469687e+02,
  1.38357751867269e+02,
  -3.066479806614716e+01,
  2.506628277459239e+00,
] as const;
const B = [
  -5.447609879822406e+01,
  1.615858368580409e+02,
  -1.556989798598866e+02,
  6.680131188771972e+01,
  -1.328068155288572e+01,
] as const;
const C = [
  -7.784894002430293e-03,
  -3.223964580411365e-01,
  -2.400758277161838e+00,
  -2.549732539343734e+00,
  4.374664141464968e+00,
  2.938163982698783e+00,
] as const;
const D = [
  7.784695709041462e-03,
  3.224671290700398e-01,
  2.445134137142996e+00,
  3.754408661907416e+00,
] as const;

/** e to the power of a normal value. */
export interface Lognormal {
  /** Half of all values are below it, > 0. */
  readonly median: number;
  /** The standard deviation of the logarithms, > 0. */
  readonly sigma: number;
}

/** How dense the values are at `x`. */
export function lognormalPdf({ median, sigma }: Lognormal, x: number): number {
  return x > 0 ? normalPdf(Math.log(x / median) / sigma) / (sigma * x) : 0;
}

/** The share of all values that do not exceed `x`. */
export function lognormalCdf({ median, sigma }: Lognormal, x: number): number {
  return x > 0 ? normalCdf(Math.log(x / median) / sigma) : 0;
}

/** The value that a `share` (0 to 1) of all does not exceed. */
export function lognormalQuantile({ median, sigma }: Lognormal, share: number): number {
  return median * Math.exp(sigma * normalQuantile(share));
}
