/**
 * Looks requests up in the journal of one worker, and joins what several have found.
 *
 * @module
 */

import { AppError, ERRORS } from "../../core/errors.ts";
import type { DrawnFacts } from "../../core/facts.ts";
import { EMPTY_TURN } from "../../core/turn.ts";
import type { FaultName } from "../../core/fault_plan.ts";
import { faultMetAs } from "../../core/fault_traits.ts";
import type { Journal, JournalEntry, NotedFacts } from "../../ops/journal.ts";
import { deliveredOf } from "../../ops/latency_counts.ts";
import type { Fixture } from "../../sources/fixtures/fixture.ts";
import type { Counters, FixtureSet } from "../../sources/fixtures/ports.ts";
import type { ReadAdded } from "../../sources/fixtures/shelf.ts";
import type { View } from "../../sources/fixtures/view.ts";

/** Which requests are meant: all keys hold. JSON carries it. */
export interface RequestFilter {
  readonly session?: string;
  readonly model?: string;
  /** Without the query. */
  readonly path?: string;
  readonly status?: number;
  /** Its id. */
  readonly fixture?: string;
  /** Whether some fixture has answered. */
  readonly matched?: boolean;
  /** Milliseconds since 1970. */
  readonly since?: number;
  /** As in a fixture. */
  readonly match?: unknown;
  /** The newest of them are shown. */
  readonly limit: number;
  /** Only those that came before it are shown; it changes nothing at how many fit. */
  readonly before?: Moment | undefined;
}

/** Where a request stands among those of all workers. */
export interface Moment {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly worker: number;
  /** That of its worker. */
  readonly number: number;
}

/** How a moment is written. */
const MOMENT = /^(\d{1,15}(?:\.\d{1,6})?)-(\d{1,6})-(\d{1,15})$/;

/** The moment that `text` says, as `next` has it; undefined = it says none. */
export function momentOf(text: string): Moment | undefined {
  const [, atMs, worker, number] = MOMENT.exec(text) ?? [];
  return number === undefined
    ? undefined
    : { atMs: Number(atMs), worker: Number(worker), number: Number(number) };
}

/** Below 0 where `one` came before `other`. */
function inTime(one: Moment, other: Moment): number {
  return one.atMs - other.atMs || one.worker - other.worker || one.number - other.number;
}

/** A request as it is shown. */
export type ShownRequest = Readonly<Record<string, unknown>> & {
  readonly at_ms: number;
  /** Its worker and its number there. */
  readonly id: string;
};

/** Some of those that fit. */
export interface Shown {
  readonly requests: readonly ShownRequest[];
  /** What those that came before them are asked for with (`before`); null = there are none. */
  readonly next: string | null;
  /** How many fit. */
  readonly count: number;
  /** How many more there was no room for: whether they fitted, nobody knows. */
  readonly lost: number;
}

/** What one worker shows: the newest of those that fit. JSON carries it. */
export type ShownPart = Omit<Shown, "next"> & { readonly hasMore: boolean };

/** How many fit, and what nearly does. */
export interface Count {
  readonly count: number;
  /** How many more there was no room for: whether they fitted, nobody knows. */
  readonly lost: number;
  readonly nearest: readonly Near[];
}

/** A request that does not fit. */
export interface Near {
  readonly request: ShownRequest;
  readonly reasons: readonly string[];
}

/** What a look needs. */
export interface LookDeps {
  readonly journal: Journal;
  readonly makeSet: (fixtures: readonly Fixture[]) => FixtureSet;
  readonly readAdded: ReadAdded;
  readonly peers: { readonly own: number };
}

/** Characters of JSON of what one worker shows: the link between workers carries twice that. */
const SHOWN_CHARS_MAX = 4 * 1024 * 1024;
const NEAREST_MAX = 3;

/** What the head of a request tells of. */
const HEAD_KEYS: ReadonlySet<string> = new Set(["model", "header", "context", "key"]);

const NO_COUNTERS: Counters = { add: () => 0, get: () => 0, reset() {} };

/** Looks into one journal. */
export class Look {
  readonly #deps: LookDeps;

  constructor(deps: LookDeps) {
    this.#deps = deps;
  }

