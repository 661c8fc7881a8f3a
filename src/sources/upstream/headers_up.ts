/**
 * Which headers of a client's request pass up to the upstream.
 *
 * @module
 */

import type { Field } from "../../core/answer.ts";
import { HOP_BY_HOP, namedHops } from "../../core/relay_headers.ts";
import { HeaderLines } from "../../lib/http1/header_lines.ts";

/** What weir sets anew for the upstream, or must never show it. */
const NOT_UP = new Set([...HOP_BY_HOP, "host", "content-length", "expect"]);

/** What weir says of itself in `Via` (RFC 9110 section 7.6.3). */
export const VIA = "1.1 weir";

/** Credentials for the upstream: weir's own key, else what may pass of the client's. */
export interface Credentials {
  /** The configured key; "" = none. */
  readonly apiKey: string;
  /** True: without a key of its own, the client's `Authorization` is passed on. */
  readonly passesClientKey: boolean;
}

/** What becomes of a client's header. */
type Way = "passed" | "dropped" | "via" | "accept-encoding" | "authorization";

/** Makes the headers that the upstream gets of those the client sent. */
export class HeadersUp {
  readonly #own: readonly Field[];
  readonly #authorization: string;
  readonly #passesClientKey: boolean;
  /** By name, in lower case; what is not in it is passed. */
  readonly #ways: ReadonlyMap<string, Way>;
  readonly #adds: ReadonlySet<Way>;

  /** `added` replaces what the client sent under those names. */
  constructor({ apiKey, passesClientKey }: Credentials, added: Readonly<Record<string, string>>) {
    this.#own = Object.entries(added);
    this.#authorization = apiKey === "" ? "" : `Bearer ${apiKey}`;
    this.#passesClientKey = apiKey === "" && passesClientKey;
    const replaced = this.#own.map(([name]) => name.toLowerCase());
    const said: readonly Way[] = ["via", "accept-encoding", "authorization"];
    this.#ways = new Map<string, Way>([
      ...said.map((name): [string, Way] => [name, name]),
      ...[...NOT_UP, ...replaced].map((name): [string, Way] => [name, "dropped"]),
    ]);
    this.#adds = new Set(said.filter((name) => !replaced.includes(name)));
  }

  of(client: Headers): HeaderLines {
    const hops = namedHops(client.get("connection"));
    const lines = new HeaderLines();
    let via = VIA;
    let encoding = "identity";
    let authorization = this.#authorization;
    // As an object: to iterate takes longer, and makes a list for each header.
    const sent: Readonly<Record<string, string | readonly string[]>> = client.toJSON();
    for (const name in sent) {
      const value = sent[name]!;
      const way = this.#ways.get(name) ?? "passed";
      if (way === "dropped" || hops.has(name)) continue;
      if (typeof value !== "string") { for (const one of value) lines.add(name, one); }
      else if (way === "passed") lines.add(name, value);
      else if (way === "via") via = `${value}, ${VIA}`;
      else if (way === "accept-encoding") encoding = value;
      else if (this.#passesClientKey) authorization = value;
    }
    if (this.#adds.has("accept-encoding")) lines.add("accept-encoding", encoding);
    if (this.#adds.has("via")) lines.add("via", via);
    if (authorization !== "" && this.#adds.has("authorization")) {
      lines.add("authorization", authorization);
    }
    for (const [name, value] of this.#own) lines.add(name, value);
    return lines;
  }
}

/** True when the request has passed a weir before: proxying it would go in circles. */
export function hasPassedWeir(client: Headers): boolean {
  const via = client.get("via");
  return via !== null && via.split(",").some((hop) => /^\s*\S+\s+weir\b/i.test(hop));
}
