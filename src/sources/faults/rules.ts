/**
 * Which requests the rules of the config strike, and how often.
 *
 * @module
 */

import type { FaultRuleEntry } from "../../config/config.ts";
import { parseFaults } from "../../config/faults.ts";
import type { Call } from "../../core/exchange.ts";
import type { PlannedFault } from "../../core/fault_plan.ts";
import type { Draw } from "../draws.ts";
import { boundedGlob, callMatcher } from "../request_match.ts";
import { MODEL_CHARS_MAX } from "../route.ts";

/** What a rule looks at of a request besides the call. */
export interface Asked {
  /** The model, or the default one. */
  readonly model: () => string;
  /** The name of the source that would answer, fixtures aside: "mock", "llm". */
  readonly source: () => string;
}

/** One rule, ready to be held against requests. */
export interface Rule {
  readonly faults: readonly PlannedFault[];
  readonly rate: number;
  matches(asked: Asked, call: Call): boolean;
}

/** The rules of the config. */
export function rulesOf(entries: readonly FaultRuleEntry[]): readonly Rule[] {
  return entries.map(({ match, rate, fault }) => {
    const { model, source } = match;
    const fits = callMatcher(match);
    const glob = model === undefined ? undefined : boundedGlob(model, MODEL_CHARS_MAX);
    const matches = (asked: Asked, call: Call) =>
      fits(call) && (glob === undefined || glob(asked.model())) &&
      (source === undefined || asked.source() === source);
    // It is about many requests, and not all of their answers can have it.
    const faults = parseFaults(fault).map((one) => ({ ...one, mayMiss: true as const }));
    return { faults, rate, matches };
  });
}

/** The faults of the rules that strike, and which rules these are: "0 2". */
export function strikesOf(
  rules: readonly Rule[],
  asked: Asked,
  call: Call,
  draw: () => Draw,
): { readonly faults: readonly PlannedFault[]; readonly label: string } {
  const hit = rules.flatMap((rule, at) => {
    const { rate } = rule;
    if (rate === 0 || !rule.matches(asked, call)) return [];
    return rate === 1 || draw().at("fault", at) < rate ? [{ rule, at }] : [];
  });
  return {
    faults: hit.flatMap(({ rule }) => rule.faults),
    label: `rule ${hit.map(({ at }) => at).join(" ")}`,
  };
}
