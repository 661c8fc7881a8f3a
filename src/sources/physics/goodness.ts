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
import { ksDistance, quantile, sorted } from "../../lib/sample.ts";
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

/** Times that a profile is fitted to what was drawn from it. */
const REPEATS = 199;
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
      percentiles: sideBySide(firstTokens.map(({ ms }) => ms), model),
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
      percentiles: sideBySide(speeds.map(({ tokensPerS }) => tokensPerS), own),
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
      percentiles: sideBySide(measured, drawn),
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

function sideBySide(data: readonly number[], model: readonly number[]): Goodness["percentiles"] {
  const [measured, drawn] = [sorted(data), sorted(model)];
  // A percentile with less than one value above it is the largest.
  return SHARES.filter((share) => (1 - share) * measured.length >= 0.99).map((share) => ({
    share,
    data: quantile(measured, share),
    model: quantile(drawn, share),
  }));
}

/** How often `repeat` gives a distance of `count` values that is as large as `distance` of `all`. */
function pValueOf(
  distance: number,
  all: number,
  repeat: (draw: Draw) => { readonly distance: number; readonly count: number },
): number {
  const own = distance * Math.sqrt(all);
  let far = 0;
  for (let i = 0; i < REPEATS; i++) {
    const one = repeat(lucks(1000 + i));
    if (one.distance * Math.sqrt(one.count) >= own) far++;
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
  const distance = firstTokenDistance(fit, firstTokens);
  const some = spread(firstTokens, REPEATED_MAX);
  const pValue = pValueOf(distance, firstTokens.length, (draw) => {
    const drawn = some.map(({ tokens }) => ({
      tokens,
      ms: luckOf({ ...UNUSED, ...fit }, draw, tokens).firstTokenMs,
    }));
    return {
      distance: firstTokenDistance(refined(drawn, fit, given), drawn),
      count: drawn.length,
    };
  });
  return { distance, pValue };
}

/** Speeds that nobody looks at. */
const UNUSED = { tokens_per_s: 1, speed_sigma: 0 } as LatencyProfile;

function firstTokenDistance(fit: FirstTokenFit, samples: readonly FirstToken[]): number {
  const { first_token_ms, prompt_token_ms } = fit;
  const shares = samples.map(({ ms, tokens }) =>
    firstTokenCdf(fit, ms / (first_token_ms + prompt_token_ms * tokens))
  );
  return ksDistance(sorted(shares), asIs);
}

/** Shares are even between 0 and 1 when they are those of the right distribution. */
function asIs(share: number): number {
  return share;
}

function speedTest(speeds: readonly Speed[]) {
  const distance = speedDistance(speeds);
  const fit = speedSpread(speeds);
  const some = spread(speeds, REPEATED_MAX);
  const pValue = pValueOf(distance, speeds.length, (draw) => {
    const drawn = some.map(({ variance }) => measuredSpeed(fit, variance, draw));
    return { distance: speedDistance(drawn), count: drawn.length };
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

function speedDistance(speeds: readonly Speed[]): number {
  const { median, sigma } = speedSpread(speeds);
  const shares = speeds.map(({ tokensPerS, variance }) => {
    const deviation = Math.sqrt(sigma * sigma + variance);
    return normalCdf(Math.log(tokensPerS / median) / Math.max(1e-9, deviation));
  });
  return ksDistance(sorted(shares), asIs);
}

function gapTest(
  fit: GapFit,
  profile: LatencyProfile,
  requests: readonly RequestGaps[],
  fillings: readonly Filling[],
) {
  const distance = gapDistance(fit, requests, fillings);
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
      return drawnGaps(own, draw, 1000 / fit.tokenMs[at]!, part, fillings);
    });
    const start = { ...fit, tokenMs: some.map((at) => fit.tokenMs[at]!) };
    const again = refinedGaps(drawn, fillings, start, fit.pause_share > 0);
    return {
      distance: gapDistance(again, drawn, fillings),
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
): number {
  const shares = requests.flatMap(({ gapsMs, tokens }, at) => {
    const likelihood = new RequestLikelihood(fit, fit.tokenMs[at]!, fillings);
    return gapsMs.map((ms, i) => likelihood.of(tokens?.[i]).cdf(ms));
  });
  return ksDistance(sorted(shares), asIs);
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
    percentiles: sideBySide(whole.map(({ ms }) => ms), drawn),
  };
}

/** Shares that are further apart are not those of the same thing. */
const DISTANCE_MAX = 0.05;

/** What a test says, in a sentence. */
export function verdictOf({ what, distance, pValue, count }: Goodness): string {
  if (distance === undefined || pValue === undefined) {
    return what === "whole answer"
      ? "not fitted: what the other numbers come to together"
      : `too few to tell how well it fits: at least ${SPREAD_MIN} are needed, not ${count}`;
  }
  const apart = `shares are up to ${(100 * distance).toFixed(1)} % apart`;
  const p = `D = ${distance.toFixed(4)}, p = ${pValue.toFixed(3)}`;
  if (pValue > 0.05) return `fits: not rejected at 5 % (${p})`;
  const level = pValue > 0.01 ? "at 5 %, and not at 1 %" : "at 1 %";
  return distance > DISTANCE_MAX
    ? `A BAD FIT: rejected ${level} (${p}); ${apart}`
    : `fits roughly: rejected ${level} (${p}), but ${apart.replace("up to", "at most")}`;
}
