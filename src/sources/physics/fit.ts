/**
 * A latency profile that fits times of one's own, and how well it does. What the times do not tell is
 * kept from another profile, and said to be.
 *
 * @module
 */

import { LATENCY_NUMBERS, type LatencyKey } from "../../config/latency.ts";
import type { Lognormal } from "../../lib/normal.ts";
import { quantile, sorted } from "../../lib/sample.ts";
import type { Times } from "./times.ts";
import { type FirstToken, type FirstTokenFit, fitFirstToken } from "./fit_first_token.ts";
import { fitGaps, type GapFit, momentsOf, type RequestGaps } from "./fit_gaps.ts";
import type { Filling } from "./likelihood.ts";
import type { LatencyProfile } from "./profile.ts";

/** Fewer requests tell no median. */
export const MEDIAN_MIN = 5;
/** Fewer requests tell no spread. */
export const SPREAD_MIN = 20;
/** Fewer requests do not tell how much a prompt's length matters. */
export const SLOPE_MIN = 30;
/** Of so many requests without a slow one there may yet be 1.5 % (the rule of three). */
export const SLOW_MIN = 200;
/** Fewer gaps tell nothing of gaps. */
export const GAPS_MIN = 100;
/** Of so many gaps without a pause there may yet be 0.6 %. */
export const PAUSES_MIN = 500;
/** More requests and gaps are not looked at: every so manieth is. */
const REQUESTS_MAX = 10_000;
const GAPS_MAX = 30_000;
/** A gap that is shorter than this share of a request's median is none: both came together. */
const TOGETHER_SHARE = 0.05;
/** From fewer slow requests nothing is made. */
const SLOW_COUNT_MIN = 3;
/** Deviations that a slope must be away from 0, of a normal distribution at 5 %. */
const SLOPE_DEVIATIONS = 1.96;

/** Where a number of the profile is from. */
export type Origin =
  /** The times tell it. */
  | "fitted"
  /** The times do not tell it: it is that of the profile which others are kept from. */
  | "kept"
  /** The times do not tell it, and the one that would be kept does not go with them. */
  | "assumed";

/** A number of the profile. */
export interface FittedNumber {
  readonly key: LatencyKey | "load";
  readonly value: number | string;
  readonly origin: Origin;
  /** Of how many what, or why it was not fitted. */
  readonly why: string;
}

/** The speed of a request, as it was measured. */
export interface Speed {
  readonly tokensPerS: number;
  /** How far its logarithm may be off, as it was measured with so few tokens: a variance. */
  readonly variance: number;
}

/** What a fit was made of. */
export interface Samples {
  readonly firstTokens: readonly FirstToken[];
  readonly speeds: readonly Speed[];
  readonly gaps: readonly RequestGaps[];
  readonly fillings: readonly Filling[];
}

/** A fitted profile. */
export interface Fit {
  readonly profile: LatencyProfile;
  /** Every number, in the order in which people read them. */
  readonly numbers: readonly FittedNumber[];
  readonly samples: Samples;
  readonly firstToken: FirstTokenFit | undefined;
  readonly gap: GapFit | undefined;
  /** What is odd in the times: whole sentences. */
  readonly notes: readonly string[];
}

/** Fits `times`; what they do not tell is that of `base`. */
export function fitTimes(times: readonly Times[], base: LatencyProfile): Fit {
  const numbers = new Map<string, FittedNumber>();
  const notes: string[] = [];
  const put = (origin: Origin, why: string, values: Partial<Record<LatencyKey, number>>) => {
    for (const [key, value] of Object.entries(values) as [LatencyKey, number][]) {
      numbers.set(key, { key, value: rounded(key, value), origin, why });
    }
  };
  const keep = (why: string, ...keys: readonly LatencyKey[]) => {
    for (const key of keys) put("kept", why, { [key]: base[key] });
  };
  const said = { put, keep, note: (text: string) => void notes.push(text) };
  const { firstTokens, fit: firstToken } = firstTokenOf(times, base, said);
  const after = afterFirstToken(times, said);
  numbers.set("load", {
    key: "load",
    value: "none",
    origin: "assumed",
    why: "what load did is part of what was measured",
  });
  const order = ["load", ...Object.keys(LATENCY_NUMBERS)] as readonly (LatencyKey | "load")[];
  const all = order.map((key): FittedNumber =>
    numbers.get(key) ?? { key, value: base[key], origin: "kept", why: "times do not tell it" }
  );
  const profile = Object.fromEntries(all.map(({ key, value }) => [key, value]));
  return {
    // Every key of the profile is in the order above.
    profile: profile as unknown as LatencyProfile,
    numbers: all,
    samples: { firstTokens, ...after.samples },
    firstToken,
    gap: after.gap,
    notes,
  };
}

