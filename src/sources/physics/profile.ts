/**
 * What a latency profile says, as formulas: how likely each number is that is drawn from it.
 *
 *   first token   (first_token_ms + prompt_token_ms · n) · e^(σZ), and of slow_share of the requests
 *                 times an even factor; n = tokens of the prompt that no cache has
 *   speed         tokens_per_s · e^(σZ), one for the whole request
 *   gap           J / speed for each token, J lognormal with mean 1 and deviation gap_cv; before
 *                 pause_share of the events an even pause besides
 *
 * @module
 */

import type { LatencyProfile } from "../../config/latency.ts";

export type { LatencyProfile, LatencyValues } from "../../config/latency.ts";

/** σ of a lognormal factor whose mean is 1 and whose deviation is `cv`; its median is e^(−σ²/2). */
export function sigmaOfCv(cv: number): number {
  return Math.sqrt(Math.log1p(cv * cv));
}

/** Milliseconds to the first token in the median of the usual mode, of so many uncached tokens. */
export function firstTokenMedianMs(
  { first_token_ms, prompt_token_ms }: LatencyProfile,
  uncachedTokens: number,
): number {
  return first_token_ms + prompt_token_ms * uncachedTokens;
}

/** Mean milliseconds between two tokens of a request of the median speed, without pauses. */
export function gapMeanMs({ tokens_per_s }: Pick<LatencyProfile, "tokens_per_s">): number {
  return 1000 / tokens_per_s;
}
