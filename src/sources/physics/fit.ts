/**
 * A latency profile that fits times of one's own, and how well it does. What the times do not tell is
 * kept from another profile, and said to be.
 *
 * @module
 */

import { LATENCY_NUMBERS, type LatencyKey } from "../../config/latency.ts";
import { quantile, sorted } from "../../lib/sample.ts";
import type { Times } from "./times.ts";
import { type FirstToken, type FirstTokenFit, fitFirstToken } from "./fit_first_token.ts";
import type { GapFit, RequestGaps } from "./fit_gaps.ts";
import {
  counted,
  type FittedNumber,
  MEDIAN_MIN,
  type Origin,
  REQUESTS_MAX,
  type Said,
  SPREAD_MIN,
  thinned,
} from "./fit_numbers.ts";
import { afterFirstToken, type Speed } from "./fit_stream.ts";
import type { Filling } from "./likelihood.ts";
import type { LatencyProfile } from "./profile.ts";

/** Fewer requests do not tell how much a prompt's length matters. */
const SLOPE_MIN = 30;
/** Of so many requests without a slow one there may yet be 1.5 % (the rule of three). */
const SLOW_MIN = 200;
/** From fewer slow requests nothing is made. */
const SLOW_COUNT_MIN = 3;
/** Deviations that a slope must be away from 0, of a normal distribution at 5 %. */
const SLOPE_DEVIATIONS = 1.96;

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

/** Four digits, within the number's range. */
function rounded(key: LatencyKey, value: number): number {
  const { min, max, isWhole } = LATENCY_NUMBERS[key];
  const digits = isWhole ? Math.round(value) : Number(value.toPrecision(4));
  return Math.min(max, Math.max(min, digits));
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
