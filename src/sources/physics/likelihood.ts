/**
 * How dense, and how often at most, what is drawn from a profile is: the formulas of profile.ts as
 * distributions, in closed form where there is one.
 *
 * @module
 */

import { lognormalCdf, lognormalPdf, normalCdf, normalPdf } from "../../lib/normal.ts";
import { type LatencyProfile, sigmaOfCv } from "./profile.ts";

/** What of a profile the first token's factor follows. */
export type FirstTokenSpread = Pick<
  LatencyProfile,
  "first_token_sigma" | "slow_share" | "slow_factor_min" | "slow_factor_max"
>;

/** What of a profile the gaps follow. */
export type GapSpread = Pick<
  LatencyProfile,
  "gap_cv" | "pause_share" | "pause_min_ms" | "pause_max_ms"
>;

/** Spreads below it are none to tell apart: a distribution has no density there. */
const SPREAD_MIN = 1e-6;

/** How dense the usual mode is at `factor`: a first token's time by the median of its prompt. */
export function usualPdf({ first_token_sigma }: FirstTokenSpread, factor: number): number {
  return lognormalPdf({ median: 1, sigma: Math.max(SPREAD_MIN, first_token_sigma) }, factor);
}

/**
 * How dense the slow mode is there: F·e^(σZ) with F even from m to M,
 * e^(σ²/2) / (M − m) · [Φ((ln(M/x) − σ²)/σ) − Φ((ln(m/x) − σ²)/σ)].
 */
export function slowPdf(spread: FirstTokenSpread, factor: number): number {
  const { slow_factor_min: min, slow_factor_max: max } = spread;
  const sigma = Math.max(SPREAD_MIN, spread.first_token_sigma);
  if (!(factor > 0)) return 0;
  if (max - min < SPREAD_MIN * min) return lognormalPdf({ median: min, sigma }, factor);
  const up = (end: number) => normalCdf((Math.log(end / factor) - sigma * sigma) / sigma);
  return Math.exp(sigma * sigma / 2) * (up(max) - up(min)) / (max - min);
}

/** The share of all first tokens whose factor does not exceed `factor`. */
export function firstTokenCdf(spread: FirstTokenSpread, factor: number): number {
  const { slow_share, slow_factor_min: min, slow_factor_max: max } = spread;
  const sigma = Math.max(SPREAD_MIN, spread.first_token_sigma);
  if (!(factor > 0)) return 0;
  const usual = lognormalCdf({ median: 1, sigma }, factor);
  if (slow_share === 0) return usual;
  if (max - min < SPREAD_MIN * min) {
    return (1 - slow_share) * usual + slow_share * lognormalCdf({ median: min, sigma }, factor);
  }
  // By parts: ∫ Φ(ln(x/f)/σ) df = f·Φ(ln(x/f)/σ) + x·e^(σ²/2)·Φ((ln(f/x) − σ²)/σ).
  const area = (end: number) => {
    const z = Math.log(factor / end) / sigma;
    return end * normalCdf(z) + factor * Math.exp(sigma * sigma / 2) * normalCdf(-z - sigma);
  };
  return (1 - slow_share) * usual + slow_share * (area(max) - area(min)) / (max - min);
}

/** A way in which an event may be filled: with so many tokens, that often. */
export interface Filling {
  readonly tokens: number;
  readonly share: number;
}

/** Where a gap without a pause is, for an event that is filled in one of some ways. */
class Body {
  readonly #parts: readonly {
    readonly share: number;
    readonly median: number;
    readonly sigma: number;
  }[];
  readonly meanMs: number;
  readonly deviationMs: number;

  /**
   * The sum of `tokens` lognormal gaps is taken for a lognormal value with its mean and deviation
   * (L. F. Fenton, 1960). `tokenMs`: the mean gap of a token of this request.
   */
  constructor(gapCv: number, tokenMs: number, fillings: readonly Filling[]) {
    let mean = 0;
    let square = 0;
    this.#parts = fillings.map(({ tokens, share }) => {
      const cv = gapCv / Math.sqrt(tokens);
      const sigma = Math.max(SPREAD_MIN, sigmaOfCv(cv));
      mean += share * tokens;
      square += share * tokens * tokens * (1 + cv * cv);
      return { share, sigma, median: tokens * tokenMs * Math.exp(-sigma * sigma / 2) };
    });
    this.meanMs = mean * tokenMs;
    this.deviationMs = Math.max(SPREAD_MIN, Math.sqrt(Math.max(0, square - mean * mean)) * tokenMs);
  }

  pdf(ms: number): number {
    let density = 0;
    for (const part of this.#parts) density += part.share * lognormalPdf(part, ms);
    return density;
  }

  cdf(ms: number): number {
    let share = 0;
    for (const part of this.#parts) share += part.share * lognormalCdf(part, ms);
    return share;
  }
}

/** The gaps before events of one request. */
export class GapLikelihood {
  readonly #spread: GapSpread;
  readonly #body: Body;

  /** `tokenMs`: the mean gap of a token of this request. */
  constructor(spread: GapSpread, tokenMs: number, fillings: readonly Filling[]) {
    this.#spread = spread;
    this.#body = new Body(spread.gap_cv, tokenMs, fillings);
  }

  /** How dense gaps without a pause are at `ms`. */
  bodyPdf(ms: number): number {
    return this.#body.pdf(ms);
  }

  /** How dense those with one are: a pause is so much longer than what else is in it that this is taken as normal. */
  pausePdf(ms: number): number {
    const { pause_min_ms: min, pause_max_ms: max } = this.#spread;
    const { meanMs, deviationMs } = this.#body;
    const z = (end: number) => (ms - end - meanMs) / deviationMs;
    if (max - min < SPREAD_MIN) return normalPdf(z(min)) / deviationMs;
    return (normalCdf(z(min)) - normalCdf(z(max))) / (max - min);
  }

  /** The share of all gaps that do not exceed `ms`. */
  cdf(ms: number): number {
    const { pause_share, pause_min_ms: min, pause_max_ms: max } = this.#spread;
    const usual = this.#body.cdf(ms);
    if (pause_share === 0) return usual;
    const { meanMs, deviationMs } = this.#body;
    const z = (end: number) => (ms - end - meanMs) / deviationMs;
    // ∫ Φ(z) dz = z·Φ(z) + φ(z).
    const area = (end: number) => z(end) * normalCdf(z(end)) + normalPdf(z(end));
    const paused = max - min < SPREAD_MIN
      ? normalCdf(z(min))
      : deviationMs * (area(min) - area(max)) / (max - min);
    return (1 - pause_share) * usual + pause_share * paused;
  }
}
