/**
 * Fits the first token: (first_token_ms + prompt_token_ms · n) · e^(σZ), and a slow mode of some
 * requests. Everything is fitted to logarithms, as the spread is a factor: a line by Gauss and Newton,
 * robustly at first, then both modes by expectation and maximisation. Nothing is left to chance.
 *
 * @module
 */

import { quantile, sorted } from "../../lib/sample.ts";
import { type FirstTokenSpread, slowPdf, usualPdf } from "./likelihood.ts";

/** A first token, > 0 ms, of a prompt with so many tokens that no cache had. */
export interface FirstToken {
  readonly ms: number;
  readonly tokens: number;
}

/** What was fitted. */
export interface FirstTokenFit extends FirstTokenSpread {
  readonly first_token_ms: number;
  readonly prompt_token_ms: number;
  /** The standard error of `prompt_token_ms`; 0 = it was given. */
  readonly promptTokenError: number;
  readonly logLikelihood: number;
}

/** What is fitted. */
export interface FirstTokenFreedom {
  /** The time of a prompt's token, where it is not fitted. */
  readonly promptTokenMs?: number | undefined;
  /** False: there is one mode. */
  readonly hasSlowMode: boolean;
}

const STEPS_MAX = 300;
/** A step that gains less likelihood than it for each sample is the last. */
const GAIN_MIN = 1e-8;
/** A deviation that is 0 in a sample of some is not 0 in the world. */
const SIGMA_MIN = 1e-4;
/** Medians of absolute deviations by standard deviations, of a normal distribution. */
const MAD = 0.6745;

/** a + b·n. */
interface Line {
  readonly a: number;
  readonly b: number;
}

/**
 * The best fit of one mode, or of two where there are two: by Schwarz's criterion (BIC), so that a
 * few odd ones make no mode of their own.
 */
export function fitFirstToken(
  samples: readonly FirstToken[],
  { promptTokenMs, hasSlowMode }: FirstTokenFreedom,
): FirstTokenFit {
  const robust = robustLine(samples, promptTokenMs);
  const one = refined(samples, oneMode(samples, robust), promptTokenMs);
  if (!hasSlowMode) return one;
  const penalty = 3 * Math.log(samples.length) / 2;
  let best = one;
  for (const start of twoModes(samples, robust)) {
    const two = refined(samples, start, promptTokenMs);
    if (two.logLikelihood - penalty > best.logLikelihood - (best === one ? 0 : penalty)) best = two;
  }
  return best === one ? one : refined(samples, best, promptTokenMs, likeliestEnds);
}

/** How the ends of the slow mode's factor are found when it is known what is slow. */
type Ends = typeof momentEnds;

/**
 * `start`, made better until nothing gets better. `ends`: by moments, which is cheap, or the likeliest
 * ones, which is exact.
 */
export function refined(
  samples: readonly FirstToken[],
  start: Omit<FirstTokenFit, "logLikelihood">,
  promptTokenMs: number | undefined,
  ends: Ends = momentEnds,
): FirstTokenFit {
  let best: FirstTokenFit = { ...start, logLikelihood: -Infinity };
  let now = best;
  for (let step = 0; step <= STEPS_MAX; step++) {
    const { weights, logLikelihood } = expected(samples, now);
    const gain = logLikelihood - best.logLikelihood;
    if (gain > 0) best = { ...now, logLikelihood };
    if (!(gain > GAIN_MIN * samples.length)) break;
    now = maximised(samples, now, weights, promptTokenMs, ends);
  }
  return best;
}

