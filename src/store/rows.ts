/**
 * Rows of the tables, as both databases give and take them.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import { FREE, type KeyRules, type StoredKey } from "../core/keys.ts";
import {
  dayOf,
  type FoundObject,
  OBJECT_ID_CHARS_MAX,
  type ObjectKind,
  type ObjectQuery,
  type StoredObject,
  USAGE_BY,
  type UsageBy,
  type UsageRow,
  type UsageSum,
} from "../core/store.ts";

/** A row of `weir_keys`. */
export interface KeyRow {
  readonly digest: string;
  readonly name: string;
  readonly rules: string;
  readonly made_ms: number;
  /** null = never. */
  readonly ends_ms: number | null;
  readonly is_current: number | boolean;
}

/** The key of a row. A limit that a newer weir has put there is none that this one could keep. */
export function keyOf({ digest, name, rules, made_ms, ends_ms, is_current }: KeyRow): StoredKey {
  return {
    digest,
    name,
    rules: rulesOf(name, rules),
    madeMs: made_ms,
    endsMs: ends_ms ?? Infinity,
    isCurrent: Boolean(is_current),
  };
}

function rulesOf(name: string, text: string): KeyRules {
  const rules = JSON.parse(text) as Partial<KeyRules>;
  const unknown = Object.keys(rules).find((rule) => !Object.hasOwn(FREE, rule));
  if (unknown === undefined) return { ...FREE, ...rules };
  throw new AppError(
    "store_failed",
    `Cannot keep what the key ${name} is limited by: this weir knows no ${unknown}, a newer one made it`,
  );
}

/** What is written of a key's rules: those that are no defaults. */
export function rulesText(rules: KeyRules): string {
  const told = Object.entries(rules).filter(([name, value]) =>
    !Bun.deepEquals(value, FREE[name as keyof KeyRules])
  );
  return JSON.stringify(Object.fromEntries(told));
}

/** The columns of `weir_usage` in their order. */
export const USAGE_COLUMNS = [
  ["id", "text"],
  ["at_ms", "bigint"],
  ["day", "integer"],
  ["key", "text"],
  ["model", "text"],
  ["surface", "text"],
  ["upstream", "text"],
  ["status", "integer"],
  ["outcome", "text"],
  ["prompt_tokens", "bigint"],
  ["cached_tokens", "bigint"],
  ["completion_tokens", "bigint"],
  ["reasoning_tokens", "bigint"],
  ["is_estimated", "integer"],
  ["cost_nanos", "bigint"],
] as const;

type UsageColumn = typeof USAGE_COLUMNS[number][0];

/** A row of `weir_usage`. */
export type UsageValues = Readonly<Record<UsageColumn, string | number | null>>;

/** Longer names of models are cut off, in UTF-16 units: they are what a client has sent. */
const MODEL_CHARS_MAX = 256;

/** `row` as its columns, in the order of those. */
export function usageValues(row: UsageRow): UsageValues {
  return {
    id: row.id,
    at_ms: Math.floor(row.atMs),
    day: dayOf(row.atMs),
    key: row.key,
    model: storable(row.model),
    surface: row.surface,
    upstream: row.upstream,
    status: row.status,
    outcome: row.outcome,
    prompt_tokens: counted(row.promptTokens),
    cached_tokens: counted(row.cachedTokens),
    completion_tokens: counted(row.completionTokens),
    reasoning_tokens: counted(row.reasoningTokens),
    is_estimated: row.isEstimated ? 1 : 0,
    cost_nanos: counted(row.costNanos),
  };
}

/** An upstream may tell what it likes: neither database takes a fraction or more than 2⁵³. */
function counted(count: number | null): number | null {
  if (count === null || !(count >= 0)) return null;
  return Math.min(Math.round(count), Number.MAX_SAFE_INTEGER);
}

/** Neither database keeps a NUL, or half a character. */
function storable(name: string): string {
  return name.slice(0, MODEL_CHARS_MAX).replaceAll("\0", "\ufffd").toWellFormed();
}

