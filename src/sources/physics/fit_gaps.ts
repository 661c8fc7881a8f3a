/**
 * Fits what follows the first token: the speed of each request, how much gaps vary around it, and
 * pauses. A gap is the sum of the gaps of the tokens in its event, and of a pause in some of them;
 * which have one is found by expectation and maximisation. Nothing is left to chance.
 *
 * @module
 */

import { quantile, sorted } from "../../lib/sample.ts";
import { type Filling, GapLikelihood, type GapSpread } from "./likelihood.ts";

/** The gaps of one request. */
export interface RequestGaps {
  readonly gapsMs: readonly number[];
  /** Tokens in the event behind each gap; undefined = as `fillings` say. */
  readonly tokens?: readonly number[] | undefined;
}

/** What was fitted. */
export interface GapFit extends GapSpread {
  /** The mean gap of a token of each request, without pauses. */
  readonly tokenMs: readonly number[];
  readonly logLikelihood: number;
}

const STEPS_MAX = 100;
const GAIN_MIN = 1e-7;
/** A gap that is so many deviations above the usual ones has a pause, at first sight. */
const DEVIATIONS = [1.5, 3, 4.5] as const;
/** The distance between the quartiles of a normal distribution, in deviations. */
const QUARTILES = 1.349;
const CV_MIN = 1e-4;

/** Mean tokens of an event, and their variance. */
export function momentsOf(
  fillings: readonly Filling[],
): { readonly mean: number; readonly variance: number } {
  const mean = fillings.reduce((sum, { tokens, share }) => sum + share * tokens, 0);
  const square = fillings.reduce((sum, { tokens, share }) => sum + share * tokens * tokens, 0);
  return { mean, variance: square - mean * mean };
}

/**
 * The best fit with or without pauses, by Schwarz's criterion. `fillings`: of events whose tokens are
 * not known.
 */
export function fitGaps(requests: readonly RequestGaps[], fillings: readonly Filling[]): GapFit {
  const count = requests.reduce((sum, { gapsMs }) => sum + gapsMs.length, 0);
  const rough = roughFit(requests, fillings);
  const none = refinedGaps(requests, fillings, { ...rough, ...NO_PAUSES }, false);
  let best = none;
  let most = none.logLikelihood;
  for (const start of pausedStarts(requests, fillings, rough)) {
    const paused = refinedGaps(requests, fillings, start, true);
    const worth = paused.logLikelihood - 3 * Math.log(count) / 2;
    if (worth <= most) continue;
    best = paused;
    most = worth;
  }
  return best;
}

/** `start`, made better until nothing gets better. */
export function refinedGaps(
  requests: readonly RequestGaps[],
  fillings: readonly Filling[],
  start: GapFit,
  hasPauses: boolean,
): GapFit {
  let best: GapFit = { ...start, logLikelihood: -Infinity };
  let now = best;
  const count = requests.reduce((sum, { gapsMs }) => sum + gapsMs.length, 0);
  for (let step = 0; step < STEPS_MAX; step++) {
    const { weights, logLikelihood } = expected(requests, fillings, now);
    const gain = logLikelihood - best.logLikelihood;
    if (gain > 0) best = { ...now, logLikelihood };
    if (!(gain > GAIN_MIN * count)) break;
    now = maximised(requests, fillings, weights, hasPauses);
  }
  return best;
}

/** Distributions of a request's gaps, made once for each number of tokens. */
export class RequestLikelihood {
  readonly #spread: GapSpread;
  readonly #tokenMs: number;
  readonly #unknown: readonly Filling[];
  readonly #made = new Map<number | undefined, GapLikelihood>();

  constructor(spread: GapSpread, tokenMs: number, fillings: readonly Filling[]) {
    this.#spread = spread;
    this.#tokenMs = tokenMs;
    this.#unknown = fillings;
  }

