/**
 * Whole answers, drawn from a profile as the mock draws them, without anybody waiting for them: what
 * a profile comes to. Load and cache are left out, as they depend on what else is asked.
 *
 * @module
 */

import { seeded } from "../../lib/seeded.ts";
import type { Draw } from "../draws.ts";
import { type Beat, dueOf } from "./beats.ts";
import { Gaps, luckOf } from "./draw.ts";
import type { LatencyProfile } from "./profile.ts";

/** How long a question and its answer are. */
export interface Size {
  /** Tokens of the prompt that no cache has. */
  readonly promptTokens: number;
  readonly outputTokens: number;
}

/** When the parts of an answer come. */
export interface DrawnAnswer {
  readonly firstTokenMs: number;
  /** The request's own speed, without pauses. */
  readonly tokensPerS: number;
  /** Between an event and the one before it. */
  readonly gapsMs: readonly number[];
  readonly totalMs: number;
}

/** The luck of one answer after the other, the same for the same seed. */
export function lucks(seed: number): Draw {
  const next = seeded(seed);
  // Both ends of the range would be endless.
  return { at: () => Math.min(1 - 2 ** -33, Math.max(2 ** -33, next())) };
}

/** Draws one answer. */
export function drawnAnswer(profile: LatencyProfile, draw: Draw, size: Size): DrawnAnswer {
  const { firstTokenMs, tokensPerS } = luckOf(profile, draw, size.promptTokens);
  const beats: Beat[] = [{ kind: "first", stepEnd: 1, tokens: 1 }];
  let left = size.outputTokens - eventTokens(profile, draw);
  while (left > 0) {
    const tokens = Math.min(left, eventTokens(profile, draw));
    beats.push({ kind: "event", stepEnd: beats.length + 1, tokens });
    left -= tokens;
  }
  const gaps = new Gaps(profile, draw, tokensPerS, 1);
  const dueMs = dueOf(beats, beats.length, firstTokenMs, gaps);
  return {
    firstTokenMs,
    tokensPerS,
    gapsMs: Array.from(dueMs.subarray(1), (ms, at) => ms - dueMs[at]!),
    totalMs: dueMs.at(-1)!,
  };
}

/** How many tokens an event has. */
function eventTokens(profile: LatencyProfile, draw: Draw): number {
  const { event_tokens_min: min, event_tokens_max: max } = profile;
  return min === max ? min : min + Math.floor(draw.at("event") * (max - min + 1));
}