/** How likely each sample is of the slow mode, and how likely all of them are. */
function expected(samples: readonly FirstToken[], fit: FirstTokenFit) {
  const { first_token_ms, prompt_token_ms, slow_share } = fit;
  let logLikelihood = 0;
  const weights = samples.map(({ ms, tokens }) => {
    const median = first_token_ms + prompt_token_ms * tokens;
    const usual = (1 - slow_share) * usualPdf(fit, ms / median) / median;
    const slow = slow_share === 0 ? 0 : slow_share * slowPdf(fit, ms / median) / median;
    // What neither mode explains belongs to the one whose side it is on.
    if (usual + slow < Number.MIN_VALUE * 1e10) {
      logLikelihood -= 700;
      return slow_share > 0 && ms > median ? 1 : 0;
    }
    logLikelihood += Math.log(usual + slow);
    return slow / (usual + slow);
  });
  return { weights, logLikelihood };
}

/** The numbers that fit best when each sample is of the slow mode with its weight. */
function maximised(
  samples: readonly FirstToken[],
  before: FirstTokenFit,
  weights: readonly number[],
  promptTokenMs: number | undefined,
  ends: Ends,
): FirstTokenFit {
  const usual = weights.map((weight) => 1 - weight);
  const start = { a: before.first_token_ms, b: before.prompt_token_ms };
  const line = fittedLine(samples, usual, start, promptTokenMs);
  let square = 0;
  let slowCount = 0;
  for (const [i, { ms, tokens }] of samples.entries()) {
    square += usual[i]! * Math.log(ms / (line.a + line.b * tokens)) ** 2;
    slowCount += weights[i]!;
  }
  const usualCount = samples.length - slowCount;
  const sigma = Math.max(SIGMA_MIN, Math.sqrt(square / usualCount));
  const spread = before.slow_share === 0 ? NO_SLOW_MODE : {
    slow_share: slowCount / samples.length,
    ...ends(slowOnes(samples, weights, line), before, sigma),
  };
  return {
    first_token_ms: line.a,
    prompt_token_ms: line.b,
    first_token_sigma: sigma,
    ...spread,
    promptTokenError: promptTokenMs === undefined ? slopeError(samples, usual, line, sigma) : 0,
    logLikelihood: -Infinity,
  };
}

const NO_SLOW_MODE = { slow_share: 0, slow_factor_min: 1, slow_factor_max: 1 } as const;

/** Samples that are less likely slow than it say nothing of the slow mode. */
const WEIGHT_MIN = 1e-4;

/** A sample that may be slow: how many times as long as usual, and how likely it is slow. */
interface SlowOne {
  readonly factor: number;
  readonly weight: number;
}

function slowOnes(
  samples: readonly FirstToken[],
  weights: readonly number[],
  { a, b }: Line,
): readonly SlowOne[] {
  return samples.flatMap(({ ms, tokens }, i) =>
    weights[i]! < WEIGHT_MIN ? [] : [{ factor: ms / (a + b * tokens), weight: weights[i]! }]
  );
}

type FactorEnds = Pick<FirstTokenSpread, "slow_factor_min" | "slow_factor_max">;

/** An even factor from m to M has the mean (m + M)/2 and the deviation (M − m)/√12. */
function momentEnds(slow: readonly SlowOne[], _before: FactorEnds, sigma: number): FactorEnds {
  let count = 0;
  let first = 0;
  let second = 0;
  for (const { factor, weight } of slow) {
    count += weight;
    first += weight * factor;
    second += weight * factor * factor;
  }
  if (count === 0) return NO_SLOW_MODE;
  // Both moments have those of the usual spread in them.
  const mean = first / count / Math.exp(sigma * sigma / 2);
  const square = second / count / Math.exp(2 * sigma * sigma);
  const half = Math.sqrt(3 * Math.max(0, square - mean * mean));
  const min = Math.max(1, mean - half);
  return { slow_factor_min: min, slow_factor_max: Math.max(min, 2 * mean - min) };
}

