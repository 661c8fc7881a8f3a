/**
 * What each request has cost, noted when it ends: for the store, and for the budget of its key.
 *
 * @module
 */

import type { Watch } from "../core/events.ts";
import type { ExchangeFacts } from "../core/facts.ts";
import type { KeyRules } from "../core/keys.ts";
import type { UsageRow } from "../core/store.ts";

/** Where it goes. */
export interface UsageWatchOptions {
  /** Each keeps the row, and never throws. */
  readonly takers: readonly { add(row: UsageRow): void }[];
  readonly uuid: () => string;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
}

/** Notes the requests of keys that have a budget. */
export function usageWatch({ takers, uuid, wallMs }: UsageWatchOptions): Watch {
  return (event) => {
    if (event.kind !== "exchange_ended") return;
    const { exchange } = event;
    if (exchange.key === undefined || !hasBudget(exchange.key.rules)) return;
    const { promptTokens, completionTokens } = exchange;
    if (promptTokens < 0 && completionTokens < 0) return; // it was refused
    const row = rowOf(exchange, uuid(), wallMs());
    for (const taker of takers) taker.add(row);
  };
}

/** Has it a budget, so that what it has used must be known? */
export function hasBudget({ budget_tokens, budget_usd }: KeyRules): boolean {
  return budget_tokens > 0 || budget_usd > 0;
}

function rowOf(exchange: ExchangeFacts, id: string, atMs: number): UsageRow {
  const { tokenName, model, surface, upstream, status, outcome, tokensAreEstimated } = exchange;
  const { promptTokens, completionTokens } = exchange;
  return {
    id,
    atMs,
    key: tokenName,
    model,
    surface,
    upstream: upstream?.host ?? "",
    status,
    outcome: outcome!,
    promptTokens: known(promptTokens),
    cachedTokens: null,
    completionTokens: known(completionTokens),
    reasoningTokens: null,
    isEstimated: tokensAreEstimated || promptTokens < 0 || completionTokens < 0,
    costNanos: null,
  };
}

function known(count: number): number | null {
  return count < 0 ? null : count;
}
