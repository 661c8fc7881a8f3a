/**
 * Objects that are kept between requests, and the surfaces that are asked for them: an object lives
 * in the worker that has made it, and its id says which one that is
 * (docs/decisions/0013-state-across-workers.md).
 *
 * @module
 */

import { parse as parseQuery } from "node:querystring";
import { AppError, asAppError, type ErrorCode, ERRORS } from "../../core/errors.ts";
import { parseJsonBody } from "../../core/json_body.ts";
import type { Authorize } from "../../core/exchange.ts";
import { layFrames } from "../../core/frames.ts";
import type { PeerQuestion, Peers } from "../../core/peers.ts";
import { sseFields } from "../../core/sse_headers.ts";
import type { Stamps } from "../../core/stamp.ts";
import type { Inbound, Manner, Output, StreamManner, Surface } from "../../core/surface.ts";
import { check, isObject, type JsonObject, type Level } from "../../dialects/openai/check.ts";
import {
  bodyTooLarge,
  brokenJson,
  errorAnswer,
  keyError,
  OPENAI_VERSION,
} from "../../dialects/openai/errors.ts";
import { echo, errorOf, under } from "../../dialects/openai/faults.ts";
import { INCLUDE_RULE } from "../../dialects/openai_responses/rules.ts";
import { namedModel } from "../../dialects/openai_chat/peek_model.ts";
import { plainPathOf } from "../router.ts";
import type { StoredKeep } from "./keep.ts";

/** What is asked of a kept object, by whichever worker. JSON carries it. */
export interface Operation {
  /** What the path's placeholders stand for. */
  readonly params: Readonly<Record<string, string>>;
  /** Without its "?". */
  readonly query: string;
  /** What the body says; null = there is none. */
  readonly body: unknown;
}

/** Events, and when each is due, in milliseconds from now. */
export interface TimedEvent {
  readonly text: string;
  readonly dueMs: number;
}

/** What is answered: JSON as text, or events. */
export type Told = { readonly json: string } | { readonly events: readonly TimedEvent[] };

/** One row's business. */
export interface KeptRow {
  /** The surface's name in logs and metrics, and the row's between workers. */
  readonly name: string;
  readonly hasBody: boolean;
  /** The worker that has it; NaN = none says so; absent = everybody answers for himself. */
  readonly workerOf?: (params: Operation["params"]) => number;
  /**
   * The answer; undefined = the object is not here.
   *
   * @throws {AppError} what is wrong with it (also as a rejection).
   */
  readonly answer: (asked: Operation) => Promise<Told | undefined> | Told | undefined;
  /** The same of an object that the store has; absent = it has none. */
  readonly stored?: (asked: Operation) => Promise<Told | undefined>;
  /**
   * What is said of an object that nobody has, made of the question alone; absent = it is missing.
   */
  readonly madeUp?: (asked: Operation) => Promise<Told> | Told;
  /** Nobody has it. */
  readonly missing?: (params: Operation["params"]) => AppError;
}

/** What the rows of one kind of objects have in common. */
export interface KeptKind<Kept> {
  /** Begins the rows' names. */
  readonly name: string;
  /** The worker that has the object `id`; NaN = none says so. */
  readonly workerOf: (id: string) => number;
  readonly keep: {
    /** undefined = it is not here. */
    get(id: string): Kept | undefined;
    readonly stored?: Pick<StoredKeep<Kept>, "find">;
  };
  readonly unknown: (id: string) => AppError;
  /** Has `answer` tell of an object `id` that nobody has made; absent = it is unknown. */
  readonly madeUp?: ((id: string, answer: TellsOf<Kept>) => Promise<Told> | Told) | undefined;
}

/** Tells of an object. */
type TellsOf<Kept> = (kept: Kept) => Promise<Told> | Told;

/** Makes rows for objects of `kind`, which a path names by their `id`. */
export function keptRows<Kept>({ name, workerOf, keep, unknown, madeUp }: KeptKind<Kept>) {
  const { stored } = keep;
  return (
    suffix: string,
    answer: (kept: Kept, asked: Operation) => Told | Promise<Told>,
    hasBody = false,
  ): KeptRow => ({
    name: name + suffix,
    hasBody,
    workerOf: ({ id }) => workerOf(id!),
    answer: (asked) => {
      const kept = keep.get(asked.params["id"]!);
      return kept === undefined ? undefined : answer(kept, asked);
    },
    ...(stored === undefined ? {} : {
      stored: async (asked) => {
        const kept = await stored.find(asked.params["id"]!);
        return kept === undefined ? undefined : await answer(kept, asked);
      },
    }),
    ...(madeUp === undefined ? {} : {
      madeUp: (asked) => madeUp(asked.params["id"]!, (kept) => answer(kept, asked)),
    }),
    missing: ({ id }) => unknown(id!),
  });
}