/** Where numbers go. */
interface Said {
  put(origin: Origin, why: string, values: Partial<Record<LatencyKey, number>>): void;
  keep(why: string, ...keys: readonly LatencyKey[]): void;
  note(text: string): void;
}

/** Four digits, within the number's range. */
function rounded(key: LatencyKey, value: number): number {
  const { min, max, isWhole } = LATENCY_NUMBERS[key];
  const digits = isWhole ? Math.round(value) : Number(value.toPrecision(4));
  return Math.min(max, Math.max(min, digits));
}

/** Every so manieth, so that there are at most `countMax`. */
function thinned<T>(all: readonly T[], countMax: number): readonly T[] {
  const step = Math.ceil(all.length / countMax);
  return step <= 1 ? all : all.filter((_, at) => at % step === 0);
}

function firstTokenOf(
  times: readonly Times[],
  base: LatencyProfile,
  { put, keep, note }: Said,
): { readonly firstTokens: readonly FirstToken[]; readonly fit: FirstTokenFit | undefined } {
  const measured = times.filter(({ firstTokenMs }) => firstTokenMs !== undefined);
  const sized = measured.filter(({ promptTokens }) => promptTokens !== undefined);
  const hasSizes = sized.length > 0.9 * measured.length;
  const firstTokens = thinned(hasSizes ? sized : measured, REQUESTS_MAX).map((one) => ({
    ms: one.firstTokenMs!,
    tokens: hasSizes ? one.promptTokens! - (one.cachedTokens ?? 0) : 0,
  }));
  const count = firstTokens.length;
  const told = counted(count, "first token");
  if (count < MEDIAN_MIN) {
    const why = `${told}: at least ${MEDIAN_MIN} are needed`;
    keep(why, "first_token_ms", "prompt_token_ms", "first_token_sigma");
    keep(why, "slow_share", "slow_factor_min", "slow_factor_max");
    return { firstTokens: [], fit: undefined };
  }
  const tokens = sorted(firstTokens.map(({ tokens }) => tokens));
  const [few, many] = [quantile(tokens, 0.1), quantile(tokens, 0.9)];
  const isSpread = count >= SLOPE_MIN && many >= 1.5 * few && many - few >= 20;
  const medianMs = quantile(sorted(firstTokens.map(({ ms }) => ms)), 0.5);
  const isHeavy = base.prompt_token_ms * quantile(tokens, 0.5) > medianMs / 2;
  const hasSlowMode = count >= SPREAD_MIN;
  let promptTokenMs: number | undefined;
  if (!hasSizes) {
    promptTokenMs = 0;
    put("assumed", "the times say nothing of prompts: first_token_ms is that of theirs", {
      prompt_token_ms: 0,
    });
  } else if (!isSpread) {
    promptTokenMs = isHeavy ? 0 : base.prompt_token_ms;
    const why = count < SLOPE_MIN
      ? `${told}: at least ${SLOPE_MIN} are needed`
      : `nearly all prompts have ${few} to ${many} tokens: that is too even`;
    put(isHeavy ? "assumed" : "kept", why, { prompt_token_ms: promptTokenMs });
  }
  let fit = fitFirstToken(firstTokens, { promptTokenMs, hasSlowMode });
  if (promptTokenMs === undefined) {
    const { prompt_token_ms, promptTokenError: error } = fit;
    if (prompt_token_ms < SLOPE_DEVIATIONS * error) {
      const most = (prompt_token_ms + SLOPE_DEVIATIONS * error).toPrecision(2);
      fit = fitFirstToken(firstTokens, { promptTokenMs: 0, hasSlowMode });
      put("fitted", `${told}: it cannot be told from 0, and is at most ${most}`, {
        prompt_token_ms: 0,
      });
    } else {
      const range = (SLOPE_DEVIATIONS * error).toPrecision(2);
      put("fitted", `${told}, ± ${range}`, { prompt_token_ms });
    }
  }
  put("fitted", told, { first_token_ms: fit.first_token_ms });
  if (count < SPREAD_MIN) {
    keep(`${told}: at least ${SPREAD_MIN} are needed`, "first_token_sigma");
    fit = { ...fit, first_token_sigma: base.first_token_sigma };
  } else put("fitted", told, { first_token_sigma: fit.first_token_sigma });
  const { slow_share, slow_factor_min, slow_factor_max } = fit;
  const slow = Math.round(slow_share * count);
  if (slow >= SLOW_COUNT_MIN) {
    put("fitted", `${told}, some ${slow} of them slow`, {
      slow_share,
      slow_factor_min,
      slow_factor_max,
    });
    if (slow < 30) note(`The slow mode is that of some ${slow} requests, and may be far off.`);
  } else if (slow > 0) {
    keep(
      `${told}, ${slow} of them slow: at least ${SLOW_COUNT_MIN} are needed`,
      "slow_share",
      "slow_factor_min",
      "slow_factor_max",
    );
  } else if (count >= SLOW_MIN) {
    put("fitted", `${told}, none of which stands out`, {
      slow_share: 0,
      slow_factor_min: 1,
      slow_factor_max: 1,
    });
  } else {
    keep(
      `${told}, none of which stands out: at least ${SLOW_MIN} are needed to say that there are none`,
      "slow_share",
      "slow_factor_min",
      "slow_factor_max",
    );
  }
  return { firstTokens, fit };
}

