/**
 * Which fields of an upstream's answer pass down to the client.
 *
 * @module
 */

import { Fields } from "../lib/http1/fields.ts";
import { HeaderBlock, READERS } from "../lib/http1/header_block.ts";
import { LineFilter } from "../lib/http1/line_filter.ts";

/** Hop-by-hop fields (RFC 9110 section 7.6.1): they belong to one connection. */
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

/** What an answer's head means for its way down. */
export interface HeadDown {
  /** For one response to be begun at once, which copies them: the next answer changes them. */
  readonly headers: HeaderBlock;
  readonly isPlainEventStream: boolean;
  /** The upstream's own `x-request-id`, or `request-id` as Anthropic says; null = it has none. */
  readonly requestId: string | null;
}

/** What others depend on: the fields that belong to the connection, and those of a stream. */
const DECIDING = new Set(["connection", "content-type", "content-encoding", READERS]);

/**
 * The fields that go down, for one answer after another. `X-Accel-*` would let an upstream steer
 * nginx, cookies belong to the upstream's own host, and lengths are those of the new connection.
 */
export class HeadersDown {
  /** Fields whose names begin with it stay behind; "" = none for that. */
  readonly #except: string;
  readonly #filter = new LineFilter(DECIDING, (fields) => {
    const hops = namedHops(fields.get("connection"));
    const passes = (name: string) =>
      !NOT_DOWN.has(name) && !hops.has(name) && !name.startsWith("x-accel-") && name !== READERS &&
      (this.#except === "" || !name.startsWith(this.#except));
    const has = (name: string) => fields.has(name) && passes(name);
    // Pages of other origins may read it, unless the upstream says which.
    const readers = Fields.of([[READERS, hops.has(READERS) ? "*" : fields.get(READERS) ?? "*"]]);
    const added = Fields.of([
      // nginx passes each event on at once.
      ...(isEventStream(fields) ? [["x-accel-buffering", "no"] as const] : []),
      ...readers,
    ]);
    return {
      passes,
      added,
      meaning: {
        readersBytes: readers.bytes.length,
        hasDate: has("date"),
        requestIdName: ["x-request-id", "request-id"].find(has),
        isPlainEventStream: isPlainEventStream(fields),
      },
    };
  });

  /** The head that was looked at last: a tape's is the same for each request. */
  #last: { readonly fields: Fields; readonly down: HeadDown } | undefined;

  constructor(except = "") {
    this.#except = except;
  }

  of(upstream: Fields): HeadDown {
    if (this.#last?.fields === upstream) return this.#last.down;
    const down = this.#downOf(upstream);
    this.#last = { fields: upstream, down };
    return down;
  }

  #downOf(upstream: Fields): HeadDown {
    const { fields: { bytes, to }, meaning } = this.#filter.of(upstream);
    const { hasDate, requestIdName, isPlainEventStream, readersBytes } = meaning;
    const requestId = requestIdName === undefined ? null : upstream.get(requestIdName);
    const headers = HeaderBlock.ofLines(bytes, to, hasDate, readersBytes);
    return { headers, isPlainEventStream, requestId };
  }
}

/** True when the body is a stream of SSE events whose bytes can be read: not compressed. */
export function isPlainEventStream(fields: Pick<Fields, "get">): boolean {
  const encoding = fields.get("content-encoding");
  return isEventStream(fields) && (encoding === null || encoding.toLowerCase() === "identity");
}

function isEventStream(fields: Pick<Fields, "get">): boolean {
  return /^text\/event-stream\b/i.test(fields.get("content-type") ?? "");
}

const NO_NAMES: ReadonlySet<string> = new Set();

/** What `Connection` names is hop-by-hop too. */
export function namedHops(connection: string | null): ReadonlySet<string> {
  if (connection === null || connection === "keep-alive" || connection === "close") return NO_NAMES;
  return new Set(connection.split(",").map((name) => name.trim().toLowerCase()));
}