/** What all these surfaces need. */
export interface KeptDeps {
  readonly peers: Peers;
  /** What takes ids of others; undefined = there is no upstream. */
  readonly passed: Surface | undefined;
  /** Who answers what names `model` ("" = none) at `path`, below `/v1`, if it is not kept here. */
  readonly answerer: (model: string, path: string) => "upstream" | "mock" | "nobody";
  readonly stamps: Stamps;
  readonly authorize: Authorize;
  /** The keys that are right: an error never repeats one. */
  readonly secrets: readonly string[];
  readonly recordLateness: Manner["recordLateness"];
  readonly stream: StreamManner;
}

/** An error between workers. */
interface PeerError {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly param: string | null;
  };
}

/** The rows of one weir: asked by clients here, and by other workers. */
export class KeptRows {
  readonly #deps: KeptDeps;
  readonly #rows = new Map<string, KeptRow>();

  constructor(deps: KeptDeps) {
    this.#deps = deps;
  }

  /** The surface of `row`, which other workers may ask from now on. */
  surface(row: KeptRow): Surface {
    this.#rows.set(row.name, row);
    const { stamps, authorize, secrets, passed, answerer } = this.#deps;
    return {
      name: row.name,
      source: passed?.source ?? "mock",
      takes: row.hasBody ? "body" : "nothing",
      admit({ fields }, exchange) {
        exchange.requestId = `req_${stamps.hex(32)}`;
        const verdict = authorize(fields, exchange);
        if (verdict !== "ok") throw keyError(verdict, fields, secrets);
      },
      answer: async (inbound, exchange) => {
        const path = plainPathOf(inbound.head.target).slice("/v1".length);
        const isPassed = passed !== undefined &&
          answerer(namedModel(inbound.bytes), path) === "upstream";
        const told = row.workerOf === undefined && isPassed
          ? undefined
          : await this.#found(row, inbound);
        if (told !== undefined) return this.#output(told, exchange.requestId);
        if (isPassed) return await passed.answer(inbound, exchange);
        throw row.missing?.(inbound.params) ?? objectUnknown("Object", "");
      },
      tooLarge: bodyTooLarge,
      refuse: (error, { requestId }) => errorAnswer(error, requestId),
    };
  }

  /** Answers another worker. */
  async answerPeer({ of, row, asked }: PeerQuestion): Promise<unknown> {
    const found = of === PEER_TOPIC ? this.#rows.get(String(row)) : undefined;
    try {
      return await found?.answer(asked as Operation);
    } catch (thrown) {
      const { code, message, param } = asAppError(thrown);
      return { error: { code, message, param } } satisfies PeerError;
    }
  }

  /** What `row` says here, or where the object is; undefined = nobody has it. */
  async ask(row: KeptRow, asked: Operation): Promise<Told | undefined> {
    return await row.answer(asked) ?? await this.#askPeer(row, asked) ?? await row.stored?.(asked);
  }

  async #askPeer(row: KeptRow, asked: Operation): Promise<Told | undefined> {
    const worker = row.workerOf?.(asked.params) ?? NaN;
    const { peers } = this.#deps;
    if (peers.own === 0 || Number.isNaN(worker) || worker === peers.own) return undefined;
    return toldOf(await peers.ask(worker, { of: PEER_TOPIC, row: row.name, asked }));
  }

  /** The same, or what `row` makes up. */
  async tell(row: KeptRow, asked: Operation): Promise<Told | undefined> {
    return await this.ask(row, asked) ?? await row.madeUp?.(asked);
  }

  /** What `row` says here and in all other workers. */
  async askAll(row: KeptRow, asked: Operation): Promise<readonly Told[]> {
    const here = await row.answer(asked);
    const others = await this.#deps.peers.askAll({ of: PEER_TOPIC, row: row.name, asked });
    return [here, ...others.map(toldOf)].filter((told) => told !== undefined);
  }

  /** A row that only workers ask. */
  internal(row: KeptRow): KeptRow {
    this.#rows.set(row.name, row);
    return row;
  }

  #found(row: KeptRow, { head, params, text }: Inbound): Promise<Told | undefined> {
    const query = head.target.split("?", 2)[1] ?? "";
    return this.tell(row, { params, query, body: row.hasBody ? bodyOf(text) : null });
  }

  #output(told: Told, requestId: string): Output {
    const own = {
      "x-request-id": requestId,
      "openai-version": OPENAI_VERSION,
      "access-control-allow-origin": "*",
      "access-control-expose-headers": "X-Request-ID",
    };
    if ("json" in told) {
      const headers = { "content-type": "application/json", ...own };
      return { kind: "whole", status: 200, headers, body: told.json };
    }
    const headers = sseFields(own);
    if (told.events.length === 0) return { kind: "whole", status: 200, headers, body: "" };
    const { recordLateness, stream } = this.#deps;
    const manner = { ...stream, stamps: UNSTAMPED, headers: () => headers, recordLateness };
    return { kind: "frames", frames: layFrames(told.events), manner };
  }
}

