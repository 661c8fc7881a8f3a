/**
 * `/__weir/*`: fixtures that are added while weir runs, the requests that came, and whether they are
 * what was expected.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import { LIMIT_STATES, type LimitState } from "../../core/limits.ts";
import type { Authorize, Exchange } from "../../core/exchange.ts";
import { parseJsonBody } from "../../core/json_body.ts";
import type { Stamps } from "../../core/stamp.ts";
import type { Inbound, Surface, Whole } from "../../core/surface.ts";
import { bodyTooLarge, errorAnswer, keyError } from "../../dialects/openai/errors.ts";
import { dayMs } from "../../lib/day.ts";
import { nearest } from "../../lib/nearest.ts";
import type { Wheel } from "../../lib/wheel.ts";
import type { Limits } from "../../sources/limits/limits.ts";
import { checkSession, type Entry, type ResetPart } from "../../sources/fixtures/shelf.ts";
import { queryOf } from "../openai/kept_objects.ts";
import type { Desk } from "./desk.ts";
import { type Moment, momentOf, type RequestFilter } from "./look.ts";
import { type JudgedRequest, verdictOn } from "./verdict.ts";

/** What the surfaces need. */
export interface FixtureAdminDeps {
  readonly desk: Desk;
  readonly authorize: Authorize;
  /** The keys that are right: an error never repeats one. */
  readonly secrets: readonly string[];
  readonly stamps: Stamps;
  readonly wheel: Wheel;
  /** Ids that nothing else has. */
  readonly uuid: () => string;
  /** The limits that the mock plays; undefined = there are none. */
  readonly limits: Limits | undefined;
}

type JsonObject = Readonly<Record<string, unknown>>;

const SESSION_HEADER = "x-weir-session";
const RESET_PARTS: readonly ResetPart[] = ["fixtures", "counters", "journal", "sessions"];

/** What `/__weir/reset` may be asked for. */
const RESETS = [...RESET_PARTS, "limits"];

const LIMIT = 100;
const LIMIT_MAX = 1000;
const WAIT_MS = 5000;
const WAIT_MS_MAX = 60_000;
/** Requests that wait for others, of one process. */
const WAITS_MAX = 64;
/** How often the others are asked while somebody waits. */
const LOOK_AGAIN_MS = 25;

/** The surfaces, one for each row. */
export type FixtureAdmin = ReturnType<typeof fixtureAdmin>;