/** The ends that are likeliest, one after the other. */
function likeliestEnds(slow: readonly SlowOne[], before: FactorEnds, sigma: number): FactorEnds {
  if (slow.length === 0) return NO_SLOW_MODE;
  const likelihood = (slow_factor_min: number, slow_factor_max: number) => {
    const spread = { first_token_sigma: sigma, slow_share: 1, slow_factor_min, slow_factor_max };
    let sum = 0;
    for (const { factor, weight } of slow) {
      sum += weight * Math.log(Math.max(Number.MIN_VALUE, slowPdf(spread, factor)));
    }
    return sum;
  };
  const { slow_factor_min } = before;
  const largest = Math.max(...slow.map(({ factor }) => factor));
  const max = highest((end) => likelihood(slow_factor_min, end), slow_factor_min, 1.5 * largest);
  const min = highest((start) => likelihood(start, max), 1, max);
  return likelihood(min, max) > likelihood(slow_factor_min, before.slow_factor_max)
    ? { slow_factor_min: min, slow_factor_max: max }
    : before;
}

const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** Where `f` is highest between two ends, to a thousandth of their distance (J. Kiefer, 1953). */
function highest(f: (x: number) => number, from: number, to: number): number {
  let low = from;
  let high = to;
  let one = high - GOLDEN * (high - low);
  let other = low + GOLDEN * (high - low);
  let atOne = f(one);
  let atOther = f(other);
  for (let step = 0; step < 14; step++) {
    if (atOne > atOther) {
      high = other;
      [other, atOther] = [one, atOne];
      one = high - GOLDEN * (high - low);
      atOne = f(one);
    } else {
      low = one;
      [one, atOne] = [other, atOther];
      other = low + GOLDEN * (high - low);
      atOther = f(other);
    }
  }
  return (low + high) / 2;
}

/** The line that the logarithms of the times are nearest to, each counting as much as its weight. */
function fittedLine(
  samples: readonly FirstToken[],
  weights: readonly number[],
  start: Line,
  promptTokenMs: number | undefined,
): Line {
  if (promptTokenMs !== undefined) {
    return { a: level(samples, weights, promptTokenMs), b: promptTokenMs };
  }
  let { a, b } = start;
  for (let step = 0; step < 20; step++) {
    const { aa, ab, bb, ar, br } = normalEquations(samples, weights, { a, b });
    const determinant = aa * bb - ab * ab;
    if (!(determinant > 1e-12 * aa * bb)) break; // all prompts are equally long
    const nextA = a + (ar * bb - br * ab) / determinant;
    const nextB = b + (br * aa - ar * ab) / determinant;
    if (nextB < 0) return { a: level(samples, weights, 0), b: 0 };
    const isSmall = Math.abs(nextA - a) < 1e-9 * a && Math.abs(nextB - b) <= 1e-9 * b;
    // Halfway to nothing at the most: a line through 0 has no logarithm there.
    a = Math.max(a / 2, nextA);
    b = nextB;
    if (isSmall) break;
  }
  return { a, b };
}

/** The sums of Gauss and Newton's step for ln(a + b·n). */
function normalEquations(
  samples: readonly FirstToken[],
  weights: readonly number[],
  { a, b }: Line,
) {
  const sums = { aa: 0, ab: 0, bb: 0, ar: 0, br: 0 };
  for (const [i, { ms, tokens }] of samples.entries()) {
    const median = a + b * tokens;
    const weight = weights[i]!;
    const byA = 1 / median;
    const byB = tokens / median;
    const rest = Math.log(ms / median);
    sums.aa += weight * byA * byA;
    sums.ab += weight * byA * byB;
    sums.bb += weight * byB * byB;
    sums.ar += weight * byA * rest;
    sums.br += weight * byB * rest;
  }
  return sums;
}

/** How uncertain b is. */
function slopeError(
  samples: readonly FirstToken[],
  weights: readonly number[],
  line: Line,
  sigma: number,
): number {
  const { aa, ab, bb } = normalEquations(samples, weights, line);
  const determinant = aa * bb - ab * ab;
  return determinant > 1e-12 * aa * bb ? sigma * Math.sqrt(aa / determinant) : Infinity;
}