const PEER_TOPIC = "kept";

const UNSTAMPED: Manner["stamps"] = {
  shared: () => [new Uint8Array(0)],
  own: () => [new Uint8Array(0)],
};

/** @throws {AppError} what another worker has thrown. */
function toldOf(answer: unknown): Told | undefined {
  if (!isObject(answer)) return undefined;
  const { error } = answer as Partial<PeerError>;
  if (error === undefined) return answer as unknown as Told;
  const code = Object.hasOwn(ERRORS, error.code) ? error.code as ErrorCode : "internal";
  throw new AppError(code, error.message, error.param === null ? {} : { param: error.param });
}

/** An empty body is as good as an empty object. */
function bodyOf(text: string): JsonObject {
  if (text === "") return {};
  const body = parseJsonBody(text, brokenJson);
  if (isObject(body)) return body;
  throw brokenJson();
}

/** "Response with id 'resp_x' not found.": 404. */
export function objectUnknown(what: string, id: string): AppError {
  return new AppError("object_unknown", `${what} with id '${echo(id)}' not found.`);
}

/** JSON as the API lays it out. */
export function told(value: unknown): Told {
  return { json: JSON.stringify(value, null, 2) };
}

/** The parameters of a query, each with its first value. */
export function queryOf(query: string): ReadonlyMap<string, string> {
  const params = new Map<string, string>();
  for (const [name, value] of Object.entries(parseQuery(query))) {
    const first = Array.isArray(value) ? value[0] : value;
    if (first !== undefined) params.set(name, first);
  }
  return params;
}

/** @throws {AppError} when `query` wants something included that there is not; not on `spec`. */
export function checkIncluded(query: string, level: Level): void {
  if (level === "spec") return;
  const { include = [], "include[]": listed = [] } = parseQuery(query);
  const fault = check([include, listed].flat(), INCLUDE_RULE, level);
  if (fault !== undefined) throw errorOf(under("include", fault));
}

const LIMIT_MAX = 100;
const LIMIT = 20;

/** What a list's query says. */
export interface Paging {
  readonly limit: number;
  readonly isAscending: boolean;
  readonly after: string | undefined;
  readonly level: Level;
}

/**
 * On `spec` a limit out of its range is the nearest one, or none at all: the schema has no range.
 *
 * @throws {AppError} when `limit` or `order` is none.
 */
export function pagingOf(query: string, order: "asc" | "desc", level: Level): Paging {
  const params = queryOf(query);
  const limit = params.get("limit") ?? String(LIMIT);
  if (!/^-?\d{1,9}$/.test(limit)) {
    throw new AppError(
      "param_type",
      `Invalid type for 'limit': expected an integer, but got a string instead.`,
      { param: "limit" },
    );
  }
  const count = Number(limit);
  if (level === "live" && (count < 1 || count > LIMIT_MAX)) {
    const [code, what, sign, bound] = count < 1
      ? ["integer_too_small", "below minimum", ">=", 1] as const
      : ["integer_too_large", "above maximum", "<=", LIMIT_MAX] as const;
    throw new AppError(
      code,
      `Invalid 'limit': integer ${what} value. Expected a value ${sign} ${bound}, ` +
        `but got ${count} instead.`,
      { param: "limit" },
    );
  }
  const asked = params.get("order") ?? order;
  if (asked !== "asc" && asked !== "desc") {
    throw new AppError(
      "param_value",
      `Invalid value: '${echo(asked)}'. Supported values are: 'asc' and 'desc'.`,
      { param: "order" },
    );
  }
  return {
    limit: Math.min(Math.max(count, 0), LIMIT_MAX),
    isAscending: asked === "asc",
    after: params.get("after"),
    level,
  };
}

/**
 * A page of `items`, which are in ascending order.
 *
 * @throws {AppError} when `after` names none of them. On `spec` the list begins anew then.
 */
export function pageOf<Item extends { readonly id: string }>(
  items: readonly Item[],
  { limit, isAscending, after, level }: Paging,
): { readonly data: readonly Item[]; readonly has_more: boolean } {
  const ordered = isAscending ? items : items.toReversed();
  const at = after === undefined ? 0 : ordered.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && at === 0 && level === "live") {
    throw placeUnknown(after);
  }
  return { data: ordered.slice(at, at + limit), has_more: ordered.length > at + limit };
}

/** There is nothing that a page could begin behind: 404. */
export function placeUnknown(after: string): AppError {
  return new AppError("object_unknown", `Item with id '${echo(after)}' not found.`, {
    param: "after",
  });
}

/** A page as the API tells it. */
export function listOf(
  { data, has_more }: {
    readonly data: readonly { readonly id?: unknown }[];
    readonly has_more: boolean;
  },
): JsonObject {
  return {
    object: "list",
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more,
  };
}
