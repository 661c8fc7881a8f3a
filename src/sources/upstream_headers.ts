/**
 * Which headers pass the proxy, both ways.
 *
 * @module
 */

/** Hop-by-hop headers (RFC 9110 section 7.6.1): they belong to one connection. */
const HOP_BY_HOP = [
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

/** What weir sets anew for the upstream, or must never show it. */
const NOT_UP = new Set([...HOP_BY_HOP, "host", "content-length", "expect"]);

/** What an upstream says of its own connection, its own host, and its own lengths. */
const NOT_DOWN = new Set([...HOP_BY_HOP, "set-cookie", "content-length"]);

const NO_NAMES: ReadonlySet<string> = new Set();

/** What weir says of itself in `Via` (RFC 9110 section 7.6.3). */
export const VIA = "1.1 weir";

/** Headers of a response, wherever they come from. */
export interface HeaderSource {
  readonly fields: Iterable<Field>;
  /** The value of `name` (in lower case), repeated ones joined; null = there is none. */
  header(name: string): string | null;
}

/** Credentials for the upstream: weir's own key, else what may pass of the client's. */
export interface Credentials {
  /** The configured key; "" = none. */
  readonly apiKey: string;
  /** True: without a key of its own, the client's `Authorization` is passed on. */
  readonly passesClientKey: boolean;
}

/** A header as a transport sends and gives it. */
export type Field = readonly [name: string, value: string];

/**
 * The client's headers as the upstream gets them. A list and not `Headers`, both here and on the way
 * down: making, copying and reading those again costs a proxied answer a tenth of its time.
 */
export function headersUp(
  client: Headers,
  credentials: Credentials,
  added: Readonly<Record<string, string>>,
): Field[] {
  const own = Object.entries(added);
  const replaced = own.length === 0 ? NO_NAMES : new Set(own.map(([name]) => name.toLowerCase()));
  const hops = namedHops(client.get("connection"));
  const fields: Field[] = [];
  let via = VIA;
  let encoding = "identity";
  let authorization = "";
  for (const [name, value] of client) {
    if (NOT_UP.has(name) || hops.has(name) || replaced.has(name)) continue;
    if (name === "via") via = `${value}, ${VIA}`;
    else if (name === "accept-encoding") encoding = value;
    else if (name === "authorization") authorization = value;
    else fields.push([name, value]);
  }
  if (credentials.apiKey !== "") authorization = `Bearer ${credentials.apiKey}`;
  else if (!credentials.passesClientKey) authorization = "";
  if (!replaced.has("accept-encoding")) fields.push(["accept-encoding", encoding]);
  if (!replaced.has("via")) fields.push(["via", via]);
  if (authorization !== "" && !replaced.has("authorization")) {
    fields.push(["authorization", authorization]);
  }
  fields.push(...own);
  return fields;
}

/**
 * The upstream's headers as the client gets them. `X-Accel-*` would let an upstream steer nginx,
 * cookies belong to the upstream's own host, and lengths are those of the new connection.
 */
export function headersDown(upstream: HeaderSource): Headers {
  const hops = namedHops(upstream.header("connection"));
  const headers = new Headers();
  for (const [name, value] of upstream.fields) {
    const lower = name.toLowerCase();
    if (NOT_DOWN.has(lower) || hops.has(lower) || lower.startsWith("x-accel-")) continue;
    headers.append(name, value);
  }
  if (!headers.has("access-control-allow-origin")) headers.set("access-control-allow-origin", "*");
  if (isEventStream(upstream)) headers.set("x-accel-buffering", "no");
  return headers;
}

/** True when the body is a stream of SSE events whose bytes can be read: not compressed. */
export function isPlainEventStream(upstream: HeaderSource): boolean {
  const encoding = upstream.header("content-encoding");
  return isEventStream(upstream) && (encoding === null || encoding.toLowerCase() === "identity");
}

/** True when the request has passed a weir before: proxying it would go in circles. */
export function hasPassedWeir(client: Headers): boolean {
  const via = client.get("via");
  return via !== null && via.split(",").some((hop) => /^\s*\S+\s+weir\b/i.test(hop));
}

function isEventStream(upstream: HeaderSource): boolean {
  return /^text\/event-stream\b/i.test(upstream.header("content-type") ?? "");
}

/** What `Connection` names is hop-by-hop too. */
function namedHops(connection: string | null): ReadonlySet<string> {
  if (connection === null) return NO_NAMES;
  return new Set(connection.split(",").map((name) => name.trim().toLowerCase()));
}
