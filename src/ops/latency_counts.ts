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
    // What nobody sees of it is no part of what can be delivered.
    this.firstTokenMs.drawn.record(drawn.firstTokenMs + drawn.hiddenMs);
    this.tokensPerS.drawn.record(drawn.tokensPerS);
    this.queueMs.record(drawn.queueMs);
    if (drawn.isSlow) this.slow++;
    this.cachedTokens += drawn.cachedTokens;
    const { firstTokenMs, tokensPerS } = deliveredOf(exchange, drawn);
    if (firstTokenMs !== undefined) this.firstTokenMs.delivered.record(firstTokenMs);
    if (tokensPerS !== undefined) this.tokensPerS.delivered.record(tokensPerS);
  }
}

/**
 * What was delivered of an answer: when its first event left, and the tokens per second of a stream that has
 * left whole, from its first event to its end, with pauses and load in it. undefined = it is no such stream,
 * or all of it was one event; or a fault on purpose was planned for it, which has times of its own.
 */
export function deliveredOf(
  { isStream, outcome, durationMs, faultsMet }: Pick<
    ExchangeFacts,
    "isStream" | "outcome" | "durationMs" | "faultsMet"
  >,
  { deliveredFirstMs, laterTokens }: DrawnFacts,
): { readonly firstTokenMs: number | undefined; readonly tokensPerS: number | undefined } {
  if (deliveredFirstMs < 0 || faultsMet !== undefined) {
    return { firstTokenMs: undefined, tokensPerS: undefined };
  }
  const lastedMs = durationMs - deliveredFirstMs;
  const isWhole = isStream && outcome === "completed" && laterTokens > 0 && lastedMs > 0;
  return {
    firstTokenMs: deliveredFirstMs,
    tokensPerS: isWhole ? laterTokens * 1000 / lastedMs : undefined,
  };
}

function histograms(): Readonly<Record<LatencyStage, Histogram>> {
  return { drawn: new Histogram(), delivered: new Histogram() };
}
