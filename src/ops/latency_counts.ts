/**
 * What latency profiles have drawn, and what came of it: counted side by side, so that a mock which does
 * not keep its own times shows it.
 *
 * @module
 */

import type { DrawnFacts, ExchangeFacts } from "../core/facts.ts";
import { Histogram } from "../lib/histogram.ts";

/** What was drawn, and what was delivered of it. */
export const LATENCY_STAGES = ["drawn", "delivered"] as const;

/** One of them. */
export type LatencyStage = (typeof LATENCY_STAGES)[number];

/** The counts. All milliseconds, and tokens per second. */
export class LatencyCounts {
  readonly firstTokenMs: Readonly<Record<LatencyStage, Histogram>> = histograms();
  readonly tokensPerS: Readonly<Record<LatencyStage, Histogram>> = histograms();
  readonly queueMs = new Histogram();
  slow = 0;
  cachedTokens = 0;

  /** An exchange with `drawn` has ended. */
  record(exchange: ExchangeFacts, drawn: DrawnFacts): void {
    this.firstTokenMs.drawn.record(drawn.firstTokenMs);
    this.tokensPerS.drawn.record(drawn.tokensPerS);
    this.queueMs.record(drawn.queueMs);
    if (drawn.isSlow) this.slow++;
    this.cachedTokens += drawn.cachedTokens;
    const { deliveredFirstMs } = drawn;
    if (deliveredFirstMs >= 0) this.firstTokenMs.delivered.record(deliveredFirstMs);
    const speed = deliveredSpeed(exchange, drawn);
    if (speed !== undefined) this.tokensPerS.delivered.record(speed);
  }
}

/**
 * Tokens per second of a stream that has left whole, from its first event to its end: thoughts, pauses
 * and load are in it. undefined = it is no such stream, or all of it was one event.
 */
export function deliveredSpeed(
  { isStream, outcome, durationMs }: Pick<ExchangeFacts, "isStream" | "outcome" | "durationMs">,
  { deliveredFirstMs, laterTokens }: DrawnFacts,
): number | undefined {
  if (!isStream || outcome !== "completed" || deliveredFirstMs < 0) return undefined;
  const lastedMs = durationMs - deliveredFirstMs;
  return laterTokens === 0 || lastedMs <= 0 ? undefined : laterTokens * 1000 / lastedMs;
}

function histograms(): Readonly<Record<LatencyStage, Histogram>> {
  return { drawn: new Histogram(), delivered: new Histogram() };
}