/** The columns of `weir_usage_days` that are sums, and what a row of `weir_usage` adds to each. */
export const DAY_SUMS = [
  ["requests", "1"],
  ["estimated", "is_estimated"],
  [
    "unknown_tokens",
    "CASE WHEN prompt_tokens IS NULL OR completion_tokens IS NULL THEN 1 ELSE 0 END",
  ],
  ["unknown_costs", "CASE WHEN cost_nanos IS NULL THEN 1 ELSE 0 END"],
  ["prompt_tokens", "coalesce(prompt_tokens, 0)"],
  ["cached_tokens", "coalesce(cached_tokens, 0)"],
  ["completion_tokens", "coalesce(completion_tokens, 0)"],
  ["reasoning_tokens", "coalesce(reasoning_tokens, 0)"],
  ["cost_nanos", "coalesce(cost_nanos, 0)"],
] as const;

/** Adds what is in `from`, rows of `weir_usage`, to the sums of their days. */
export function addToDays(from: string): string {
  const names = DAY_SUMS.map(([name]) => name);
  return `
    INSERT INTO weir_usage_days (day, key, model, ${names.join(", ")})
    SELECT day, key, model, ${DAY_SUMS.map(([, value]) => `sum(${value})`).join(", ")}
    FROM ${from} GROUP BY day, key, model ORDER BY day, key, model
    ON CONFLICT (day, key, model) DO UPDATE SET
      ${names.map((name) => `${name} = weir_usage_days.${name} + excluded.${name}`).join(", ")}`;
}

/** A row of what keys have spent. */
export interface SpentRow {
  readonly key: string;
  readonly day_tokens: number;
  readonly day_nanos: number;
  readonly month_tokens: number;
  readonly month_nanos: number;
}

/** What each key has spent on the day that `day` stands for and since the day `since`. */
export function spentQuery(day: string, since: string, toNumber: (sum: string) => string): string {
  const tokens = "prompt_tokens + completion_tokens";
  const ofDay = (value: string) => `CASE WHEN day = ${day} THEN ${value} ELSE 0 END`;
  const sum = (value: string, name: string) => `${toNumber(`sum(${value})`)} AS ${name}`;
  return `
    SELECT key, ${sum(ofDay(tokens), "day_tokens")}, ${sum(ofDay("cost_nanos"), "day_nanos")},
      ${sum(tokens, "month_tokens")}, ${sum("cost_nanos", "month_nanos")}
    FROM weir_usage_days WHERE day >= ${since} AND day <= ${day} GROUP BY key`;
}

/** What a row of `spentQuery` says. */
export function spentOf({ key, day_tokens, day_nanos, month_tokens, month_nanos }: SpentRow) {
  return {
    key,
    dayTokens: day_tokens,
    dayNanos: day_nanos,
    monthTokens: month_tokens,
    monthNanos: month_nanos,
  };
}

/** A row of sums. */
export type UsageSumRow =
  & { readonly [by in UsageBy]?: string | number }
  & Readonly<Record<typeof DAY_SUMS[number][0], number>>;

/** The sums of usage by `by`. The parameters: the first day, the last one, a key or null. */
export function usageQuery(
  by: readonly UsageBy[],
  [since, until, key]: readonly [string, string, string],
  toNumber: (sum: string) => string,
): string {
  const told = USAGE_BY.filter((one) => by.includes(one));
  const sums = DAY_SUMS.map(([name]) => `${toNumber(`coalesce(sum(${name}), 0)`)} AS ${name}`);
  const apart = told.length === 0 ? "" : `GROUP BY ${told.join(", ")} ORDER BY ${told.join(", ")}`;
  return `
    SELECT ${[...told, ...sums].join(", ")} FROM weir_usage_days
    WHERE day >= ${since} AND day <= ${until} AND (${key} IS NULL OR key = ${key}) ${apart}`;
}

/** What a row of `usageQuery` says. */
export function usageSumOf({ day, key, model, ...sums }: UsageSumRow): UsageSum {
  return {
    day: day as number | undefined,
    key: key as string | undefined,
    model: model as string | undefined,
    requests: sums.requests,
    estimated: sums.estimated,
    unknownTokens: sums.unknown_tokens,
    unknownCosts: sums.unknown_costs,
    promptTokens: sums.prompt_tokens,
    cachedTokens: sums.cached_tokens,
    completionTokens: sums.completion_tokens,
    reasoningTokens: sums.reasoning_tokens,
    costNanos: sums.cost_nanos,
  };
}

