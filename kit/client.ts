/**
 * What a test asks of a running weir: to answer so, to tell what came, and whether it was expected.
 *
 * @module
 */

import type { Answer, Fixture, Manner, Match } from "./fixtures.ts";
import { ask, type Told } from "./http.ts";

/** The header that gives requests a session's own fixtures, counters and journal. */
export const SESSION_HEADER = "x-weir-session";

/** A fixture that weir has. */
export interface ListedFixture {
  readonly id: string;
  /** Whether it is given once, was added for a session or for all, or stands in a file. */
  readonly from: "next" | "session" | "added" | "file";
  readonly file?: string;
  readonly line?: number;
  /** As it was written. */
  readonly fixture: unknown;
}

/** Requests that are asked for at once, of more. */
const PAGE = 1000;

/** Which requests are meant: all keys that are there hold. */
export interface RequestFilter {
  /** As in a fixture. */
  readonly match?: Match;
  readonly model?: string;
  /** Without the query. */
  readonly path?: string;
  readonly status?: number;
  /** The id of the fixture that has answered. */
  readonly fixture?: string;
  /** Whether a fixture has answered. */
  readonly matched?: boolean;
  /** Milliseconds since 1970, or a date. */
  readonly since?: number | string;
  /** At most so many, the newest: 1 to 1000, 100 unless said. For more there is `allRequests`. */
  readonly limit?: number;
}

/** A request that came, and what became of it. */
export interface JournalRequest {
  readonly id: string;
  readonly at: string;
  readonly at_ms: number;
  /** "" = of none. */
  readonly session: string;
  readonly method: string;
  readonly path: string;
  readonly model: string;
  /** The id of the fixture that has answered; null = none has. */
  readonly fixture: string | null;
  /** null = nothing has been answered yet. */
  readonly status: number | null;
  readonly stream: boolean;
  readonly outcome: string | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly duration_ms: number | null;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON where it was such, else the text; absent where it is not kept. */
  // deno-lint-ignore no-explicit-any -- whoever reads it knows what his client has sent
  readonly body?: any;
  readonly [more: string]: unknown;
}

/** How often requests shall have come: so often, or so often at least and at most. */
export type Times = number | { readonly min?: number; readonly max?: number };

/** weir has refused what it was asked, and says why. */
export class WeirError extends Error {
  override readonly name: string = "WeirError";
  /** Of HTTP. */
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** Other requests came than were expected. */
export class VerifyError extends WeirError {
  override readonly name = "VerifyError";
  /** How many came. */
  readonly count: number;

  constructor(message: string, count: number) {
    super(message, 417);
    this.count = count;
  }
}

/** A client of a running weir, or of one session of it. */
export class WeirClient {
  /** Where it listens: "http://127.0.0.1:12345". */
  readonly url: string;
  /** What an SDK of OpenAI's calls its base URL; Anthropic's is `url`. */
  readonly baseURL: string;
  /** What the requests of this session carry; none without a session. */
  readonly headers: Readonly<Record<string, string>>;
  readonly #admin: Readonly<Record<string, string>>;

  /** `token`: `auth.token`, where there is one. */
  constructor(url: string, { token, session }: {
    readonly token?: string | undefined;
    readonly session?: string | undefined;
  } = {}) {
    this.url = url.replace(/\/+$/, "");
    this.baseURL = `${this.url}/v1`;
    this.headers = session === undefined ? {} : { [SESSION_HEADER]: session };
    this.#admin = {
      ...this.headers,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    };
  }

  /** The fixtures that are given now. */
  readonly fixtures = {
    /**
     * Adds one or more, behind those that were added before; `position: "first"` = before them. Gives
     * their ids.
     */
    add: async (
      fixtures: Fixture | readonly Fixture[],
      { position = "last" }: { readonly position?: "first" | "last" } = {},
    ): Promise<readonly string[]> => {
      const list = Array.isArray(fixtures) ? fixtures : [fixtures];
      const { ids } = await this.#ask("POST", "/fixtures", { fixtures: list, position });
      return ids as readonly string[];
    },
    /** All of them, in the order in which they are looked at. */
    list: async (): Promise<readonly ListedFixture[]> => {
      const { fixtures } = await this.#ask("GET", "/fixtures");
      return fixtures as readonly ListedFixture[];
    },
    /** Puts another in the place of one that was added. */
    replace: async (id: string, fixture: Fixture): Promise<void> => {
      await this.#ask("PUT", `/fixtures/${encodeURIComponent(id)}`, fixture);
    },
    /** Takes one away that was added. */
    remove: async (id: string): Promise<void> => {
      await this.#ask("DELETE", `/fixtures/${encodeURIComponent(id)}`);
    },
  };

  /** The next request gets this answer, whatever it asks; several calls queue up. */
  async next(response: Answer, manner: Manner = {}): Promise<void> {
    await this.#ask("POST", "/next", { ...manner, response });
  }