/** What follows the first token. */
function afterFirstToken(times: readonly Times[], said: Said) {
  const { put, keep, note } = said;
  const listed = times.filter(({ gapsMs = [] }) => gapsMs.length > 0).map(together);
  const mergedCount = listed.reduce((sum, { merged }) => sum + merged, 0);
  const gapCount = listed.reduce((sum, { gapsMs }) => sum + gapsMs.length, 0);
  if (mergedCount > 0.01 * (gapCount + mergedCount)) {
    note(
      `${mergedCount} of ${
        gapCount + mergedCount
      } events came together with the one before them, ` +
        "and count as one with it.",
    );
  }
  const roles = listed.filter(({ gapsMs }) => gapsMs.length >= 4).map(({ gapsMs }) =>
    gapsMs[0]! / quantile(sorted(gapsMs.slice(1)), 0.5)
  );
  if (roles.length >= MEDIAN_MIN && quantile(sorted(roles), 0.5) > 4) {
    note(
      "The first gap of most answers is more than four times as long as the others: what counts as " +
        "their first token may be an empty chunk with the role; --role-first takes the next one.",
    );
  }
  // As many whole requests as there is room for.
  const used = thinned(
    listed,
    Math.max(1, Math.floor(GAPS_MAX * listed.length / Math.max(1, gapCount))),
  );
  const fillings = eventsOf(listed, said);
  const told = counted(gapCount, "gap");
  const hasGaps = gapCount >= GAPS_MIN;
  const gap = hasGaps ? fitGaps(used, fillings) : undefined;
  if (gap === undefined) {
    keep(
      gapCount === 0 ? "there are no single gaps" : `${told}: at least ${GAPS_MIN} are needed`,
      "gap_cv",
    );
    put("assumed", "they are part of the speed", NO_PAUSES);
  } else {
    put("fitted", told, { gap_cv: gap.gap_cv });
    const { pause_share, pause_min_ms, pause_max_ms } = gap;
    const pauses = Math.round(pause_share * gapCount);
    if (pauses > 0) {
      put("fitted", `${told}, some ${pauses} of them pauses`, {
        pause_share,
        pause_min_ms,
        pause_max_ms,
      });
    } else if (gapCount >= PAUSES_MIN) put("fitted", `${told}, none of them a pause`, NO_PAUSES);
    else {
      keep(
        `${told}, none of them a pause: at least ${PAUSES_MIN} are needed to say that there are none`,
        "pause_share",
        "pause_min_ms",
        "pause_max_ms",
      );
    }
  }
  const speeds = [
    ...used.map((one, at) => speedOf(one, at, gap, fillings)),
    ...thinned(times.filter(({ gapsMs = [] }) => gapsMs.length === 0), REQUESTS_MAX).map(
      meanSpeedOf,
    ),
  ].filter((speed) => speed !== undefined);
  fitSpeeds(speeds, said);
  return { gap, samples: { speeds, gaps: hasGaps ? used : [], fillings } };
}

