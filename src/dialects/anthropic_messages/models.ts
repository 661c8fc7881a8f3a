/**
 * Claude's models, and `GET /v1/models` in Anthropic's dialect (docs/facts/anthropic.md "Models").
 *
 * @module
 */

import { datedModel, modelsList } from "../openai/models.ts";
import { invalid, modelNotFound } from "./errors.ts";

/** A model as some API lists it. */
type Listed = Readonly<Record<string, unknown>> & { readonly id: string };

/** One model. */
export interface ModelInfo extends Listed {
  readonly type: "model";
  readonly id: string;
  readonly display_name: string;
  /** RFC 3339. */
  readonly created_at: string;
}

/** A page of the list. */
export interface ModelsPage {
  readonly data: readonly ModelInfo[];
  readonly has_more: boolean;
  readonly first_id: string | null;
  readonly last_id: string | null;
}

/** A query's parameters. */
interface Query {
  get(name: string): string | null;
}

/** Name → the dated name that answers for it; newest first. Later names carry no date. */
const DATED: readonly (readonly [name: string, dated: string])[] = [
  ["claude-opus-4-5", "claude-opus-4-5-20251101"],
  ["claude-haiku-4-5", "claude-haiku-4-5-20251001"],
  ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929"],
  ["claude-opus-4-1", "claude-opus-4-1-20250805"],
  ["claude-opus-4-0", "claude-opus-4-20250514"],
  ["claude-sonnet-4-0", "claude-sonnet-4-20250514"],
  ["claude-3-7-sonnet-latest", "claude-3-7-sonnet-20250219"],
];

/** Names without a date, and what they are listed with. */
const UNDATED: readonly (readonly [name: string, created: string])[] = [
  ["claude-sonnet-4-6", "2026-02-17"],
  ["claude-opus-4-6", "2026-02-05"],
];

const DATED_NAMES: ReadonlyMap<string, string> = new Map(DATED);
const CREATED: ReadonlyMap<string, string> = new Map(UNDATED);
const DATE_AT_END = /(\d{4})-?(\d{2})-?(\d{2})$/;
/** The day given to every other model. */
const UNKNOWN_RELEASE = "2023-03-14";

/** The name a model answers with: its dated name; a dated or unknown name is itself. */
export function answeringModel(name: string): string {
  return DATED_NAMES.get(name) ?? datedModel(name);
}

/**
 * The model `id`, one of `allowed`; when nothing is allowed by name, every name is a model.
 *
 * @throws {AppError} 404 when `id` is not allowed.
 */
export function modelInfo(id: string, allowed: readonly string[]): ModelInfo {
  if (allowed.length > 0 && !allowed.includes(id)) throw modelNotFound(id);
  return infoOf(id);
}

/**
 * A page of the models of `allowed`; when it is empty, of every published one, Claude's first.
 *
 * @throws {AppError} 400 when `query` asks for what is no page.
 */
export function modelsPage(allowed: readonly string[], query: Query): ModelsPage {
  return pageOf((allowed.length > 0 ? allowed : PUBLISHED).map(infoOf), query);
}

/**
 * A page of `all`.
 *
 * @throws {AppError} 400 when `query` asks for what is no page.
 */
export function pageOf(all: readonly ModelInfo[], query: Query): ModelsPage {
  const limit = Number(query.get("limit") ?? 20);
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
    throw invalid("limit", "Input should be a valid integer from 1 to 1000");
  }
  const [after, before] = [query.get("after_id"), query.get("before_id")];
  const from = after === null ? 0 : placeOf(after, all) + 1;
  const to = before === null ? all.length : placeOf(before, all);
  const start = before === null ? from : Math.max(from, to - limit);
  const data = all.slice(start, Math.min(to, start + limit));
  return {
    data,
    has_more: before === null ? start + data.length < to : start > from,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  };
}

/** The model that an upstream lists as `model`, in whichever dialect. */
export function infoFrom(model: Listed): ModelInfo {
  if (isInfo(model)) return model;
  const { id, created } = model;
  const own = infoOf(id);
  const isTold = typeof created === "number" && created > 0 && created < SECONDS_MAX;
  return {
    ...own,
    id,
    created_at: isTold
      ? new Date(created * 1000).toISOString().replace(".000", "")
      : own.created_at,
  };
}

function isInfo(model: Listed): model is ModelInfo {
  const { type, display_name, created_at } = model;
  return type === "model" && typeof created_at === "string" && typeof display_name === "string";
}

/** The last second of the year 9999. */
const SECONDS_MAX = 253_402_300_799;

function placeOf(id: string, all: readonly ModelInfo[]): number {
  const at = all.findIndex((model) => model.id === id);
  if (at < 0) throw modelNotFound(id);
  return at;
}

function infoOf(name: string): ModelInfo {
  const id = DATED_NAMES.get(name) ?? name;
  // 10 characters hold a date: a long name is not searched through.
  const date = DATE_AT_END.exec(datedModel(id).slice(-10));
  const day = CREATED.get(id) ?? (date === null ? UNKNOWN_RELEASE : date.slice(1).join("-"));
  const created = Number.isNaN(Date.parse(day)) ? UNKNOWN_RELEASE : day;
  return {
    type: "model",
    id,
    display_name: displayName(id),
    created_at: `${created}T00:00:00Z`,
  };
}

/** "claude-opus-4-5-20251101" is shown as "Claude Opus 4.5". */
function displayName(id: string): string {
  const match = /^claude-([a-z]+)-(\d+)(?:-(\d{1,2}))?(?:-\d{8})?$/.exec(id.slice(0, 64));
  if (match === null) return id;
  const [, family, major, minor] = match;
  const version = minor === undefined || minor === "0" ? major : `${major}.${minor}`;
  return `Claude ${family![0]!.toUpperCase()}${family!.slice(1)} ${version}`;
}

const PUBLISHED: readonly string[] = [
  ...UNDATED.map(([name]) => name),
  ...DATED.map(([, dated]) => dated),
  ...modelsList([]).data.map(({ id }) => id),
];
