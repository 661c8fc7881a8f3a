/**
 * Keys: who may ask weir, for what, and how much.
 *
 * @module
 */

import { AppError } from "./errors.ts";
import { LIMIT_KINDS, type LimitKind } from "./limits.ts";

/** How keys begin that weir makes: people and scanners know them by it. */
export const KEY_PREFIX = "weir_";

/** For how long a budget lasts, in UTC: until midnight, or until the first of the next month. */
export type BudgetPeriod = "day" | "month";

/** What a key may do. Empty lists and zeros are no limits. JSON carries it. */
export interface KeyRules extends Readonly<Record<LimitKind, number>> {
  /** Patterns of model names, in which `*` stands for any text. */
  readonly models: readonly string[];
  /** Names of routes. */
  readonly routes: readonly string[];
  /** True: it reaches `/__weir/…` and `/metrics`, too. */
  readonly admin: boolean;
  readonly budget_per: BudgetPeriod;
  readonly budget_tokens: number;
  readonly budget_usd: number;
}

/** A key without limits. */
export const FREE: KeyRules = {
  models: [],
  routes: [],
  admin: false,
  requests_per_min: 0,
  requests_per_day: 0,
  tokens_per_min: 0,
  tokens_per_day: 0,
  concurrent_max: 0,
  budget_per: "month",
  budget_tokens: 0,
  budget_usd: 0,
};

/** A key as config and store have it: by the digest of its text. */
export interface KeyFacts {
  /** What logs, usage and limits call it. Several texts may have one name. */
  readonly name: string;
  /** SHA-256, 64 hex digits. */
  readonly digest: string;
  readonly rules: KeyRules;
  /** It opens nothing from then on: milliseconds since 1970; Infinity = never. */
  readonly endsMs: number;
}

/** A key that is in force. */
export interface Key extends KeyFacts {
  /** See `isLimited`. */
  readonly isLimited: boolean;
}

/** A key as the store has it. Milliseconds since 1970. */
export interface StoredKey extends KeyFacts {
  readonly madeMs: number;
  /** True: no other text of this name opens the door any longer than this one. */
  readonly isCurrent: boolean;
}

/** Which keys open a row of the table of URLs. */
export type RowOpens =
  /** Those that have no limits. */
  | "unlimited"
  /** All: weir knows what model is asked there, and what it says. */
  | "all"
  | "admin";

/** What a key lacks for a request that it does not let in. */
export type KeyRefusal = LimitKind | "budget" | "model" | "route" | "path" | "admin";

/** Has the key models, routes, limits or a budget, so that weir must understand what it is used for? */
export function isLimited(rules: KeyRules): boolean {
  const { models, routes, budget_tokens, budget_usd } = rules;
  return models.length > 0 || routes.length > 0 || budget_tokens > 0 || budget_usd > 0 ||
    LIMIT_KINDS.some((kind) => rules[kind] > 0);
}

/**
 * Whose is what is kept for whoever shows `key`, and of whose he sees: "" = of admins and of whoever needs
 * no key, who see all.
 */
export function ownerOf(key: Key | undefined): string {
  return key === undefined || key.rules.admin ? "" : key.name;
}

/** Does `asker`, as `ownerOf` gives him, see what is `owner`'s? */
export function isSeenBy(asker: string, owner: string): boolean {
  return asker === "" || asker === owner;
}

/**
 * Why `key` does not open a row; undefined = it does.
 */
export function keptOut(key: Key, opens: RowOpens): "admin" | "path" | undefined {
  if (opens === "admin") return key.rules.admin ? undefined : "admin";
  return opens === "unlimited" && key.isLimited ? "path" : undefined;
}

/** The error that says so. */
export function keyForbidden(key: Key, lacks: "admin" | "path"): AppError {
  const why = lacks === "admin"
    ? "is no admin key, and this is for those alone"
    : "has models, routes, limits or a budget, and weir does not understand what is asked here: " +
      "it takes a key without them";
  return new AppError("key_forbidden", `The key ${key.name} ${why}`);
}