const NO_PAUSES = { pause_share: 0, pause_min_ms: 0, pause_max_ms: 0 } as const;

/** Gaps of which none is next to nothing. */
interface Together extends RequestGaps {
  readonly outputTokens: number | undefined;
  readonly merged: number;
}

/** Events that came together with the one before them are one with it. */
function together({ gapsMs = [], gapTokens, outputTokens }: Times): Together {
  const least = TOGETHER_SHARE * quantile(sorted(gapsMs.filter((ms) => ms > 0)), 0.5);
  const gaps: number[] = [];
  const tokens: number[] = [];
  let merged = 0;
  for (const [i, ms] of gapsMs.entries()) {
    const isOwn = ms >= least && ms > 0;
    if (isOwn) {
      gaps.push(ms);
      tokens.push(gapTokens?.[i] ?? 0);
      continue;
    }
    merged++;
    if (gaps.length === 0) continue; // with the first event
    gaps[gaps.length - 1]! += ms;
    tokens[tokens.length - 1]! += gapTokens?.[i] ?? 0;
  }
  return {
    gapsMs: gaps,
    outputTokens,
    merged,
    tokens: gapTokens === undefined ? undefined : tokens,
  };
}

/** How events are filled, as far as the times tell. */
function eventsOf(listed: readonly Together[], { put, keep, note }: Said): readonly Filling[] {
  const known = listed.flatMap(({ tokens = [] }) => tokens);
  if (known.length >= GAPS_MIN) {
    const ascending = sorted(known);
    const min = Math.max(1, Math.round(quantile(ascending, 0.02)));
    const max = Math.max(min, Math.min(64, Math.round(quantile(ascending, 0.98))));
    put("fitted", counted(known.length, "event"), { event_tokens_min: min, event_tokens_max: max });
    const mean = known.reduce((sum, tokens) => sum + tokens, 0) / known.length;
    noteMean(mean, (min + max) / 2, `${min} to ${max}`, note);
    return evenly(min, max);
  }
  const sized = listed.filter(({ outputTokens = 0 }) => outputTokens > 0);
  const events = sized.reduce((sum, { gapsMs }) => sum + gapsMs.length + 1, 0);
  if (events < GAPS_MIN) {
    if (listed.length === 0) {
      keep("there are no single gaps", "event_tokens_min", "event_tokens_max");
    } else {
      put("assumed", "the times do not say how many tokens there were", {
        event_tokens_min: 1,
        event_tokens_max: 1,
      });
    }
    return evenly(1, 1);
  }
  const tokens = sized.reduce((sum, { outputTokens = 0 }) => sum + outputTokens, 0);
  const mean = Math.min(32, tokens / events);
  const told = `${counted(events, "event")} with ${mean.toPrecision(3)} tokens on average`;
  if (mean <= 1.1) {
    put("fitted", told, { event_tokens_min: 1, event_tokens_max: 1 });
    return evenly(1, 1);
  }
  const max = Math.max(2, Math.round(2 * mean - 1));
  put("fitted", `${told}: how they are spread is not known`, {
    event_tokens_min: 1,
    event_tokens_max: max,
  });
  noteMean(mean, (1 + max) / 2, `1 to ${max}`, note);
  // Two even ways with whole numbers, mixed so that their mean is the one that was measured.
  const low = Math.floor(2 * mean - 1);
  const share = 2 * mean - 1 - low;
  return [
    ...evenly(1, low).map((one) => ({ ...one, share: one.share * (1 - share) })),
    ...evenly(1, low + 1).map((one) => ({ ...one, share: one.share * share })),
  ]
    .filter((one) => one.share > 0);
}