/** Makes them. */
export function fixtureAdmin(deps: FixtureAdminDeps) {
  const { desk, authorize, secrets, stamps, wheel, uuid, limits } = deps;
  let waits = 0;

  function surface(
    name: string,
    takes: Surface["takes"],
    answer: (inbound: Inbound, exchange: Exchange) => Promise<Whole> | Whole,
  ): Surface {
    return {
      name: `weir_${name}`,
      source: "",
      takes,
      isUnnoted: true,
      isSpared: true,
      admit({ fields }, exchange) {
        exchange.requestId = `req_${stamps.hex(32)}`;
        const verdict = authorize(fields, exchange);
        if (verdict !== "ok") throw keyError(verdict, fields, secrets);
      },
      answer,
      tooLarge: bodyTooLarge,
      refuse: (error, { requestId }) => errorAnswer(error, requestId),
    };
  }

  const list = surface("fixtures", "nothing", (inbound) =>
    told({
      fixtures: desk.shelf.list(sessionOf(inbound)).map(({ origin, fixture, count }) => ({
        id: fixture.id,
        from: origin,
        count,
        ...(fixture.place.file === ""
          ? {}
          : { file: fixture.place.file, line: fixture.place.line }),
        fixture: fixture.source,
      })),
      ...(desk.shelf.trouble === "" ? {} : { trouble: desk.shelf.trouble }),
    }));

  const add = surface("fixtures", "body", async (inbound) => {
    const body = bodyOf(inbound, ["fixtures", "position"]);
    const { position = "last" } = body;
    if (position !== "first" && position !== "last") {
      throw invalid("position", "first or last");
    }
    if (!Array.isArray(body["fixtures"])) throw invalid("fixtures", "a list of fixtures");
    const session = sessionOf(inbound);
    const entries = body["fixtures"].map((entry) => withId(entry));
    await desk.change({ kind: "add", session, position, entries });
    return told({ ids: entries.map(({ id }) => id) }, 201);
  });

  const replace = surface("fixtures", "body", async (inbound) => {
    const { id = "" } = inbound.params;
    const body = bodyOf(inbound);
    if (body["id"] !== undefined && body["id"] !== id) {
      throw invalid("id", "that of the path, or left out: a fixture keeps its id");
    }
    const entry = { ...body, id };
    await desk.change({ kind: "replace", session: sessionOf(inbound), entry });
    return told({ ids: [id] });
  });

  const remove = surface("fixtures", "nothing", async (inbound) => {
    const { id = "" } = inbound.params;
    const removed = await desk.change({ kind: "remove", session: sessionOf(inbound), id });
    return told({ removed });
  });

  const reset = surface("reset", "body", async (inbound) => {
    const body = bodyOf(inbound, RESETS);
    for (const [key, value] of Object.entries(body)) {
      if (typeof value !== "boolean") throw invalid(key, "true or false");
    }
    const isAll = Object.keys(body).length === 0;
    const parts = RESET_PARTS.filter((part) => isAll || body[part] === true);
    const session = sessionOf(inbound);
    const isForLimits = body["limits"] === true || (isAll && session === "");
    if (isForLimits && session !== "") {
      throw invalid("limits", "left out with a session: they are those of all");
    }
    const removed = await desk.change({ kind: "reset", session, parts });
    if (isForLimits) limits?.reset();
    return told({ reset: [...parts, ...(isForLimits ? ["limits"] : [])], removed });
  });

  const listLimits = surface("limits", "nothing", () => told({ limits: limits?.show() ?? [] }));

  const switchLimits = surface("limits", "body", (inbound) => {
    const { state, entry } = bodyOf(inbound, ["state", "entry"]);
    if (!isLimitState(state)) throw invalid("state", `one of ${LIMIT_STATES.join(", ")}`);
    if (limits === undefined) {
      throw new AppError("conflict", "There are no limits to switch: give mock.limits an entry");
    }
    const index = entry === undefined ? undefined : wholeNumber("entry", entry, 0, LIMIT_MAX);
    limits.switch(index, state);
    return told({ limits: limits.show() });
  });

  const resetLimits = surface("limits", "nothing", () => told({ reset: limits?.reset() ?? 0 }));

  const next = surface("next", "body", async (inbound) => {
    const body = bodyOf(inbound);
    if (body["match"] !== undefined) {
      throw invalid("match", "left out: the next request gets this answer, whatever it is");
    }
    const entry = { ...body, match: {}, id: `next_${uuid()}` };
    await desk.change({ kind: "next", session: sessionOf(inbound), entry });
    return told({ ids: [entry.id] }, 201);
  });

  const requests = surface("requests", "nothing", async (inbound, exchange) => {
    checkKept();
    const query = queryOf(inbound.head.target.split("?", 2)[1] ?? "");
    const filter = { ...filterOf(objectOf(query, LIST_KEYS), inbound), before: beforeOf(query) };
    if (!query.has("wait")) {
      if (query.has("timeout_ms")) throw invalid("timeout_ms", "given with wait alone");
      return told(await desk.show(filter));
    }
    const wanted = whole("wait", query.get("wait"), 1, Number.MAX_SAFE_INTEGER);
    const limitMs = query.has("timeout_ms")
      ? whole("timeout_ms", query.get("timeout_ms"), 0, WAIT_MS_MAX)
      : WAIT_MS;
    const isThere = await waitFor(filter, wanted, limitMs, exchange);
    return told({ ...await desk.show(filter), timed_out: !isThere });
  });

  const clear = surface("requests", "nothing", async (inbound) => {
    const session = sessionOf(inbound);
    return told({ removed: await desk.clearRequests(session === "" ? undefined : session) });
  });

  const verify = surface("verify", "body", async (inbound) => {
    checkKept();
    const { times, ...asked } = bodyOf(inbound);
    const { min, max } = timesOf(times);
    const { count, lost, nearest } = await desk.count(filterOf(asked, inbound));
    const isRight = count >= min && count <= max;
    const isSure = isRight ? count + lost <= max : count > max || count + lost < min;
    if (!isSure) {
      throw new AppError(
        "conflict",
        `Nobody knows: ${count} of the requests that are kept fit, and ${lost} more came that there was ` +
          "no room for. Raise ops.journal_max or ops.journal_max_bytes, or forget requests between tests",
      );
    }
    const wanted = max === Infinity ? { min } : { min, max };
    return told(
      { verified: isRight, count, times: wanted, ...(isRight ? {} : { nearest }) },
      isRight ? 200 : 417,
    );
  });

  const verdict = surface("verdict", "nothing", async (inbound) => {
    if (!desk.journal.keepsBodies) {
      throw new AppError(
        "conflict",
        "A verdict looks into what clients sent, which is not kept: set ops.journal: bodies",
      );
    }
    const query = queryOf(inbound.head.target.split("?", 2)[1] ?? "");
    const filter = filterOf({ limit: LIMIT_MAX, ...objectOf(query) }, inbound);
    const requests = query.has("limit")
      ? (await desk.show(filter)).requests
      : await desk.showAll(filter);
    return told(verdictOn(requests as unknown as readonly JudgedRequest[]));
  });

  /** Waits until `wanted` requests fit: false = they do not in time. */
  async function waitFor(
    filter: RequestFilter,
    wanted: number,
    limitMs: number,
    { signal }: Exchange,
  ): Promise<boolean> {
    if (waits >= WAITS_MAX) {
      throw new AppError("too_many", `${WAITS_MAX} requests wait for others already: try again`);
    }
    const endMs = wheel.nowMs + limitMs;
    waits++;
    try {
      for (;;) {
        if ((await desk.count(filter)).count >= wanted) return true;
        const nowMs = wheel.nowMs;
        if (nowMs >= endMs || signal.aborted) return false;
        await wheel.until(Math.min(endMs, nowMs + LOOK_AGAIN_MS), signal);
      }
    } finally {
      waits--;
    }
  }

  function checkKept(): void {
    if (desk.journal.mode !== "off") return;
    throw new AppError("conflict", "No requests are kept: set ops.journal to heads or bodies");
  }

  function withId(entry: unknown): Entry {
    if (!isObject(entry)) throw invalid("fixtures", "a list of objects");
    const { id } = entry;
    if (id === undefined) return { ...entry, id: `fx_${uuid()}` };
    if (typeof id === "string" && id !== "") return { ...entry, id };
    throw invalid("fixtures[].id", "a text");
  }

  return {
    ...{ list, add, replace, remove, reset, next, requests, clear, verify, verdict },
    ...{ listLimits, switchLimits, resetLimits },
  };
}

