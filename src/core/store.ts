/**
 * What outlives weir besides the memory: keys, and what they were used for.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Outcome } from "./facts.ts";
import type { StoredKey } from "./keys.ts";

/** What one request cost. Tokens and money are whole numbers; null = nobody knows. */
export interface UsageRow {
  /** Nobody else's: a row that is added twice is there once. */
  readonly id: string;
  /** When the answer ended: milliseconds since 1970. */
  readonly atMs: number;
  /** The name of the key; "" = none was shown. */
  readonly key: string;
  readonly model: string;
  /** The URL's name in logs and metrics: "v1_chat_completions". */
  readonly surface: string;
  /** The upstream that answered; "" = weir itself. */
  readonly upstream: string;
  readonly status: number;
  readonly outcome: Outcome;
  readonly promptTokens: number | null;
  /** Those of `promptTokens` that came out of a cache. */
  readonly cachedTokens: number | null;
  readonly completionTokens: number | null;
  /** Those of `completionTokens` that were spent on reasoning. */
  readonly reasoningTokens: number | null;
  /** True: weir has counted them itself, or some are missing. */
  readonly isEstimated: boolean;
  /** In billionths of a US dollar. */
  readonly costNanos: number | null;
}

/** What a key has used of a day and of a month, both in UTC. */
export interface Spent {
  readonly key: string;
  readonly dayTokens: number;
  readonly dayNanos: number;
  readonly monthTokens: number;
  readonly monthNanos: number;
}

/** What usage is added up by. */
export const USAGE_BY = ["day", "key", "model"] as const;
export type UsageBy = typeof USAGE_BY[number];

/** Which usage is added up. Days as in `dayOf`. */
export interface UsageQuery {
  readonly by: readonly UsageBy[];
  readonly sinceDay: number;
  /** The last one of them. */
  readonly untilDay: number;
  /** undefined = of all keys. */
  readonly key: string | undefined;
}

/** Usage of one day, key or model, as far as it is told apart by it; of what is not known nothing is in it. */
export interface UsageSum {
  readonly day: number | undefined;
  readonly key: string | undefined;
  readonly model: string | undefined;
  readonly requests: number;
  /** How many of them weir has counted itself. */
  readonly estimated: number;
  /** How many tell not all of their tokens. */
  readonly unknownTokens: number;
  /** Of how many nobody knows what they cost. */
  readonly unknownCosts: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly reasoningTokens: number;
  readonly costNanos: number;
}

/** A change of keys, whole or not at all. */
export type KeyChange =
  /** There is none of that name, or all have ended. */
  | { readonly kind: "add"; readonly key: StoredKey }
  /** `key` takes the place of the current one of its name, which ends at `endsMs`. */
  | { readonly kind: "rotate"; readonly key: StoredKey; readonly endsMs: number }
  /** All keys of this name end at `endsMs`. */
  | { readonly kind: "revoke"; readonly name: string; readonly endsMs: number };

/** What clients have had kept, and ask for again. */
export type ObjectKind = "response" | "completion" | "conversation";

/** One of them. */
export interface StoredObject {
  readonly kind: ObjectKind;
  /** `OBJECT_ID_CHARS_MAX` at most. */
  readonly id: string;
  /** Milliseconds since 1970: lists are in this order, and the oldest go first. */
  readonly atMs: number;
  /** From then on lists have it. */
  readonly doneMs: number;
  readonly model: string;
  /** What it is found by: texts of `markOf`, each in quotes. */
  readonly marks: string;
  /** What it is, for whoever has put it there. */
  readonly data: string;
}

/** Longer ids are not kept: an index of Postgres takes no more than some kilobytes. */
export const OBJECT_ID_CHARS_MAX = 256;

/** An object, and the change that it is at. */
export interface FoundObject {
  readonly object: StoredObject;
  readonly version: number;
}

