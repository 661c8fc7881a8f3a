/**
 * The models OpenAI has published, the dated name each one answers with, and `GET /v1/models`.
 *
 * @module
 */

import { modelNotListed, modelNotYours } from "./errors.ts";

/** A model as some API lists it. */
type Listed = Readonly<Record<string, unknown>> & { readonly id: string };

/** One model, as `GET /v1/models` lists it. */
export interface ModelObject extends Listed {
  readonly id: string;
  readonly object: "model";
  /** Seconds since 1970. */
  readonly created: number;
  readonly owned_by: string;
}

/** The answer of `GET /v1/models`. */
export interface ModelsList {
  readonly object: "list";
  readonly data: readonly ModelObject[];
}

/**
 * Name → the dated name that answers for it. Names that are published without a date, and newer
 * models whose dated name is not known here, answer as themselves.
 */
const DATED: readonly (readonly [name: string, dated: string])[] = [
  ["gpt-3.5-turbo", "gpt-3.5-turbo-0125"],
  ["gpt-3.5-turbo-16k", "gpt-3.5-turbo-16k-0613"],
  ["gpt-4", "gpt-4-0613"],
  ["gpt-4-32k", "gpt-4-32k-0613"],
  ["gpt-4-turbo", "gpt-4-turbo-2024-04-09"],
  ["gpt-4-turbo-preview", "gpt-4-0125-preview"],
  ["gpt-4-vision-preview", "gpt-4-1106-vision-preview"],
  ["gpt-4o", "gpt-4o-2024-08-06"],
  ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"],
  ["gpt-4o-audio-preview", "gpt-4o-audio-preview-2025-06-03"],
  ["gpt-4o-mini-audio-preview", "gpt-4o-mini-audio-preview-2024-12-17"],
  ["gpt-4o-search-preview", "gpt-4o-search-preview-2025-03-11"],
  ["gpt-4o-mini-search-preview", "gpt-4o-mini-search-preview-2025-03-11"],
  ["gpt-4.1", "gpt-4.1-2025-04-14"],
  ["gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"],
  ["gpt-4.1-nano", "gpt-4.1-nano-2025-04-14"],
  ["gpt-4.5-preview", "gpt-4.5-preview-2025-02-27"],
  ["gpt-5", "gpt-5-2025-08-07"],
  ["gpt-5-mini", "gpt-5-mini-2025-08-07"],
  ["gpt-5-nano", "gpt-5-nano-2025-08-07"],
  ["gpt-5.1", "gpt-5.1-2025-11-13"],
  ["gpt-5.2", "gpt-5.2-2025-12-11"],
  ["gpt-5.2-pro", "gpt-5.2-pro-2025-12-11"],
  ["gpt-5.4-mini", "gpt-5.4-mini-2026-03-17"],
  ["gpt-5.4-nano", "gpt-5.4-nano-2026-03-17"],
  ["gpt-5.5", "gpt-5.5-2026-04-23"],
  ["gpt-audio-mini", "gpt-audio-mini-2025-12-15"],
  ["o1", "o1-2024-12-17"],
  ["o1-mini", "o1-mini-2024-09-12"],
  ["o1-preview", "o1-preview-2024-09-12"],
  ["o1-pro", "o1-pro-2025-03-19"],
  ["o3", "o3-2025-04-16"],
  ["o3-mini", "o3-mini-2025-01-31"],
  ["o3-pro", "o3-pro-2025-06-10"],
  ["o4-mini", "o4-mini-2025-04-16"],
];

/** Dates of names that carry none, or none with a year. */
const RELEASED: ReadonlyMap<string, string> = new Map([
  ["gpt-3.5-turbo-0125", "2024-01-25"],
  ["gpt-3.5-turbo-16k-0613", "2023-06-13"],
  ["gpt-4-0613", "2023-06-13"],
  ["gpt-4-32k-0613", "2023-06-13"],
  ["gpt-4-0125-preview", "2024-01-25"],
  ["gpt-4-1106-vision-preview", "2023-11-06"],
]);

/** The day given to every other model: that of `openai-version`. */
const UNKNOWN_RELEASE = "2020-10-01";

const DATED_NAMES: ReadonlyMap<string, string> = new Map(DATED);
const DATE_AT_END = /\d{4}-\d{2}-\d{2}$/;

/** The name a model answers with: its dated name; a dated or unknown name is itself. */
export function datedModel(name: string): string {
  return DATED_NAMES.get(name) ?? name;
}

/**
 * The model `id`, one of `allowed`; when nothing is allowed by name, every name is a model.
 *
 * @throws {AppError} 404 when `id` is not allowed.
 */
export function modelObject(id: string, allowed: readonly string[] = []): ModelObject {
  if (allowed.length > 0 && !allowed.includes(id)) throw modelNotListed(id);
  return objectOf(id);
}

/** The model that the upstream `owner` lists as `model`, in whichever dialect. */
export function objectFrom(model: Listed, owner: string): ModelObject {
  if (isObject(model)) return model;
  const { id, created_at } = model;
  const createdMs = typeof created_at === "string" ? Date.parse(created_at) : NaN;
  const created = Number.isNaN(createdMs) ? 0 : Math.floor(createdMs / 1000);
  return { id, object: "model", created, owned_by: owner };
}

function isObject(model: Listed): model is ModelObject {
  return model["object"] === "model";
}

/** Names of fine-tuned models, today's and older ones. */
const FINE_TUNED = /^ft:|:ft-/;

/**
 * What deleting the model `id` is answered with: only what somebody has made can be deleted.
 *
 * @throws {AppError} 404 when there is no such model, 403 when it is OpenAI's.
 */
export function deletedModel(id: string, allowed: readonly string[] = []) {
  modelObject(id, allowed);
  if (FINE_TUNED.test(id)) return { id, object: "model", deleted: true } as const;
  if (allowed.includes(id) || PUBLISHED.has(id)) throw modelNotYours(id);
  throw modelNotListed(id);
}

/** `created` is midnight UTC of the day that the dated name tells. */
function objectOf(id: string): ModelObject {
  const dated = datedModel(id);
  // 10 characters hold a date: a long name is not searched through.
  const date = RELEASED.get(dated) ?? DATE_AT_END.exec(dated.slice(-10))?.[0] ?? UNKNOWN_RELEASE;
  const createdS = Date.parse(date) / 1000;
  return {
    id,
    object: "model",
    created: Number.isNaN(createdS) ? Date.parse(UNKNOWN_RELEASE) / 1000 : createdS,
    owned_by: "system",
  };
}

/** The models of `allowed` in that order; when it is empty, every published one. */
export function modelsList(allowed: readonly string[]): ModelsList {
  const names = allowed.length > 0 ? allowed : [...PUBLISHED];
  return { object: "list", data: names.map(objectOf) };
}

const PUBLISHED: ReadonlySet<string> = new Set(DATED.flat());