  /** @throws {AppError} when `match` is wrong, or needs what is not kept. */
  count(filter: RequestFilter): Count {
    const test = this.#test(filter.match);
    let count = 0;
    const near: { entry: JournalEntry; reasons: readonly string[] }[] = [];
    for (const entry of this.#deps.journal.entries()) {
      const reasons = [...plainReasons(entry, filter), ...test(entry)];
      if (reasons.length === 0) {
        if (isAnswered(entry)) count++;
      } else {
        near.push({ entry, reasons });
        near.sort((one, other) => one.reasons.length - other.reasons.length);
        near.length = Math.min(near.length, NEAREST_MAX);
      }
    }
    const nearest = near.map(({ entry, reasons }) => ({ request: this.#shown(entry), reasons }));
    return { count, lost: this.#lost(filter), nearest };
  }

  /** @throws {AppError} when `match` is wrong, or needs what is not kept. */
  show(filter: RequestFilter): ShownPart {
    const test = this.#test(filter.match);
    const worker = this.#deps.peers.own;
    const found = [...this.#deps.journal.entries()].filter((entry) =>
      plainReasons(entry, filter).length === 0 && test(entry).length === 0
    );
    const { before, limit } = filter;
    const earlier = found.filter((entry) =>
      before === undefined || inTime({ ...entry, worker }, before) < 0
    ).toSorted((one, other) => other.atMs - one.atMs || other.number - one.number);
    const requests: ShownRequest[] = [];
    let chars = 0;
    for (const entry of earlier.slice(0, limit)) {
      const request = this.#shown(entry);
      chars += JSON.stringify(request).length;
      if (chars > SHOWN_CHARS_MAX && requests.length > 0) break;
      requests.push(request);
    }
    const hasMore = requests.length < earlier.length;
    return {
      requests: requests.reverse(),
      count: found.length,
      lost: this.#lost(filter),
      hasMore,
    };
  }

  joinCounts(counts: readonly Count[]): Count {
    return {
      count: counts.reduce((sum, { count }) => sum + count, 0),
      lost: counts.reduce((sum, { lost }) => sum + lost, 0),
      nearest: counts.flatMap(({ nearest }) => nearest)
        .toSorted((one, other) => one.reasons.length - other.reasons.length)
        .slice(0, NEAREST_MAX),
    };
  }

  joinShown(parts: readonly ShownPart[], { limit }: RequestFilter): Shown {
    const all = parts.flatMap(({ requests }) =>
      requests.map((one) => [momentIn(one), one] as const)
    )
      .toSorted(([one], [other]) => inTime(one, other));
    // Where a worker has more, nobody shows what came before its oldest: nothing is passed over.
    const from = parts.filter(({ hasMore }) => hasMore).map(({ requests }) =>
      momentIn(requests[0]!)
    )
      .toSorted(inTime).at(-1);
    const shown = all.filter(([at]) => from === undefined || inTime(at, from) >= 0).slice(-limit);
    const hasMore = from !== undefined || shown.length < all.length;
    const first = shown[0]?.[1];
    return {
      requests: shown.map(([, request]) => request),
      next: hasMore && first !== undefined ? `${first.at_ms}-${first.id}` : null,
      count: parts.reduce((sum, { count }) => sum + count, 0),
      lost: parts.reduce((sum, { lost }) => sum + lost, 0),
    };
  }

  #lost({ session, since }: RequestFilter): number {
    return this.#deps.journal.lost(session, since ?? 0);
  }

  /** Why a request does not match, which is never said of one that does. */
  #test(match: unknown): (entry: JournalEntry) => readonly string[] {
    if (match === undefined) return () => [];
    const { journal, readAdded, makeSet } = this.#deps;
    const entries = [{ id: "match", match, response: { error: { message: "-" } } }];
    const { fixtures, problems } = readAdded(entries, () => "match");
    if (problems.length > 0) throw new AppError("request_invalid", problems.join("; "));
    const counted = ["sequenceIndex", "turnIndex"].find((key) => Object.hasOwn(Object(match), key));
    if (counted !== undefined) {
      throw new AppError(
        "request_invalid",
        `match.${counted} chooses among fixtures, and says nothing about a request: leave it out`,
      );
    }
    const needs = needsBodies(match);
    if (needs !== undefined && !journal.keepsBodies) {
      throw new AppError(
        "conflict",
        `match.${needs} looks into what the journal does not keep: set ops.journal: bodies`,
      );
    }
    const set = makeSet(fixtures);
    return (entry) => {
      const view = viewOf(entry);
      if (set.find(view, NO_COUNTERS, "") !== undefined) return [];
      const [miss] = set.nearest(view, NO_COUNTERS, "");
      return miss === undefined || miss.reasons.length === 0 ? ["match"] : miss.reasons;
    };
  }

  #shown(entry: JournalEntry): ShownRequest {
    const { number, atMs, head, facts, text } = entry;
    const { times, isCut } = entry.timesLeft();
    const missed = faultsMissed(facts);
    return {
      id: `${this.#deps.peers.own}-${number}`,
      at_ms: atMs,
      at: new Date(atMs).toISOString(),
      session: head.session,
      method: head.method,
      path: head.path,
      surface: facts.surface,
      model: facts.model,
      source: facts.source,
      key: facts.tokenName,
      request_id: facts.requestId,
      fixture: facts.fixture === "" ? null : facts.fixture,
      tape: facts.tape === "" ? null : facts.tape,
      ...(facts.cache === undefined ? {} : { cache: facts.cache.result }),
      ...(facts.misses.length === 0 ? {} : { misses: facts.misses }),
      status: facts.status === 0 ? null : facts.status,
      stream: facts.isStream,
      outcome: facts.outcome ?? null,
      fault: faultMetAs(facts.faultsMet) ?? null,
      faults: facts.faultsMet ?? [],
      ...(missed.length === 0 ? {} : { faults_missed: missed }),
      error: facts.error === undefined ? null : errorOf(facts.error),
      first_byte_ms: rounded(facts.firstByteMs),
      duration_ms: rounded(facts.durationMs),
      body_bytes: facts.bodyBytes,
      prompt_tokens: facts.promptTokens < 0 ? null : facts.promptTokens,
      completion_tokens: facts.completionTokens < 0 ? null : facts.completionTokens,
      ...(facts.drawn === undefined ? {} : { latency: latencyOf(facts, facts.drawn) }),
      // Pairs: when, in milliseconds after the request came, and how many frames left then.
      frames: times.map(([ms, frames]) => [rounded(ms), frames]),
      ...(isCut ? { frames_cut: true } : {}),
      headers: headersOf(entry),
      ...(text === undefined ? {} : { body: jsonOf(text) }),
      ...(text !== undefined && entry.isTextCut ? { body_cut: true } : {}),
    };
  }
}

function momentIn({ at_ms, id }: ShownRequest): Moment {
  return momentOf(`${at_ms}-${id}`)!;
}

/** Has something left, or will nothing? */
function isAnswered({ facts }: JournalEntry): boolean {
  return facts.status > 0 || facts.outcome !== undefined;
}

function errorOf({ code, plain, told, headers }: AppError) {
  const apiCode = told?.code ?? ERRORS[code].apiCode;
  const retryAfterS = Number.parseFloat(headers["retry-after"] ?? "");
  return {
    code,
    message: plain,
    ...(apiCode === null ? {} : { api_code: apiCode }),
    ...(Number.isNaN(retryAfterS) ? {} : { retry_after_s: retryAfterS }),
  };
}

/** The faults that were planned for an answer that is over, and have not happened. */
function faultsMissed({ faults, faultsMet = [], outcome }: NotedFacts): readonly FaultName[] {
  if (faults === undefined || outcome === undefined) return [];
  const names = new Set(faults.faults.map(({ name }) => name));
  return [...names].filter((name) => !faultsMet.includes(name));
}

/** What a latency profile has drawn, and how it came out. */
function latencyOf(facts: NotedFacts, drawn: DrawnFacts) {
  const { firstTokenMs, tokensPerS } = deliveredOf(facts, drawn);
  return {
    first_token_ms: rounded(drawn.firstTokenMs),
    ...(drawn.hiddenMs === 0 ? {} : { hidden_ms: rounded(drawn.hiddenMs) }),
    tokens_per_s: rounded(drawn.tokensPerS),
    slow: drawn.isSlow,
    load_factor: rounded(drawn.loadFactor),
    queue_ms: rounded(drawn.queueMs),
    cached_tokens: drawn.cachedTokens,
    delivered: {
      first_token_ms: rounded(firstTokenMs ?? -1),
      tokens_per_s: rounded(tokensPerS ?? -1),
    },
  };
}

function rounded(ms: number): number | null {
  return ms < 0 ? null : Math.round(ms * 100) / 100;
}

function headersOf({ head }: JournalEntry): Readonly<Record<string, string>> {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of head.fields) {
    const key = name.toLowerCase();
    headers[key] = headers[key] === undefined ? value : `${headers[key]}, ${value}`;
  }
  return headers;
}