/** JSON for whoever tests. */
function told(value: unknown, status = 200): Whole {
  return {
    kind: "whole",
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store" },
    body: `${JSON.stringify(value, null, 2)}\n`,
  };
}

function isLimitState(value: unknown): value is LimitState {
  return (LIMIT_STATES as readonly unknown[]).includes(value);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws {AppError} when the session has no name. */
function sessionOf({ head }: Inbound): string {
  const session = head.fields.get(SESSION_HEADER) ?? "";
  if (session !== "") checkSession(session);
  return session;
}

/**
 * The body, empty where there is none; `keys` are all that it may have.
 *
 * @throws {AppError} what is wrong with it.
 */
function bodyOf({ text }: Inbound, keys?: readonly string[]): JsonObject {
  if (text.trim() === "") return {};
  const body = parseJsonBody(text, () => new AppError("body_broken", "The body is no JSON"));
  if (!isObject(body)) throw new AppError("request_invalid", "The body must be an object");
  if (keys !== undefined) checkKeys(body, keys);
  return body;
}

function checkKeys(object: JsonObject, keys: readonly string[]): void {
  for (const key of Object.keys(object)) {
    if (keys.includes(key)) continue;
    const meant = nearest(key, keys);
    const hint = meant === undefined ? `it may be ${keys.join(", ")}` : `is ${meant} meant?`;
    throw new AppError("param_unknown", `There is no ${JSON.stringify(key)} here: ${hint}`, {
      param: key,
    });
  }
}

function invalid(param: string, must: string): AppError {
  return new AppError("param_value", `${param} must be ${must}`, { param });
}

/** The same of a query, where everything is text. */
function whole(param: string, value: unknown, min: number, max: number): number {
  const number = typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value;
  return wholeNumber(param, number, min, max);
}

/** @throws {AppError} when `value` is no whole number from `min` to `max`. */
function wholeNumber(param: string, value: unknown, min: number, max: number): number {
  if (Number.isInteger(value) && value as number >= min && value as number <= max) {
    return value as number;
  }
  throw invalid(
    param,
    max === Number.MAX_SAFE_INTEGER
      ? `a whole number from ${min}`
      : `a whole number from ${min} to ${max}`,
  );
}

const FILTER_KEYS = [
  "session",
  "model",
  "path",
  "status",
  "fixture",
  "matched",
  "since",
  "match",
  "limit",
];

/** What only the list of requests takes. */
const LIST_KEYS: ReadonlySet<string> = new Set(["wait", "timeout_ms", "before"]);

/** @throws {AppError} when it is nothing that `next` says. */
function beforeOf(query: ReadonlyMap<string, string>): Moment | undefined {
  const text = query.get("before");
  if (text === undefined) return undefined;
  const moment = momentOf(text);
  if (moment === undefined) throw invalid("before", "what next was in the answer with newer ones");
  return moment;
}

/** The parameters of a query as a body would have them. */
function objectOf(
  query: ReadonlyMap<string, string>,
  others: ReadonlySet<string> = new Set(),
): JsonObject {
  const object: Record<string, unknown> = {};
  for (const [key, value] of query) {
    if (others.has(key)) continue;
    if (key === "match") {
      object[key] = parseJsonBody(value, () => invalid("match", "JSON"));
    } else if (key === "matched") {
      object[key] = value === "true" ? true : value === "false" ? false : value;
    } else object[key] = value;
  }
  return object;
}

/** @throws {AppError} what is wrong with it. */
function filterOf(asked: JsonObject, inbound: Inbound): RequestFilter {
  checkKeys(asked, FILTER_KEYS);
  const text = (key: string) => {
    const value = asked[key];
    if (value === undefined) return {};
    if (typeof value !== "string") throw invalid(key, "a text");
    return { [key]: value };
  };
  const { status, matched, since, match, limit } = asked;
  if (matched !== undefined && typeof matched !== "boolean") {
    throw invalid("matched", "true or false");
  }
  if (match !== undefined && !isObject(match)) throw invalid("match", "an object, as in a fixture");
  const session = sessionOf(inbound);
  return {
    ...(session === "" ? {} : { session }),
    ...text("session"),
    ...text("model"),
    ...text("path"),
    ...text("fixture"),
    ...(status === undefined ? {} : { status: whole("status", status, 100, 599) }),
    ...(matched === undefined ? {} : { matched }),
    ...(since === undefined ? {} : { since: timeOf(since) }),
    ...(match === undefined ? {} : { match }),
    limit: limit === undefined ? LIMIT : whole("limit", limit, 1, LIMIT_MAX),
  };
}

/** Milliseconds since 1970, or a date. @throws {AppError} when it is neither. */
function timeOf(since: unknown): number {
  if (typeof since === "string" && !/^\d+$/.test(since)) {
    const ms = Date.parse(since);
    const isDay = !/^\d{4}-\d\d-\d\d/.test(since) || dayMs(since.slice(0, 10)) !== undefined;
    if (isDay && !Number.isNaN(ms)) return ms;
  }
  try {
    return whole("since", since, 0, Number.MAX_SAFE_INTEGER);
  } catch {
    throw invalid("since", "milliseconds since 1970, or a date such as 2026-11-28T14:00:00Z");
  }
}

/** @throws {AppError} when `times` is no number, and no range. */
function timesOf(times: unknown): { readonly min: number; readonly max: number } {
  if (times === undefined) return { min: 1, max: Infinity };
  if (!isObject(times)) {
    const count = wholeNumber("times", times, 0, Number.MAX_SAFE_INTEGER);
    return { min: count, max: count };
  }
  checkKeys(times, ["min", "max"]);
  const min = wholeNumber("times.min", times["min"] ?? 0, 0, Number.MAX_SAFE_INTEGER);
  const max = times["max"] === undefined
    ? Infinity
    : wholeNumber("times.max", times["max"], 0, Number.MAX_SAFE_INTEGER);
  if (min > max) throw invalid("times.max", "times.min or more");
  return { min, max };
}