  /** The last requests, the newest last. */
  async requests(filter: RequestFilter = {}): Promise<readonly JournalRequest[]> {
    const { requests } = await this.#ask("GET", `/requests${queryOf(filter)}`);
    return requests as readonly JournalRequest[];
  }

  /** All requests that are kept, the newest last. */
  async allRequests(filter: Omit<RequestFilter, "limit"> = {}): Promise<readonly JournalRequest[]> {
    const pages: (readonly JournalRequest[])[] = [];
    let next: string | null | undefined;
    do {
      const page = { ...filter, limit: PAGE, ...(next ? { before: next } : {}) };
      const told = await this.#ask("GET", `/requests${queryOf(page)}`);
      pages.unshift(told["requests"] as readonly JournalRequest[]);
      next = told["next"] as string | null;
    } while (next);
    return pages.flat();
  }

  /**
   * Waits until `count` requests fit, and gives them.
   *
   * @throws {WeirError} when they have not come within `timeoutMs` (at most 60 000).
   */
  async waitFor(
    filter: RequestFilter = {},
    { count = 1, timeoutMs = 5000 }: { readonly count?: number; readonly timeoutMs?: number } = {},
  ): Promise<readonly JournalRequest[]> {
    const query = queryOf({ ...filter, wait: count, timeout_ms: timeoutMs });
    const told = await this.#ask("GET", `/requests${query}`);
    if (told["timed_out"] !== true) return told["requests"] as readonly JournalRequest[];
    const what = `${told["count"]} of ${count} requests came within ${timeoutMs} ms`;
    throw new WeirError(`${what} that fit ${JSON.stringify(filter)}`, 408);
  }

  /**
   * Checks that as many requests have come as expected: one at least, unless `times` says otherwise.
   *
   * @throws {VerifyError} when it is not so, with the requests that come nearest.
   */
  async verify(filter: Omit<RequestFilter, "limit">, times?: Times): Promise<void> {
    const asked = times === undefined ? filter : { ...filter, times };
    const told = await this.#try("POST", "/verify", asked);
    if (told.status !== 417) return void bodyOf(told);
    const { count, times: wanted, nearest } = told.body as Verdict;
    throw new VerifyError(verdictText(filter, count, wanted, nearest), count);
  }

  /** Forgets what was added, counted and noted; a session forgets its own. */
  async reset(): Promise<void> {
    await this.#ask("POST", "/reset", {});
  }

  async #ask(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    return bodyOf(await this.#try(method, path, body));
  }

  #try(method: string, path: string, body?: unknown): Promise<Told> {
    return ask(method, `${this.url}/__weir${path}`, this.#admin, body);
  }
}

/** A client whose requests have fixtures, counters and a journal of their own. */
export class WeirSession extends WeirClient {
  readonly name: string;

  constructor(url: string, name: string, token?: string) {
    super(url, { token, session: name });
    this.name = name;
  }

  /** `fetch` with the session's header; a path such as "/v1/models" is one of weir's. */
  readonly fetch: typeof globalThis.fetch = ((input: string | Request, init: RequestInit = {}) => {
    const own = typeof input === "object" && "headers" in input ? input.headers : undefined;
    const headers = new Headers(init.headers ?? own);
    headers.set(SESSION_HEADER, this.name);
    const isPath = typeof input === "string" && input.startsWith("/");
    return globalThis.fetch(isPath ? `${this.url}${input}` : input, { ...init, headers });
  }) as typeof globalThis.fetch;
}

interface Near {
  readonly request: JournalRequest;
  readonly reasons: readonly string[];
}

interface Verdict {
  readonly count: number;
  readonly times: { readonly min: number; readonly max?: number };
  readonly nearest?: readonly Near[];
}

function verdictText(
  filter: RequestFilter,
  count: number,
  { min, max }: Verdict["times"],
  nearest: readonly Near[] = [],
): string {
  const wanted = max === undefined ? `${min} or more` : min === max ? `${min}` : `${min} to ${max}`;
  const near = nearest.map(({ request, reasons }) =>
    `\n  ${request.method} ${request.path} ${request.model}: ${reasons.join(", ")}`
  );
  return `${count} requests fit ${JSON.stringify(filter)}, and ${wanted} were expected` +
    (near.length === 0 ? "" : `. The nearest others:${near.join("")}`);
}

/** @throws {WeirError} when weir has refused. */
function bodyOf({ status, body }: Told): Record<string, unknown> {
  if (status >= 200 && status < 300) return Object(body) as Record<string, unknown>;
  const { message } = Object((Object(body) as Told & { error?: unknown }).error) as {
    readonly message?: unknown;
  };
  throw new WeirError(typeof message === "string" ? message : `weir answered ${status}`, status);
}

function queryOf(filter: object): string {
  const pairs = Object.entries(filter).flatMap(([key, value]) => {
    if (value === undefined) return [];
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    return [`${key}=${encodeURIComponent(text)}`];
  });
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}