/**
 * The columns of `weir_objects` in their order. One whose data is "" was removed: it stays as long as it
 * would have stayed, so that what still is on its way to the store does not bring it back.
 */
export const OBJECT_COLUMNS = [
  ["id", "text"],
  ["kind", "text"],
  ["at_ms", "bigint"],
  ["done_ms", "bigint"],
  ["model", "text"],
  ["marks", "text"],
  ["bytes", "bigint"],
  ["data", "text"],
] as const;

type ObjectColumn = typeof OBJECT_COLUMNS[number][0];

/** An object's id as the tables have it; "" = none has this one. A client may ask for what it likes. */
export function storedId(id: string): string {
  return id.length > OBJECT_ID_CHARS_MAX ? "" : storable(id);
}

/** What an object without data takes. */
const OBJECT_BYTES = 256;

/** `object` as its columns. JSON has no NUL and no half characters; everything else may. */
export function objectValues(
  object: StoredObject,
): Readonly<Record<ObjectColumn, string | number>> {
  return {
    id: storedId(object.id),
    kind: object.kind,
    at_ms: Math.floor(object.atMs),
    done_ms: Math.floor(object.doneMs),
    model: storable(object.model),
    marks: object.marks,
    bytes: OBJECT_BYTES + Buffer.byteLength(object.data),
    data: object.data,
  };
}

/** A row of `weir_objects`. */
export interface ObjectRow {
  readonly id: string;
  readonly kind: string;
  readonly at_ms: number;
  readonly done_ms: number;
  readonly model: string;
  readonly marks: string;
  readonly data: string;
  readonly version: number;
}

/** What is read of an object. */
export function objectColumns(toNumber: (column: string) => string): string {
  const number = (column: string) => `${toNumber(column)} AS ${column}`;
  return `id, kind, ${number("at_ms")}, ${number("done_ms")}, model, marks, data, ${
    number("version")
  }`;
}

/** What a row says. */
export function objectOf({ at_ms, done_ms, version, kind, ...rest }: ObjectRow): FoundObject {
  const object = { ...rest, kind: kind as ObjectKind, atMs: at_ms, doneMs: done_ms };
  return { object, version };
}

/** A list of objects, and its parameters. `place` gives the place of one: "$1". */
export function objectsQuery(
  { kind, model, marks, needs, nowMs, after, isAscending, limit }: ObjectQuery,
  { position, columns, place }: {
    /** Where the second text begins in the first one; 0 = nowhere. */
    readonly position: "instr" | "strpos";
    readonly columns: string;
    readonly place: (at: number, type: "text" | "bigint") => string;
  },
): { readonly text: string; readonly values: readonly (string | number)[] } {
  const values: (string | number)[] = [];
  const given = (value: string | number) => {
    values.push(value);
    return place(values.length, typeof value === "number" ? "bigint" : "text");
  };
  const marked = marks.map((mark) => `${position}(marks, ${given(mark)}) > 0`);
  const [order, sign] = isAscending ? ["ASC", ">"] : ["DESC", "<"];
  const wanted = [
    `kind = ${given(kind)}`,
    "data <> ''",
    `done_ms <= ${given(Math.floor(nowMs))}`,
    ...(model === undefined ? [] : [`model = ${given(storable(model))}`]),
    ...(marked.length === 0 ? [] : [`(${marked.join(needs === "all" ? " AND " : " OR ")})`]),
    ...(after === undefined
      ? []
      : [`(at_ms, id) ${sign} (${given(Math.floor(after.atMs))}, ${given(storable(after.id))})`]),
  ];
  const text = `SELECT ${columns} FROM weir_objects WHERE ${wanted.join(" AND ")}
    ORDER BY at_ms ${order}, id ${order} LIMIT ${given(limit)}`;
  return { text, values };
}

/** There is a key of that name that opens the door. */
export function nameTaken(name: string): AppError {
  return new AppError(
    "conflict",
    `There is a key named ${name}: rotate it, or revoke it and add it anew`,
  );
}

/** There is no key of that name that opens the door. */
export function noSuchKey(name: string): AppError {
  return new AppError("not_found", `There is no key named ${name} in the store`);
}
