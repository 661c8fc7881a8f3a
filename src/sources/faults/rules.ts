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
import { globOf } from "../glob.ts";
import { MODEL_CHARS_MAX } from "../route.ts";

/** A longer value is matched by no pattern, which may take the cube of its length. */
const VALUE_CHARS_MAX = 1024;

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
    const { model, path, key, header, source } = match;
    const tests: ((asked: Asked, call: Call) => boolean)[] = [];
    const test = (
      pattern: string,
      charsMax: number,
      value: (asked: Asked, call: Call) => string,
    ) => {
      const glob = globOf(pattern);
      tests.push((asked, call) => {
        const text = value(asked, call);
        return text.length <= charsMax && glob.test(text);
      });
    };
    if (key !== undefined) test(key, VALUE_CHARS_MAX, (_, { tokenName }) => tokenName);
    if (path !== undefined) test(path, VALUE_CHARS_MAX, (_, call) => pathOf(call));
    for (const [name, pattern] of Object.entries(header ?? {})) {
      tests.push((_, { request }) => request?.head.fields.has(name) === true);
      test(pattern, VALUE_CHARS_MAX, (_, { request }) => request?.head.fields.get(name) ?? "");
    }
    if (model !== undefined) test(model, MODEL_CHARS_MAX, (asked) => asked.model());
    if (source !== undefined) tests.push((asked) => asked.source() === source);
    return {
      faults: parseFaults(fault),
      rate,
      matches: (asked, call) => tests.every((holds) => holds(asked, call)),
    };
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

function pathOf({ request }: Call): string {
  return request?.head.target.split("?", 1)[0] ?? "";
}
