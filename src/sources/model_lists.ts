/**
 * The models that routes can serve: what their upstreams list, as far as the routes lead there, and the
 * names that routes and upstreams know by themselves.
 *
 * @module
 */

import { URLSearchParams } from "node:url";
import type { Answer, Ask, Relay, Source } from "../core/answer.ts";
import { queryOf } from "../core/body.ts";
import { AppError } from "../core/errors.ts";
import type { Call } from "../core/exchange.ts";
import { gatherBody, KnownBody, relayWith } from "../core/relay_body.ts";
import { Fields } from "../lib/http1/fields.ts";
import { branchOf } from "./branch.ts";
import { fallback, type Target } from "./fallback.ts";
import { boundedGlob } from "./request_match.ts";
import { MODEL_CHARS_MAX } from "./route.ts";

/** An upstream that has not listed its models by then has none, as far as the list goes. */
const LIST_MS = 5_000;
const LIST_BYTES_MAX = 16 * 1024 * 1024;
/** Anthropic's lists have 20 models on a page. */
const PAGES_MAX = 100;

/** One model, as an upstream lists it. */
export type Model = Readonly<Record<string, unknown>> & { readonly id: string };

/** Where requests for some models go. */
export interface ModelRow {
  /** A name in which `*` stands for any characters; undefined = every model. */
  readonly model: string | undefined;
  /** True when it is for all requests for these models, whatever else they say. */
  readonly isForAll: boolean;
  readonly targets: readonly ListedTarget[];
  /** Names that it knows, too. */
  readonly aliases: readonly string[];
}

/** One that may be asked. */
export interface ListedTarget extends Target {
  /** Names that it knows besides those that it lists. */
  readonly aliases: readonly string[];
  /** What it serves, where that is known here; absent = it is asked. */
  readonly own?: OwnModels;
}

/** Models that are known here. */
export interface OwnModels {
  list(): readonly Model[];
  /** @throws {AppError} when there is no such model. */
  one(id: string): object;
}

/** How clients of an API are told of models. */
export interface ModelWords {
  /** One that the upstream `owner` lists as `model`, in whichever dialect. */
  one(model: Model, owner: string): Model;
  /**
   * All of them, as far as `query` asks for them.
   *
   * @throws {AppError} when it cannot be asked so.
   */
  list(models: readonly Model[], query: URLSearchParams): object;
}

interface Row extends ModelRow {
  readonly fits: (model: string) => boolean;
  /** Tells of one model. */
  readonly one: Source;
}

/**
 * Lists the models of `rows`, of which the first that fits a model counts; and passes on what is asked
 * of one model to where its requests go.
 */
export function modelLists(rows: readonly ModelRow[], words: ModelWords): Source {
  const made: readonly Row[] = rows.map((row) => ({
    ...row,
    fits: row.model === undefined ? () => true : boundedGlob(row.model, MODEL_CHARS_MAX),
    one: firstOf(row.targets.map((target) => oneOf(target, words))),
  }));
  return {
    name: rows[0]!.targets[0]!.source.name,
    answer(ask, call) {
      const id = idIn(ask);
      if (id === undefined) return listed(made, words, ask, call);
      return made.find(({ fits }) => fits(id))!.one.answer(ask, call);
    },
  };
}

/** The model that is asked for; undefined = all of them are. */
function idIn(ask: Ask): string | undefined {
  const name = /^\/models\/(.+)$/.exec(ask.wire!.path.split("?", 1)[0]!)?.[1];
  return name === undefined ? undefined : decodeURIComponent(name);
}

/** Asks each of `targets` where those before it fail. */
function firstOf(targets: readonly Target[]): Source {
  return fallback(targets[0]!.source.name, () => targets);
}

/** `target`, which tells of one model; what it refuses is its own word. */
function oneOf({ name, source, own }: ListedTarget, words: ModelWords): Target {
  return {
    name,
    source: {
      name: source.name,
      answer: (ask, call) =>
        own === undefined
          ? readOne(name, source, words, ask, call)
          : told(own.one(idIn(ask)!), call),
    },
  };
}

async function readOne(
  owner: string,
  source: Source,
  words: ModelWords,
  ask: Ask,
  call: Call,
): Promise<Answer> {
  const wire = { ...ask.wire!, fields: plainFields(ask.wire!.fields) };
  const answer = await source.answer({ ...questionFor(ask), wire }, call);
  if (answer.kind !== "relay" || answer.status !== 200) return answer;
  const { bytes, error } = await gatherBody(answer.body, call.signal, LIST_BYTES_MAX);
  call.upstream?.end(error);
  if (error !== undefined) throw error;
  const model = parsed(new TextDecoder().decode(bytes));
  if (!isModel(model)) throw new AppError("upstream_broken", "The upstream has told of no model");
  const own = words.one(model, owner);
  const body = new KnownBody([{ bytes, atUs: 0 }], "end", call.engine.wheel);
  return own === model ? relayWith(answer, { body }) : told(own, call);
}

