/**
 * How well a fitted profile fits: the distance of Kolmogorov and Smirnov, how often the profile itself
 * would give such a distance, and percentiles side by side.
 *
 * A distribution that was fitted to values lies nearer to them than one that was known before, so the
 * usual table of critical values says too often that all is well. Here values are drawn from the
 * profile as the mock draws them and the profile is fitted to them again, many times: the share of
 * those that lie as far off is the p (a parametric bootstrap; W. Stute and others, 1993).
 *
 * @module
 */

import { type Lognormal, lognormalQuantile, normalCdf } from "../../lib/normal.ts";
import { gridOf, quantile, roundedDistance, type ShareRange, sorted } from "../../lib/sample.ts";
import type { Draw } from "../draws.ts";
import { Gaps, luckOf } from "./draw.ts";
import { drawnAnswer, lucks } from "./drawn.ts";
import type { Fit } from "./fit.ts";
import { SPREAD_MIN } from "./fit_numbers.ts";
import { type Speed, speedSpread } from "./fit_stream.ts";
import { type FirstToken, type FirstTokenFit, refined } from "./fit_first_token.ts";
import { type GapFit, refinedGaps, type RequestGaps, RequestLikelihood } from "./fit_gaps.ts";
import { type Filling, firstTokenCdf } from "./likelihood.ts";
import type { LatencyProfile } from "./profile.ts";
import type { Times } from "./times.ts";

/** Times that a profile is fitted to what was drawn from it, at most. */
const REPEATS = 199;
/** As many of them as far off tell enough: the share is known to a fifth (J. Besag, P. Clifford, 1991). */
const FAR_ENOUGH = 20;
/** A distance below it is none, whatever else is. */
const NEXT_TO_NOTHING = 1e-4;
/** Values of each of them: the distance times the root of their number does not hang on it. */
const REPEATED_MAX = 400;
const REPEATED_GAPS_MAX = 500;
/** Of one request: many requests say more than one long one. */
const REQUEST_GAPS_MAX = 50;
/** Answers that are drawn for the percentiles of the profile, at least. */
const DRAWN_MIN = 20_000;
/** Tokens of them, at most: a million gaps take half a second. */
const DRAWN_TOKENS_MAX = 1_000_000;
/** What is compared. */
const SHARES = [0.5, 0.9, 0.95, 0.99] as const;
/** Where it is looked how far values are apart: the outer twentieths of a sample say little. */
const APART_SHARES = Array.from({ length: 19 }, (_, at) => (at + 1) / 20);
/** Nobody measures better than to this share of a value. */
const SURE_SHARE = 0.001;
/** Where the middle half of the values is wider than so many of those, it does not matter. */
const TIGHT = 20;
/** What is rounded to more than this share of its median is taken as it is: its grid is its shape. */
const GRID_SHARE_MAX = 0.05;

/** One quantity, as it was measured and as the profile has it. */
export interface Goodness {
  readonly what: "first token" | "speed" | "gap between events" | "whole answer";
  readonly unit: "ms" | "tokens/s";
  readonly count: number;
  /** What is counted. */
  readonly noun: "request" | "gap";
  /** How far the shares are apart at most; undefined = there are too few for it. */
  readonly distance: number | undefined;
  /** How often the profile itself is as far off; undefined = it was not fitted to this. */
  readonly pValue: number | undefined;
  /** How far values of the same share are apart at most, but for the outer ones; a share of them. */
  readonly apart: number;
  readonly percentiles: readonly {
    readonly share: number;
    readonly data: number;
    readonly model: number;
  }[];
}