function noteMean(mean: number, own: number, range: string, note: Said["note"]): void {
  if (Math.abs(own / mean - 1) <= 0.1) return;
  note(
    `Events have ${mean.toPrecision(3)} tokens on average, and those of the profile, ${range}, ` +
      `${own}: its gaps between events are longer or shorter by as much.`,
  );
}

function evenly(min: number, max: number): readonly Filling[] {
  const count = max - min + 1;
  return Array.from({ length: count }, (_, at) => ({ tokens: min + at, share: 1 / count }));
}

/** The speed of a request with single gaps, without pauses where they are known. */
function speedOf(
  { gapsMs, tokens }: RequestGaps,
  at: number,
  gap: GapFit | undefined,
  fillings: readonly Filling[],
): Speed | undefined {
  if (gapsMs.length === 0) return undefined;
  const { mean, variance } = momentsOf(fillings);
  const count = tokens?.reduce((sum, one) => sum + one, 0) ?? mean * gapsMs.length;
  const ms = gap?.tokenMs[at] ?? gapsMs.reduce((sum, one) => sum + one, 0) / count;
  const unknown = tokens === undefined ? variance / (mean * mean) / gapsMs.length : 0;
  return { tokensPerS: 1000 / ms, variance: (gap?.gap_cv ?? 0) ** 2 / count + unknown };
}

/** Where there are no single gaps. */
function meanSpeedOf({ tokenMs, totalMs, firstTokenMs, outputTokens }: Times): Speed | undefined {
  const isTold = tokenMs !== undefined && tokenMs > 0 && outputTokens !== 1;
  if (isTold) return { tokensPerS: 1000 / tokenMs, variance: 0 };
  if (totalMs === undefined || firstTokenMs === undefined || outputTokens === undefined) {
    return undefined;
  }
  return outputTokens > 1 && totalMs > firstTokenMs
    ? { tokensPerS: 1000 * (outputTokens - 1) / (totalMs - firstTokenMs), variance: 0 }
    : undefined;
}

/** The lognormal distribution of speeds. */
function fitSpeeds(speeds: readonly Speed[], { put, keep }: Said): void {
  const told = counted(speeds.length, "request");
  if (speeds.length < MEDIAN_MIN) {
    keep(`${told} with a speed: at least ${MEDIAN_MIN} are needed`, "tokens_per_s", "speed_sigma");
    return;
  }
  const { median, sigma } = speedSpread(speeds);
  put("fitted", told, { tokens_per_s: median });
  if (speeds.length < SPREAD_MIN) keep(`${told}: at least ${SPREAD_MIN} are needed`, "speed_sigma");
  else put("fitted", told, { speed_sigma: sigma });
}

/** How speeds are spread, but for what only comes of how they were measured. */
export function speedSpread(speeds: readonly Speed[]): Lognormal {
  const logs = speeds.map(({ tokensPerS }) => Math.log(tokensPerS));
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
  const square = logs.reduce(
    (sum, log, at) => sum + (log - mean) ** 2 - speeds[at]!.variance,
    0,
  );
  const sigma = Math.sqrt(Math.max(0, square) / Math.max(1, logs.length - 1));
  return { median: Math.exp(mean), sigma };
}

/** "1 gap", "20 gaps". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** `times` whose first event has only the role: the first token is the one behind it. */
export function withoutRole(times: readonly Times[]): readonly Times[] {
  return times.map((one) => {
    const { firstTokenMs, gapsMs = [], gapTokens } = one;
    const [gapMs] = gapsMs;
    if (firstTokenMs === undefined || gapMs === undefined) return one;
    return {
      ...one,
      firstTokenMs: firstTokenMs + gapMs,
      gapsMs: gapsMs.slice(1),
      ...(gapTokens === undefined ? {} : { gapTokens: gapTokens.slice(1) }),
    };
  });
}