  /** Of an event with so many tokens; undefined = nobody knows. */
  of(tokens: number | undefined): GapLikelihood {
    let made = this.#made.get(tokens);
    if (made === undefined) {
      const fillings = tokens === undefined ? this.#unknown : [{ tokens, share: 1 }];
      made = new GapLikelihood(this.#spread, this.#tokenMs, fillings);
      this.#made.set(tokens, made);
    }
    return made;
  }
}

/** How likely each gap has a pause, and how likely all of them are. */
function expected(
  requests: readonly RequestGaps[],
  fillings: readonly Filling[],
  fit: GapFit,
): { weights: readonly (readonly number[])[]; logLikelihood: number } {
  const { pause_share } = fit;
  let logLikelihood = 0;
  const weights = requests.map(({ gapsMs, tokens }, at) => {
    const likelihood = new RequestLikelihood(fit, fit.tokenMs[at]!, fillings);
    return gapsMs.map((ms, i) => {
      const one = likelihood.of(tokens?.[i]);
      const usual = (1 - pause_share) * one.bodyPdf(ms);
      const paused = pause_share === 0 ? 0 : pause_share * one.pausePdf(ms);
      if (usual + paused < Number.MIN_VALUE * 1e10) {
        logLikelihood -= 700;
        return pause_share > 0 && ms > fit.tokenMs[at]! ? 1 : 0;
      }
      logLikelihood += Math.log(usual + paused);
      return paused / (usual + paused);
    });
  });
  return { weights, logLikelihood };
}

/** The numbers that fit best when each gap has a pause with its weight. */
function maximised(
  requests: readonly RequestGaps[],
  fillings: readonly Filling[],
  weights: readonly (readonly number[])[],
  hasPauses: boolean,
): GapFit {
  const { mean, variance } = momentsOf(fillings);
  const tokenMs = requests.map(({ gapsMs, tokens }, at) => {
    let time = 0;
    let count = 0;
    for (const [i, ms] of gapsMs.entries()) {
      const usual = 1 - weights[at]![i]!;
      time += usual * ms;
      count += usual * (tokens?.[i] ?? mean);
    }
    // All of its gaps are pauses, or there are none: it tells no speed.
    return count > 1e-9 ? Math.max(1e-6, time / count) : 1;
  });
  let known = 0;
  let knownCount = 0;
  let unknown = 0;
  let unknownCount = 0;
  let pauses = 0;
  let first = 0;
  let second = 0;
  let count = 0;
  for (const [at, { gapsMs, tokens }] of requests.entries()) {
    for (const [i, ms] of gapsMs.entries()) {
      const paused = weights[at]![i]!;
      const size = tokens?.[i] ?? mean;
      const body = size * tokenMs[at]!;
      const square = (1 - paused) * (ms / body - 1) ** 2;
      if (tokens === undefined) {
        unknown += square;
        unknownCount += 1 - paused;
      } else {
        known += square * size;
        knownCount += 1 - paused;
      }
      const pause = ms - body;
      pauses += paused;
      first += paused * pause;
      second += paused * pause * pause;
      count++;
    }
  }
  // Each request has a speed of its own, which takes a degree of freedom.
  const freed = count / Math.max(1, count - requests.length);
  // The number of tokens varies, too: that is no jitter.
  const cleared = unknownCount === 0
    ? 0
    : (unknown * freed / unknownCount - variance / (mean * mean)) * mean;
  const square = (known * freed + Math.max(0, cleared) * unknownCount) /
    Math.max(1e-9, knownCount + unknownCount);
  const spread = { gap_cv: Math.max(CV_MIN, Math.sqrt(square)), tokenMs, logLikelihood: -Infinity };
  if (!hasPauses || pauses < 1e-6) return { ...spread, ...NO_PAUSES };
  const middle = first / pauses;
  // Those around a pause vary as all gaps do.
  const around = Math.max(
    0,
    second / pauses - middle * middle - bodyVariance(requests, tokenMs, square),
  );
  const half = Math.sqrt(3 * around);
  const min = Math.max(0, middle - half);
  return {
    ...spread,
    pause_share: pauses / count,
    pause_min_ms: min,
    pause_max_ms: Math.max(min, middle + half),
  };
}

const NO_PAUSES = { pause_share: 0, pause_min_ms: 0, pause_max_ms: 0 } as const;

/** The variance of gaps without pauses, where each token's has the square `square` of its cv. */
function bodyVariance(
  requests: readonly RequestGaps[],
  tokenMs: readonly number[],
  square: number,
): number {
  const mean = requests.reduce((sum, _, at) => sum + tokenMs[at]! ** 2, 0) / requests.length;
  return mean * square;
}

/** What can be seen at first sight, without pauses. */
function roughFit(requests: readonly RequestGaps[], fillings: readonly Filling[]): GapFit {
  const { mean, variance } = momentsOf(fillings);
  const tokenMs = requests.map(({ gapsMs, tokens }) => {
    const perToken = sorted(gapsMs.map((ms, i) => ms / (tokens?.[i] ?? mean)));
    return Math.max(1e-6, quantile(perToken, 0.5));
  });
  const ratios = requests.flatMap(({ gapsMs, tokens }, at) =>
    gapsMs.map((ms, i) => Math.log(Math.max(1e-9, ms / ((tokens?.[i] ?? mean) * tokenMs[at]!))))
  );
  const ascending = sorted(ratios);
  const sigma = (quantile(ascending, 0.75) - quantile(ascending, 0.25)) / QUARTILES;
  const isKnown = requests.every(({ tokens }) => tokens !== undefined);
  const own = isKnown ? sigma : Math.sqrt(Math.max(0.01, sigma * sigma - variance / (mean * mean)));
  return { gap_cv: Math.max(0.02, own), tokenMs, ...NO_PAUSES, logLikelihood: -Infinity };
}

/** Beginnings with pauses: what is so many deviations above the most tokens of an event. */
function pausedStarts(
  requests: readonly RequestGaps[],
  fillings: readonly Filling[],
  rough: GapFit,
): readonly GapFit[] {
  const { mean } = momentsOf(fillings);
  const largest = Math.max(...fillings.map(({ tokens }) => tokens)) / mean;
  const { tokenMs, gap_cv } = rough;
  const count = requests.reduce((sum, { gapsMs }) => sum + gapsMs.length, 0);
  return DEVIATIONS.flatMap((deviations) => {
    const pauses = requests.flatMap(({ gapsMs, tokens }, at) =>
      gapsMs.flatMap((ms, i) => {
        const body = (tokens?.[i] ?? mean) * tokenMs[at]!;
        const least = (tokens === undefined ? largest : 1) * Math.exp(deviations * gap_cv);
        return ms > body * least ? [ms - body] : [];
      })
    );
    if (pauses.length === 0) return [];
    const ascending = sorted(pauses);
    return [{
      ...rough,
      pause_share: pauses.length / count,
      pause_min_ms: ascending[0]!,
      pause_max_ms: ascending.at(-1)!,
    }];
  });
}
