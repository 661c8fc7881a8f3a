/**
 * What is drawn for one request: when its first token comes, how fast it is, and each gap and pause.
 * The formulas are those of `profile.ts`.
 *
 * @module
 */

import { normalQuantile } from "../../lib/normal.ts";
import type { Draw } from "../draws.ts";
import { firstTokenMedianMs, gapMeanMs, type LatencyProfile, sigmaOfCv } from "./profile.ts";

/** What holds for the whole request. */
export interface Luck {
  /** Milliseconds to the first token, before load. */
  readonly firstTokenMs: number;
  /** Before load and pauses. */
  readonly tokensPerS: number;
  readonly isSlow: boolean;
}

/** Draws the luck of a request with so many tokens that no cache has. */
export function luckOf(profile: LatencyProfile, draw: Draw, uncachedTokens: number): Luck {
  const { first_token_sigma, slow_share, slow_factor_min, slow_factor_max } = profile;
  const isSlow = slow_share > 0 && draw.at("slow") < slow_share;
  const slowness = isSlow ? evenly(draw.at("slow factor"), slow_factor_min, slow_factor_max) : 1;
  return {
    firstTokenMs: firstTokenMedianMs(profile, uncachedTokens) * slowness *
      lognormal(draw, "first token", first_token_sigma),
    tokensPerS: profile.tokens_per_s * lognormal(draw, "speed", profile.speed_sigma),
    isSlow,
  };
}

/** The gaps of one request, one after the other. */
export class Gaps {
  readonly #profile: LatencyProfile;
  readonly #draw: Draw;
  /** Milliseconds between two tokens on average. */
  readonly meanMs: number;
  readonly #sigma: number;
  #token = 0;
  #event = 0;

  /** At a speed of `tokensPerS`, `loadFactor` times as slow. */
  constructor(profile: LatencyProfile, draw: Draw, tokensPerS: number, loadFactor: number) {
    this.#profile = profile;
    this.#draw = draw;
    this.meanMs = gapMeanMs({ tokens_per_s: tokensPerS }) * loadFactor;
    this.#sigma = sigmaOfCv(profile.gap_cv);
  }

  /** Milliseconds before the next token. */
  token(): number {
    const sigma = this.#sigma;
    if (sigma === 0) return this.meanMs;
    const z = normalQuantile(this.#draw.at("gap", this.#token++));
    return this.meanMs * Math.exp(sigma * z - sigma * sigma / 2);
  }

  /** Milliseconds of the pause before the next event; 0 = there is none. */
  pause(): number {
    const { pause_share, pause_min_ms, pause_max_ms } = this.#profile;
    if (pause_share === 0) return 0;
    const event = this.#event++;
    if (this.#draw.at("pause", event) >= pause_share) return 0;
    return evenly(this.#draw.at("pause length", event), pause_min_ms, pause_max_ms);
  }

  /** Milliseconds of `count` tokens that nobody sees: as many gaps make a normal sum. */
  thought(count: number): number {
    if (count === 0) return 0;
    const spread = this.#profile.gap_cv / Math.sqrt(count);
    const z = spread === 0 ? 0 : normalQuantile(this.#draw.at("thought"));
    return count * this.meanMs * Math.max(0, 1 + spread * z);
  }
}

function lognormal(draw: Draw, purpose: string, sigma: number): number {
  return sigma === 0 ? 1 : Math.exp(sigma * normalQuantile(draw.at(purpose)));
}

function evenly(share: number, min: number, max: number): number {
  return min + share * (max - min);
}