/** Which objects are listed. */
export interface ObjectQuery {
  readonly kind: ObjectKind;
  /** undefined = of any. */
  readonly model: string | undefined;
  /** Those with all of these marks, or with any of them; none = all objects. */
  readonly marks: readonly string[];
  readonly needs: "all" | "any";
  /** Those that were done then. */
  readonly nowMs: number;
  /** Behind this one, whether or not it is one of them; undefined = from the beginning. */
  readonly after: Pick<StoredObject, "id" | "atMs"> | undefined;
  readonly isAscending: boolean;
  readonly limit: number;
}

/** Up to which age and size something is kept. */
export interface ObjectLimits {
  /** What is older goes. */
  readonly sinceMs: number;
  /** Of all objects together, in bytes of `data` (UTF-8): the oldest go. */
  readonly bytesMax: number;
}

/** What an answer may be at once, or later. */
export type Soon<Value> = Value | Promise<Value>;

/**
 * A store, which several processes share. Opened and brought up to date on first use; what only reads
 * makes no tables. Every method throws an `AppError` `store_failed` when the store cannot be asked.
 */
export interface Store {
  readonly name: "sqlite" | "postgres";
  /** Another one than before = the keys have changed. */
  keysVersion(): Soon<number>;
  /** Every key, those that have ended too, in the order in which they were made. */
  keys(): Soon<readonly StoredKey[]>;
  /** @throws {AppError} `conflict` when there is such a key already, `not_found` when there is none. */
  changeKeys(change: KeyChange): Soon<void>;
  /** Keeps `rows`. Those that it has already, by their ids, are left as they are. */
  addUsage(rows: readonly UsageRow[]): Soon<void>;
  /** What each key has used on the day of `atMs` and in its month until then. */
  spent(atMs: number): Soon<readonly Spent[]>;
  /** Usage in sums, in the order of what they are told apart by. */
  usage(query: UsageQuery): Soon<readonly UsageSum[]>;
  /**
   * Forgets up to `rowsMax` single rows from before `sinceMs`, and sums of days before `sinceDay`; gives
   * how many it were.
   */
  pruneUsage(sinceMs: number, sinceDay: number, rowsMax: number): Soon<number>;
  /** Keeps objects; of two with one id the later one. What was removed does not come back so. */
  addObjects(objects: readonly StoredObject[]): Soon<void>;
  object(kind: ObjectKind, id: string): Soon<FoundObject | undefined>;
  /** Puts `object` in the place of the one that was at `version`. False = that one has changed, or gone. */
  changeObject(object: StoredObject, version: number): Soon<boolean>;
  /** False = there is no such one. */
  removeObject(kind: ObjectKind, id: string): Soon<boolean>;
  objects(query: ObjectQuery): Soon<readonly StoredObject[]>;
  /** Forgets up to `rowsMax` objects that are beyond `limits`; gives how many it were. */
  pruneObjects(limits: ObjectLimits, rowsMax: number): Soon<number>;
  close(): Soon<void>;
}

const DAY_MS = 86_400_000;

/** The day of `atMs` in UTC, counted from 1970-01-01. */
export function dayOf(atMs: number): number {
  return Math.floor(atMs / DAY_MS);
}

/** The first day of the month of `atMs`, counted as in `dayOf`. */
export function monthOf(atMs: number): number {
  const date = new Date(atMs);
  return dayOf(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1));
}

/** When the period of `atMs` ends: milliseconds since 1970. */
export function periodEndMs(per: "day" | "month", atMs: number): number {
  if (per === "day") return (dayOf(atMs) + 1) * DAY_MS;
  const date = new Date(atMs);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}

/** Tokens of a question and its answer; what is not known counts as none. */
export function tokensOf({ promptTokens, completionTokens }: UsageRow): number {
  return (promptTokens ?? 0) + (completionTokens ?? 0);
}

/** What stands for `texts` among the marks of an object: 18 characters, whatever they say. */
export function markOf(...texts: readonly string[]): string {
  return `"${createHash("sha256").update(JSON.stringify(texts)).digest("hex").slice(0, 16)}"`;
}
