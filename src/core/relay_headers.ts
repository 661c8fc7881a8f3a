/**
 * Which headers of an upstream's answer pass down to the client.
 *
 * @module
 */

import type { Field, Relay } from "./answer.ts";

/** Hop-by-hop headers (RFC 9110 section 7.6.1): they belong to one connection. */
export const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** What an upstream says of its own connection, its own host, and its own lengths. */
const NOT_DOWN = new Set([...HOP_BY_HOP, "set-cookie", "content-length"]);

const NO_NAMES: ReadonlySet<string> = new Set();

/** Headers of an answer, wherever they come from. */
export type HeaderSource = Pick<Relay, "fields" | "header">;

/**
 * The upstream's headers as the client gets them. `X-Accel-*` would let an upstream steer nginx,
 * cookies belong to the upstream's own host, and lengths are those of the new connection.
 */
export function headersDown(upstream: HeaderSource): Headers {
  const hops = namedHops(upstream.header("connection"));
  const headers = new Headers();
  for (const [name, value] of upstream.fields) {
    if (passesDown(name.toLowerCase(), hops)) headers.append(name, value);
  }
  if (!headers.has("access-control-allow-origin")) headers.set("access-control-allow-origin", "*");
  if (isEventStream(upstream)) headers.set("x-accel-buffering", "no");
  return headers;
}

function passesDown(name: string, hops: ReadonlySet<string>): boolean {
  return !NOT_DOWN.has(name) && !hops.has(name) && !name.startsWith("x-accel-");
}

/** What an answer's head means for its way down. */
export interface HeadDown {
  /** For one `Response` to be made at once, which copies them: the next answer changes them. */
  readonly headers: Headers;
  readonly isPlainEventStream: boolean;
  /** The upstream's own `x-request-id`; null = it has none. */
  readonly requestId: string | null;
}

/** What a change of a field's value changes. */
type Role = "passes" | "dropped" | "decides" | "request_id";

/** What others depend on: the fields that belong to the connection, and those of a stream. */
const DECIDING = new Set(["connection", "content-type", "content-encoding"]);

/**
 * `headersDown` for one answer after another. An upstream says the same fields in the same order
 * nearly always, and few of them change: those are set in the `Headers` of the answer before, which
 * takes a third of the time that new ones take.
 */
export class HeadersDown {
  #fields: readonly Field[] = [];
  #roles: readonly Role[] = [];
  #headers = new Headers();
  #isPlainEventStream = false;
  #requestId: string | null = null;

  of(upstream: HeaderSource): HeadDown {
    const fields = [...upstream.fields];
    if (!this.#follows(fields)) this.#keep(upstream, fields);
    return {
      headers: this.#headers,
      isPlainEventStream: this.#isPlainEventStream,
      requestId: this.#requestId,
    };
  }

  /** Takes over what has changed; false = it is more than values. */
  #follows(fields: readonly Field[]): boolean {
    const before = this.#fields;
    this.#fields = []; // should a value be refused, nothing of this answer may stay
    if (fields.length !== before.length || fields.length === 0) return false;
    for (let i = 0; i < fields.length; i++) {
      const [name, value] = fields[i]!;
      const [nameBefore, valueBefore] = before[i]!;
      if (name !== nameBefore) return false;
      if (value === valueBefore) continue;
      const role = this.#roles[i];
      if (role === "decides") return false;
      if (role === "request_id") this.#requestId = value;
      if (role !== "dropped") this.#headers.set(name, value);
    }
    this.#fields = fields;
    return true;
  }

  #keep(upstream: HeaderSource, fields: readonly Field[]): void {
    this.#headers = headersDown(upstream);
    this.#isPlainEventStream = isPlainEventStream(upstream);
    this.#requestId = upstream.header("x-request-id");
    const names = fields.map(([name]) => name.toLowerCase());
    if (new Set(names).size < names.length) return; // one that is repeated cannot be set
    const hops = namedHops(upstream.header("connection"));
    this.#roles = names.map((name) => {
      if (DECIDING.has(name)) return "decides";
      if (!passesDown(name, hops)) return "dropped";
      return name === "x-request-id" ? "request_id" : "passes";
    });
    this.#fields = fields;
  }
}

/** True when the body is a stream of SSE events whose bytes can be read: not compressed. */
export function isPlainEventStream(upstream: HeaderSource): boolean {
  const encoding = upstream.header("content-encoding");
  return isEventStream(upstream) && (encoding === null || encoding.toLowerCase() === "identity");
}

function isEventStream(upstream: HeaderSource): boolean {
  return /^text\/event-stream\b/i.test(upstream.header("content-type") ?? "");
}

/** What `Connection` names is hop-by-hop too. */
export function namedHops(connection: string | null): ReadonlySet<string> {
  if (connection === null || connection === "keep-alive" || connection === "close") return NO_NAMES;
  return new Set(connection.split(",").map((name) => name.trim().toLowerCase()));
}
