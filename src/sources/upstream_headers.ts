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
const NOT_UP = [...HOP_BY_HOP, "host", "content-length", "expect", "authorization"];

/** What weir says of itself in `Via` (RFC 9110 section 7.6.3). */
export const VIA = "1.1 weir";

/** Credentials for the upstream: weir's own key, else what may pass of the client's. */
export interface Credentials {
  /** The configured key; "" = none. */
  readonly apiKey: string;
  /** True: without a key of its own, the client's `Authorization` is passed on. */
  readonly passesClientKey: boolean;
}

/** The client's headers as the upstream gets them. */
export function headersUp(
  client: Headers,
  credentials: Credentials,
  added: Readonly<Record<string, string>>,
): Headers {
  const headers = withoutHops(client, NOT_UP);
  if (!headers.has("accept-encoding")) headers.set("accept-encoding", "identity");
  const via = client.get("via");
  headers.set("via", via === null ? VIA : `${via}, ${VIA}`);
  const authorization = client.get("authorization");
  if (credentials.apiKey !== "") {
    headers.set("authorization", `Bearer ${credentials.apiKey}`);
  } else if (credentials.passesClientKey && authorization !== null) {
    headers.set("authorization", authorization);
  }
  for (const [name, value] of Object.entries(added)) headers.set(name, value);
  return headers;
}

/**
 * The upstream's headers as the client gets them. `X-Accel-*` would let an upstream steer nginx,
 * cookies belong to the upstream's own host, and lengths are those of the new connection.
 */
export function headersDown(upstream: Headers): Headers {
  const headers = withoutHops(upstream, [...HOP_BY_HOP, "set-cookie", "content-length"]);
  for (const name of [...headers.keys()]) {
    if (name.startsWith("x-accel-")) headers.delete(name);
  }
  if (!headers.has("access-control-allow-origin")) headers.set("access-control-allow-origin", "*");
  if (isEventStream(upstream)) headers.set("x-accel-buffering", "no");
  return headers;
}

/** True when the body is a stream of SSE events whose bytes can be read: not compressed. */
export function isPlainEventStream(headers: Headers): boolean {
  const encoding = headers.get("content-encoding");
  return isEventStream(headers) && (encoding === null || encoding.toLowerCase() === "identity");
}

/** True when the request has passed a weir before: proxying it would go in circles. */
export function hasPassedWeir(client: Headers): boolean {
  const via = client.get("via");
  return via !== null && via.split(",").some((hop) => /^\s*\S+\s+weir\b/i.test(hop));
}

function isEventStream(headers: Headers): boolean {
  return /^text\/event-stream\b/i.test(headers.get("content-type") ?? "");
}

function withoutHops(from: Headers, dropped: readonly string[]): Headers {
  const headers = new Headers(from);
  // What Connection names is hop-by-hop too.
  for (const name of (from.get("connection") ?? "").split(",")) {
    if (/^[\w!#$%&'*+.^`|~-]+$/.test(name.trim())) headers.delete(name.trim());
  }
  for (const name of dropped) headers.delete(name);
  return headers;
}