async function listed(
  rows: readonly Row[],
  words: ModelWords,
  ask: Ask,
  call: Call,
): Promise<Answer> {
  const targets = new Map(rows.flatMap(({ targets }) => targets).map((one) => [one.name, one]));
  const lists = new Map(
    await Promise.all(
      [...targets.values()].map(async (target) =>
        [target.name, await modelsOf(target, words, ask, call)] as const
      ),
    ),
  );
  if (call.signal.aborted) throw call.signal.reason;
  if ([...lists.values()].every((list) => list === undefined)) {
    throw new AppError("upstream_broken", "No upstream has listed its models");
  }
  const mayAsk = allowed(call);
  const found = new Map<string, Model>();
  for (const row of rows) {
    const own = row.aliases.map((id) => words.one({ id }, "weir"));
    for (const model of [...own, ...row.targets.flatMap(({ name }) => lists.get(name) ?? [])]) {
      const { id } = model;
      if (!found.has(id) && mayAsk(id) && leadsTo(rows, id, row)) found.set(id, model);
    }
  }
  const query = new URLSearchParams(queryOf(ask.wire!.path));
  return told(words.list([...found.values()], query), call);
}

/** `value` as an upstream would say it. */
function told(value: object, call: Call): Relay {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
  const body = new KnownBody([{ bytes, atUs: 0 }], "end", call.engine.wheel);
  const fields = Fields.of([["content-type", "application/json"]]);
  return { kind: "relay", status: 200, fields, body };
}

/** True when some request for the model `id` takes `row`. */
function leadsTo(rows: readonly Row[], id: string, row: Row): boolean {
  for (const one of rows) {
    if (!one.fits(id)) continue;
    if (one === row) return true;
    if (one.isForAll) return false;
  }
  return false;
}

/** Which models the key of the client may ask. */
function allowed({ key }: Call): (model: string) => boolean {
  const globs = key?.rules.models ?? [];
  const fits = globs.map((glob) => boundedGlob(glob, MODEL_CHARS_MAX));
  return (model) => fits.length === 0 || fits.some((one) => one(model));
}

/** What `target` lists; undefined = it does not. */
async function modelsOf(
  target: ListedTarget,
  words: ModelWords,
  ask: Ask,
  call: Call,
): Promise<readonly Model[] | undefined> {
  const aliases = target.aliases.map((id) => words.one({ id }, target.name));
  if (target.own !== undefined) return [...target.own.list(), ...aliases];
  const branch = branchOf(call);
  const { wheel } = call.engine;
  const listing = read(target.source, ask, branch.call);
  const isLate = await Promise.race([
    listing.then(() => false, () => false),
    wheel.until(wheel.nowMs + LIST_MS, call.signal),
  ]);
  if (isLate) {
    branch.abandon(new AppError("upstream_timeout", "It has not listed its models in time"));
  }
  try {
    const models = await listing;
    return [...models.map((model) => words.one(model, target.name)), ...aliases];
  } catch (error) {
    branch.call.upstream?.end(error);
    return aliases.length > 0 ? aliases : undefined;
  }
}

/** The models in the list of `source`, of all its pages. Rejects when it gives none. */
async function read(source: Source, ask: Ask, call: Call): Promise<readonly Model[]> {
  const models: Model[] = [];
  let path = "/models";
  for (let page = 0; page < PAGES_MAX; page++) {
    const wire = { ...ask.wire!, path, fields: plainFields(ask.wire!.fields) };
    const answer = await source.answer({ ...questionFor(ask), wire }, call);
    if (answer.kind !== "relay") throw new TypeError("A list of models is a relay");
    const { bytes, error } = await gatherBody(answer.body, call.signal, LIST_BYTES_MAX);
    call.upstream?.end(error);
    if (error !== undefined) throw error;
    const { data, has_more, last_id } = listIn(answer, bytes);
    models.push(...data.filter(isModel));
    if (has_more !== true || typeof last_id !== "string" || data.length === 0) break;
    path = `/models?after_id=${encodeURIComponent(last_id)}`;
  }
  return models;
}

function questionFor(ask: Ask): Ask {
  return { model: () => ask.model(), turn: () => ask.turn() };
}

/** `fields` without what would have the answer be none that can be read. */
function plainFields(fields: Fields): Fields {
  return fields.with({
    ...{ "accept-encoding": null, "if-none-match": null, "if-modified-since": null, range: null },
  });
}

/** A list, as an upstream tells it: OpenAI's whole, Anthropic's in pages. */
interface List {
  readonly data: readonly unknown[];
  readonly has_more?: unknown;
  readonly last_id?: unknown;
}

/** @throws {AppError} when the answer is no list. */
function listIn({ status }: Relay, bytes: Uint8Array): List {
  if (status === 200) {
    const value = parsed(new TextDecoder().decode(bytes));
    if (
      typeof value === "object" && value !== null && "data" in value && Array.isArray(value.data)
    ) {
      return value as List;
    }
  }
  throw new AppError("upstream_broken", `The upstream's list of models has the status ${status}`);
}

function isModel(value: unknown): value is Model {
  return typeof value === "object" && value !== null && "id" in value &&
    typeof value.id === "string";
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