/** The a that fits a given b best: by bisection, as the mean of ln(ms/(a + b·n)) falls with a. */
function level(samples: readonly FirstToken[], weights: readonly number[], b: number): number {
  let total = 0;
  let sum = 0;
  let least = Infinity;
  for (const [i, { ms }] of samples.entries()) {
    total += weights[i]!;
    sum += weights[i]! * Math.log(ms);
    least = Math.min(least, ms);
  }
  if (b === 0) return Math.exp(sum / total);
  const rest = (a: number) => {
    let mean = 0;
    for (const [i, { ms, tokens }] of samples.entries()) {
      mean += weights[i]! * Math.log(ms / (a + b * tokens));
    }
    return mean;
  };
  let low = 0;
  let high = 2 * Math.exp(sum / total);
  if (samples.every(({ tokens }) => tokens > 0) && rest(0) <= 0) return 0;
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (rest(middle) > 0) low = middle;
    else high = middle;
  }
  return Math.max((low + high) / 2, least * 1e-9);
}

/** The line with the least sum of absolute logarithms: slow ones do not draw it up. */
function robustLine(samples: readonly FirstToken[], promptTokenMs: number | undefined): Line {
  let line = roughLine(samples, promptTokenMs);
  for (let step = 0; step < 20; step++) {
    const { a, b } = line;
    const weights = samples.map(({ ms, tokens }) =>
      1 / Math.max(0.02, Math.abs(Math.log(ms / (a + b * tokens))))
    );
    line = fittedLine(samples, weights, line, promptTokenMs);
  }
  return line;
}

/** A line through the medians of the shorter half of the prompts and of the longer one. */
function roughLine(samples: readonly FirstToken[], promptTokenMs: number | undefined): Line {
  const ordered = samples.toSorted((one, other) => one.tokens - other.tokens);
  const half = Math.ceil(ordered.length / 2);
  const middles = [ordered.slice(0, half), ordered.slice(-half)].map((part) => ({
    ms: quantile(sorted(part.map(({ ms }) => ms)), 0.5),
    tokens: quantile(sorted(part.map(({ tokens }) => tokens)), 0.5),
  }));
  const [short, long] = middles as [FirstToken, FirstToken];
  const rise = (long.ms - short.ms) / (long.tokens - short.tokens);
  const b = promptTokenMs ?? (Number.isFinite(rise) ? Math.max(0, rise) : 0);
  return { a: Math.max(short.ms / 10, short.ms - b * short.tokens), b };
}

function factorsOf(samples: readonly FirstToken[], { a, b }: Line): Float64Array {
  return sorted(samples.map(({ ms, tokens }) => ms / (a + b * tokens)));
}

function oneMode(samples: readonly FirstToken[], { a, b }: Line) {
  const sigma = robustSigma(factorsOf(samples, { a, b }));
  return {
    first_token_ms: a,
    prompt_token_ms: b,
    first_token_sigma: sigma,
    ...NO_SLOW_MODE,
    promptTokenError: 0,
  };
}

function robustSigma(factors: Float64Array): number {
  const distances = sorted(Array.from(factors, (factor) => Math.abs(Math.log(factor))));
  return Math.max(SIGMA_MIN, quantile(distances, 0.5) / MAD);
}

/** Beginnings with two modes: what is so many deviations above the line is slow. */
function twoModes(samples: readonly FirstToken[], line: Line) {
  const factors = factorsOf(samples, line);
  const one = oneMode(samples, line);
  return [2, 3, 4].flatMap((deviations) => {
    const least = Math.max(1.3, Math.exp(deviations * one.first_token_sigma));
    const slow = factors.filter((factor) => factor > least);
    if (slow.length === 0) return [];
    return [{
      ...one,
      slow_share: slow.length / factors.length,
      slow_factor_min: slow[0]!,
      slow_factor_max: Math.max(slow[0]! * 1.1, slow.at(-1)!),
    }];
  });
}
