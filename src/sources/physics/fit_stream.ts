/**
 * Fits what follows the first token: how events are filled, gaps and pauses, and speeds.
 *
 * @module
 */

import type { Lognormal } from "../../lib/normal.ts";
import { quantile, sorted } from "../../lib/sample.ts";
import { fitGaps, type GapFit, momentsOf, type RequestGaps } from "./fit_gaps.ts";
import {
  counted,
  MEDIAN_MIN,
  REQUESTS_MAX,
  type Said,
  SPREAD_MIN,
  thinned,
} from "./fit_numbers.ts";
import type { Filling } from "./likelihood.ts";
import type { Times } from "./times.ts";

/** Fewer gaps tell nothing of gaps. */
const GAPS_MIN = 100;
/** Of so many gaps without a pause there may yet be 0.6 %. */
const PAUSES_MIN = 500;
/** More gaps are not looked at: those of every n-th request are. */
const GAPS_MAX = 30_000;
/** A gap that is shorter than this share of a request's median is none: both came together. */
const TOGETHER_SHARE = 0.05;

/** The speed of a request, as it was measured. */
export interface Speed {
  readonly tokensPerS: number;
  /** How far its logarithm may be off, as it was measured with so few tokens: a variance. */
  readonly variance: number;
}

/** What follows the first token. */
export function afterFirstToken(times: readonly Times[], said: Said) {
  const { put, keep, note } = said;
  const listed = times.filter(({ gapsMs = [] }) => gapsMs.length > 0).map(together);
  const mergedCount = listed.reduce((sum, { merged }) => sum + merged, 0);
  const gapCount = listed.reduce((sum, { gapsMs }) => sum + gapsMs.length, 0);
  if (mergedCount > 0.01 * (gapCount + mergedCount)) {
    note(
      `${mergedCount} of ${mergedCount + gapCount} events came together with the one before ` +
        "them, and count as one with it.",
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

/** Events that came together with the one before them are one with it; those without tokens are none. */
function together({ gapsMs = [], gapTokens, outputTokens }: Times): Together {
  const least = TOGETHER_SHARE * quantile(sorted(gapsMs.filter((ms) => ms > 0)), 0.5);
  const gaps: number[] = [];
  const tokens: number[] = [];
  let merged = 0;
  let silentMs = 0;
  for (const [i, ms] of gapsMs.entries()) {
    const count = gapTokens?.[i] ?? 1;
    if (count === 0) silentMs += ms;
    else if (silentMs + ms > 0 && silentMs + ms >= least) {
      gaps.push(silentMs + ms);
      tokens.push(count);
      silentMs = 0;
    } else {
      merged++;
      if (gaps.length === 0) continue; // with the first event
      gaps[gaps.length - 1]! += ms;
      tokens[tokens.length - 1]! += count;
    }
  }
  const known = gapTokens === undefined ? undefined : tokens;
  return { gapsMs: gaps, outputTokens, merged, tokens: known };
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