/** Looks at `fit`, which was made of `times`. */
export function goodnessOf(fit: Fit, times: readonly Times[]): readonly Goodness[] {
  const { samples, profile } = fit;
  const { firstTokens, speeds, gaps, fillings } = samples;
  const found: Goodness[] = [];
  if (fit.firstToken !== undefined) {
    const model = drawnFirstTokens(profile, firstTokens, lucks(1));
    found.push({
      what: "first token",
      unit: "ms",
      noun: "request",
      ...tested(firstTokens.length, SPREAD_MIN, () => firstTokenTest(fit.firstToken!, fit)),
      ...sideBySide(firstTokens.map(({ ms }) => ms), model),
    });
  }
  if (speeds.length > 0) {
    const draw = lucks(2);
    const { tokens_per_s: median, speed_sigma: sigma } = profile;
    const own = Array.from({ length: DRAWN_MIN }, (_, at) => {
      const { variance } = speeds[at % speeds.length]!;
      return measuredSpeed({ median, sigma }, variance, draw).tokensPerS;
    });
    found.push({
      what: "speed",
      unit: "tokens/s",
      noun: "request",
      ...tested(speeds.length, SPREAD_MIN, () => speedTest(speeds)),
      ...sideBySide(speeds.map(({ tokensPerS }) => tokensPerS), own),
    });
  }
  if (fit.gap !== undefined) {
    const { gap } = fit;
    const measured = gaps.flatMap(({ gapsMs }) => gapsMs);
    const draw = lucks(3);
    const repeats = Math.ceil(DRAWN_MIN / measured.length);
    const drawn = Array.from({ length: repeats }, () => gaps).flat().flatMap((request) => {
      const { tokensPerS } = luckOf(profile, draw, 0);
      return drawnGaps(profile, draw, tokensPerS, request, fillings).gapsMs;
    });
    found.push({
      what: "gap between events",
      unit: "ms",
      noun: "gap",
      ...tested(measured.length, SPREAD_MIN, () => gapTest(gap, profile, gaps, fillings)),
      ...sideBySide(measured, drawn),
    });
  }
  const whole = wholeAnswers(profile, times);
  return whole === undefined ? found : [...found, whole];
}

function tested(
  count: number,
  countMin: number,
  test: () => { readonly distance: number; readonly pValue: number },
) {
  return { count, ...(count < countMin ? { distance: undefined, pValue: undefined } : test()) };
}

function sideBySide(
  data: readonly number[],
  model: readonly number[],
): Pick<Goodness, "percentiles" | "apart"> {
  const [measured, drawn] = [sorted(data), sorted(model)];
  const at = (share: number) => ({
    share,
    data: quantile(measured, share),
    model: quantile(drawn, share),
  });
  const apart = APART_SHARES.map(at).map(({ data, model }) =>
    Math.abs(data - model) / Math.max(data, model, Number.MIN_VALUE)
  );
  return {
    // A percentile with less than one value above it is the largest.
    percentiles: SHARES.filter((share) => (1 - share) * measured.length >= 0.99).map(at),
    apart: Math.max(...apart),
  };
}

/** How values were rounded: to multiples of a power of ten, or to `SURE_SHARE` of themselves. */
class Rounding {
  readonly #grid: number;
  /** True: they are so near to each other that it is seen. */
  readonly #isTight: boolean;

  constructor(values: readonly number[], grid = gridOf(values)) {
    const ascending = sorted(values);
    const median = quantile(ascending, 0.5);
    this.#grid = Math.min(grid, GRID_SHARE_MAX * median);
    const width = quantile(ascending, 0.75) - quantile(ascending, 0.25);
    this.#isTight = width < TIGHT * SURE_SHARE * median;
  }

  /** `value` as it would have been measured. */
  of(value: number): number {
    const grid = this.#grid;
    return grid === 0 ? value : Math.max(grid, grid * Math.round(value / grid));
  }

