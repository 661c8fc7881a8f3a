/**
 * What each answer has cost, noted when it has ended: for the store, and for the budget of its key.
 *
 * @module
 */

import type { Call } from "../core/exchange.ts";
import type { CallFacts, ExchangeFacts } from "../core/facts.ts";
import type { KeyRules } from "../core/keys.ts";
import type { UsageRow } from "../core/store.ts";

/** Where it goes. */
export interface UsageNotesOptions {
  /** Each keeps the row, and never throws. */
  readonly takers: readonly { add(row: UsageRow): void }[];
  /** True: of every answer that is counted; false: of those to keys that have a budget. */
  readonly keepsAll: boolean;
  readonly uuid: () => string;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
}

/** Notes an answer that was counted. */
export function usageNotes(
  { takers, keepsAll, uuid, wallMs }: UsageNotesOptions,
): (call: Call) => void {
  return (call) => {
    const isOfBudget = call.key !== undefined && hasBudget(call.key.rules);
    if (!keepsAll && !isOfBudget) return;
    const row = rowOf(call, uuid(), wallMs());
    for (const taker of takers) taker.add(row);
  };
}

/** Has it a budget, so that what it has used must be known? */
export function hasBudget({ budget_tokens, budget_usd }: KeyRules): boolean {
  return budget_tokens > 0 || budget_usd > 0;
}

/** A job has no outcome of its own. */
type Counted = Pick<
  ExchangeFacts,
  | keyof CallFacts
  | "upstream"
  | "status"
  | "outcome"
  | "promptTokens"
  | "cachedTokens"
  | "completionTokens"
  | "reasoningTokens"
  | "tokensAreEstimated"
  | "costNanos"
>;

function rowOf(call: Counted, id: string, atMs: number): UsageRow {
  const { promptTokens, completionTokens } = call;
  return {
    id,
    atMs,
    key: call.tokenName,
    model: call.model,
    surface: call.surface,
    upstream: call.upstream?.host ?? "",
    status: call.status,
    outcome: call.outcome ?? "completed",
    promptTokens: known(promptTokens),
    cachedTokens: known(call.cachedTokens),
    completionTokens: known(completionTokens),
    reasoningTokens: known(call.reasoningTokens),
    isEstimated: call.tokensAreEstimated || promptTokens < 0 || completionTokens < 0,
    costNanos: known(call.costNanos),
  };
}

function known(count: number): number | null {
  return count < 0 ? null : count;
}