/** The value of JSON, else the text. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The keys of `filter` that do not hold. */
function plainReasons({ atMs, head, facts }: JournalEntry, filter: RequestFilter): string[] {
  const { session, model, path, status, fixture, matched, since } = filter;
  const reasons: string[] = [];
  const check = (name: string, wanted: unknown, is: unknown) => {
    if (wanted !== undefined && wanted !== is) {
      reasons.push(`${name}: ${JSON.stringify(is)} is not ${JSON.stringify(wanted)}`);
    }
  };
  check("session", session, head.session);
  check("model", model, facts.model);
  check("path", path, head.path);
  check("status", status, facts.status);
  check("fixture", fixture, facts.fixture);
  check("matched", matched, facts.fixture !== "");
  if (since !== undefined && atMs < since) reasons.push("since: it came earlier");
  return reasons;
}

/** The first key of `match` that the head of a request does not tell of. */
function needsBodies(match: unknown): string | undefined {
  for (const [key, value] of Object.entries(Object(match) as object)) {
    if (key === "not") {
      const inner = needsBodies(value);
      if (inner !== undefined) return inner;
    } else if (key === "anyOf" && Array.isArray(value)) {
      const inner = value.map(needsBodies).find((one) => one !== undefined);
      if (inner !== undefined) return inner;
    } else if (!HEAD_KEYS.has(key)) return key;
  }
  return undefined;
}

/** A request of the journal as fixtures see it. */
function viewOf({ head, facts, text }: JournalEntry): View {
  const seen = facts.view as View | undefined;
  const { model, tokenName: key } = facts;
  if (seen === undefined) {
    return {
      endpoint: "chat",
      dialect: "openai",
      path: head.path,
      model,
      turn: { ...EMPTY_TURN, model },
      inputs: [],
      fields: head.fields,
      key,
      body: () => text === undefined || text === "" ? undefined : jsonOf(text),
    };
  }
  return seen;
}