  /** Where a value that was measured may be. */
  range(value: number, cdf: (value: number) => number): ShareRange {
    const half = Math.max(this.#grid, this.#isTight ? SURE_SHARE * value : 0) / 2;
    const from = cdf(value - half);
    return { from, to: half === 0 ? from : cdf(value + half) };
  }
}

/** How often `repeat` gives a distance of `count` values that is as large as `distance` of `all`. */
function pValueOf(
  distance: number,
  all: number,
  repeat: (draw: Draw) => { readonly distance: number; readonly count: number },
): number {
  const own = distance * Math.sqrt(all);
  if (distance < NEXT_TO_NOTHING) return 1;
  let far = 0;
  for (let i = 0; i < REPEATS; i++) {
    const one = repeat(lucks(1000 + i));
    if (one.distance * Math.sqrt(one.count) >= own) far++;
    if (far === FAR_ENOUGH) return far / (i + 1);
  }
  return (far + 1) / (REPEATS + 1);
}

/** At most so many, evenly over all. */
function spread<T>(all: readonly T[], countMax: number): readonly T[] {
  const count = Math.min(all.length, countMax);
  return Array.from({ length: count }, (_, at) => all[Math.floor(at * all.length / count)]!);
}

function firstTokenTest(fit: FirstTokenFit, { numbers, samples }: Fit) {
  const slope = numbers.find(({ key }) => key === "prompt_token_ms")!;
  // What was fitted is fitted again, and what was given is given.
  const given = slope.origin === "fitted" && slope.value !== 0 ? undefined : fit.prompt_token_ms;
  const { firstTokens } = samples;
  const rounding = new Rounding(firstTokens.map(({ ms }) => ms));
  const distance = firstTokenDistance(fit, firstTokens, rounding);
  const some = spread(firstTokens, REPEATED_MAX);
  const pValue = pValueOf(distance, firstTokens.length, (draw) => {
    const drawn = some.map(({ tokens }) => ({
      tokens,
      ms: rounding.of(luckOf({ ...UNUSED, ...fit }, draw, tokens).firstTokenMs),
    }));
    return {
      distance: firstTokenDistance(refined(drawn, fit, given), drawn, rounding),
      count: drawn.length,
    };
  });
  return { distance, pValue };
}

/** Speeds that nobody looks at. */
const UNUSED = { tokens_per_s: 1, speed_sigma: 0 } as LatencyProfile;

function firstTokenDistance(
  fit: FirstTokenFit,
  samples: readonly FirstToken[],
  rounding: Rounding,
): number {
  const { first_token_ms, prompt_token_ms } = fit;
  return roundedDistance(samples.map(({ ms, tokens }) => {
    const median = first_token_ms + prompt_token_ms * tokens;
    return rounding.range(ms, (ms) => firstTokenCdf(fit, ms / median));
  }));
}

function speedTest(speeds: readonly Speed[]) {
  const rounding = new Rounding(speeds.map(({ tokensPerS }) => tokensPerS), 0);
  const distance = speedDistance(speeds, rounding);
  const fit = speedSpread(speeds);
  const some = spread(speeds, REPEATED_MAX);
  const pValue = pValueOf(distance, speeds.length, (draw) => {
    const drawn = some.map(({ variance }) => measuredSpeed(fit, variance, draw));
    return { distance: speedDistance(drawn, rounding), count: drawn.length };
  });
  return { distance, pValue };
}

/** A speed as it is measured, which may be so far off. */
function measuredSpeed(fit: Lognormal, variance: number, draw: Draw): Speed {
  const error = { median: 1, sigma: Math.sqrt(variance) };
  const tokensPerS = lognormalQuantile(fit, draw.at("speed")) *
    lognormalQuantile(error, draw.at("error"));
  return { tokensPerS, variance };
}

function speedDistance(speeds: readonly Speed[], rounding: Rounding): number {
  const { median, sigma } = speedSpread(speeds);
  return roundedDistance(speeds.map(({ tokensPerS, variance }) => {
    const deviation = Math.max(1e-9, Math.sqrt(sigma * sigma + variance));
    return rounding.range(tokensPerS, (speed) => normalCdf(Math.log(speed / median) / deviation));
  }));
}

function gapTest(
  fit: GapFit,
  profile: LatencyProfile,
  requests: readonly RequestGaps[],
  fillings: readonly Filling[],
) {
  const rounding = new Rounding(requests.flatMap(({ gapsMs }) => gapsMs));
  const distance = gapDistance(fit, requests, fillings, rounding);
  const count = requests.reduce((sum, { gapsMs }) => sum + gapsMs.length, 0);
  const mean = Math.min(REQUEST_GAPS_MAX, count / requests.length);
  const some = spread([...requests.keys()], Math.max(1, Math.ceil(REPEATED_GAPS_MAX / mean)));
  const own = { ...profile, ...fit };
  const pValue = pValueOf(distance, count, (draw) => {
    const drawn = some.map((at) => {
      const { gapsMs, tokens } = requests[at]!;
      const part = {
        gapsMs: gapsMs.slice(0, REQUEST_GAPS_MAX),
        tokens: tokens?.slice(0, REQUEST_GAPS_MAX),
      };
      const { gapsMs: ms, tokens: counts } = drawnGaps(
        own,
        draw,
        1000 / fit.tokenMs[at]!,
        part,
        fillings,
      );
      return { gapsMs: ms.map((one) => rounding.of(one)), tokens: counts };
    });
    const start = { ...fit, tokenMs: some.map((at) => fit.tokenMs[at]!) };
    const again = refinedGaps(drawn, fillings, start, fit.pause_share > 0);
    return {
      distance: gapDistance(again, drawn, fillings, rounding),
      count: drawn.reduce((sum, { gapsMs }) => sum + gapsMs.length, 0),
    };
  });
  return { distance, pValue };
}

/** As many gaps as `request` has, of as many tokens. */
function drawnGaps(
  profile: LatencyProfile,
  draw: Draw,
  tokensPerS: number,
  { gapsMs, tokens }: RequestGaps,
  fillings: readonly Filling[],
): RequestGaps {
  const gaps = new Gaps(profile, draw, tokensPerS, 1);
  const drawn = gapsMs.map((_, at) => {
    let ms = gaps.pause();
    for (let left = tokens?.[at] ?? filled(fillings, draw); left > 0; left--) ms += gaps.token();
    return ms;
  });
  return { gapsMs: drawn, tokens };
}

function filled(fillings: readonly Filling[], draw: Draw): number {
  let share = fillings.length === 1 ? 0 : draw.at("event");
  for (const filling of fillings) {
    share -= filling.share;
    if (share < 0) return filling.tokens;
  }
  return fillings.at(-1)!.tokens;
}

function gapDistance(
  fit: GapFit,
  requests: readonly RequestGaps[],
  fillings: readonly Filling[],
  rounding: Rounding,
): number {
  return roundedDistance(requests.flatMap(({ gapsMs, tokens }, at) => {
    const likelihood = new RequestLikelihood(fit, fit.tokenMs[at]!, fillings);
    return gapsMs.map((ms, i) => {
      const one = likelihood.of(tokens?.[i]);
      return rounding.range(ms, (ms) => one.cdf(ms));
    });
  }));
}

function drawnFirstTokens(
  profile: LatencyProfile,
  samples: readonly FirstToken[],
  draw: Draw,
): readonly number[] {
  return Array.from(
    { length: Math.max(DRAWN_MIN, samples.length) },
    (_, at) => luckOf(profile, draw, samples[at % samples.length]!.tokens).firstTokenMs,
  );
}

/** Nothing is fitted to whole answers: they show whether the parts go together. */
function wholeAnswers(profile: LatencyProfile, times: readonly Times[]): Goodness | undefined {
  const whole = times.flatMap((one) => {
    const { totalMs, firstTokenMs, gapsMs, outputTokens, promptTokens = 0, cachedTokens = 0 } = one;
    const ms = totalMs ??
      (firstTokenMs === undefined || gapsMs === undefined
        ? undefined
        : gapsMs.reduce((sum, gap) => sum + gap, firstTokenMs));
    return ms === undefined || outputTokens === undefined || outputTokens < 1
      ? []
      : [{ ms, size: { outputTokens, promptTokens: promptTokens - cachedTokens } }];
  });
  if (whole.length < SPREAD_MIN) return undefined;
  const draw = lucks(4);
  const drawn: number[] = [];
  let tokens = 0;
  for (let at = 0; drawn.length < DRAWN_MIN && tokens < DRAWN_TOKENS_MAX; at++) {
    const { size } = whole[at % whole.length]!;
    drawn.push(drawnAnswer(profile, draw, size).totalMs);
    tokens += size.outputTokens;
  }
  return {
    what: "whole answer",
    unit: "ms",
    noun: "request",
    count: whole.length,
    distance: undefined,
    pValue: undefined,
    ...sideBySide(whole.map(({ ms }) => ms), drawn),
  };
}

/** Shares that are further apart are not those of the same thing, unless the values are near. */
const DISTANCE_MAX = 0.05;
/** Values that are no further apart are the same to whoever waits for them. */
const APART_MAX = 0.05;

/** What a test says, in a sentence. */
export function verdictOf({ what, distance, pValue, count, apart }: Goodness): string {
  if (distance === undefined || pValue === undefined) {
    return what === "whole answer"
      ? "not fitted: what the other numbers come to together"
      : `too few to tell how well it fits: at least ${SPREAD_MIN} are needed, not ${count}`;
  }
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const p = `D = ${distance.toFixed(4)}, p = ${pValue.toFixed(3)}`;
  if (pValue > 0.05) return `fits: not rejected at 5 % (${p})`;
  const level = pValue > 0.01 ? "at 5 %, and not at 1 %" : "at 1 %";
  const roughly = `fits roughly: rejected ${level} (${p}), but`;
  if (distance <= DISTANCE_MAX) return `${roughly} shares are at most ${percent(distance)} apart`;
  if (apart <= APART_MAX) return `${roughly} values are at most ${percent(apart)} apart`;
  return `A BAD FIT: rejected ${level} (${p}); shares are up to ${
    percent(distance)
  } apart, values ` +
    `up to ${percent(apart)}`;
}
