/**
 * What is known of the limits that a request is under: those that the mock plays, in numbers that each
 * dialect has its own words for.
 *
 * @module
 */

/** What is limited. */
export const LIMIT_KINDS = [
  "requests_per_min",
  "requests_per_day",
  "tokens_per_min",
  "tokens_per_day",
  "concurrent_max",
] as const;
export type LimitKind = typeof LIMIT_KINDS[number];

/** How a provider is: in order, or one that answers nothing whatever the limits are. */
export const LIMIT_STATES = ["ok", "quota", "overloaded", "slow_down"] as const;
export type LimitState = typeof LIMIT_STATES[number];

/** Why a request was turned away. */
export type LimitedBy = LimitKind | Exclude<LimitState, "ok">;

/** What is left of one limit. */
export interface Allowance {
  readonly limit: number;
  readonly remaining: number;
  /** Whole milliseconds until all of it is there again. */
  readonly resetMs: number;
}

/** A limit that was reached. */
export interface LimitRefusal {
  readonly by: LimitKind;
  readonly limit: number;
  /** Whole milliseconds until it is worth to try again; undefined = nobody knows, Infinity = never. */
  readonly waitMs: number | undefined;
}

/** What the head of an answer tells of the limits of its client's key, in the words of its dialect. */
export interface KeyLimits {
  readonly note: LimitNote;
  /** What the names of all such fields begin with: an upstream's are of weir's own key there. */
  readonly prefix: string;
  /** The fields that tell of a note. */
  readonly fieldsOf: (note: LimitNote) => Readonly<Record<string, string>>;
}

/** What is known of the limits of one request, as it was let in or turned away. */
export interface LimitNote {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly requests?: Allowance;
  readonly tokens?: Allowance;
  /** How many of `tokens` were taken for what is not said yet. */
  readonly foretoldTokens: number;
  /** Absent: it was let in. */
  readonly refusal?: LimitRefusal;
}
