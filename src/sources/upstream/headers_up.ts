/**
 * Which headers of a client's request pass up to the upstream.
 *
 * @module
 */

import { isPrivateHeader } from "../../config/private_headers.ts";
import { HOP_BY_HOP, namedHops } from "../../core/relay_headers.ts";
import { type Field, Fields } from "../../lib/http1/fields.ts";
import { LineFilter } from "../../lib/http1/line_filter.ts";

/** What weir sets anew for the upstream, or must never show it. */
const NOT_UP = new Set([
  ...HOP_BY_HOP,
  "host",
  "content-length",
  "expect",
  "http2-settings",
]);

/** What says how the body is to be read, and its answer to be written. */
const OF_MESSAGE = new Set(["accept", "anthropic-version", "content-encoding", "content-type"]);
/** Where clients send their keys: OpenAI's, Azure's, Anthropic's and Google's way. */
const KEYS = new Set(["authorization", "api-key", "x-api-key", "x-goog-api-key"]);

/** What weir says of itself in `Via` (RFC 9110 section 7.6.3). */
export const VIA = "1.1 weir";

/** Credentials for the upstream: weir's own key, else what may pass of the client's. */
export interface Credentials {
  /** The configured key; "" = none. */
  readonly apiKey: string;
  /** True: without a key of weir's own, the client's `Authorization` is passed on. */
  readonly passesClientKey: boolean;
  /** True: what tells of the client itself is passed on, as go-gpt-server does. */
  readonly passesClient: boolean;
  /** The only fields of the client's that are passed on, in lower case; none = there is no such list. */
  readonly names: readonly string[];
  /** True: the upstream speaks Anthropic's dialect and no other. */
  readonly isAnthropic: boolean;
  /** Where the key goes; absent = auto: as the upstream's dialect has it. */
  readonly keyHeader?: KeyHeader | undefined;
}

/** Where the key goes. */
export type KeyHeader = "auto" | "authorization" | "x-api-key" | "api-key";

/** What an upstream of Anthropic's dialect must be told, when the client has not. */
const ANTHROPIC_VERSION = ["anthropic-version", "2023-06-01"] as const;

/** What others depend on. */
const DECIDING = new Set(["connection", "via"]);

/** Makes the fields that the upstream gets of those the client sent. */
export class HeadersUp {
  readonly #filter: LineFilter<undefined>;

  /**
   * `added` replaces what the client sent under those names; what belongs to the connection is left
   * out.
   */
  constructor(
    { apiKey, passesClientKey, passesClient, names, isAnthropic, keyHeader }: Credentials,
    added: Readonly<Record<string, string>>,
  ) {
    const own = Object.entries(added).filter(([name]) => !NOT_UP.has(name.toLowerCase()));
    const owned = new Set(own.map(([name]) => name.toLowerCase()));
    const passesKey = apiKey === "" && passesClientKey && KEYS.isDisjointFrom(owned);
    const listed = new Set([...names, ...OF_MESSAGE]);
    const isWanted = (name: string) => names.length === 0 || listed.has(name);
    this.#filter = new LineFilter(DECIDING, (client) => {
      const hops = namedHops(client.get("connection"));
      const via = client.get("via");
      const fields: readonly Field[] = [
        ...(client.has("accept-encoding") && !hops.has("accept-encoding") &&
            isWanted("accept-encoding")
          ? []
          : [["accept-encoding", "identity"] as const]),
        ["via", via === null || hops.has("via") ? VIA : `${via}, ${VIA}`],
        ...(isAnthropic && !client.has("anthropic-version") ? [ANTHROPIC_VERSION] : []),
        ...(keyHeader === undefined || keyHeader === "auto"
          ? keyFields(apiKey, isAnthropic, client)
          : keyField(apiKey, keyHeader)),
      ];
      return {
        passes: (name) =>
          !NOT_UP.has(name) && !hops.has(name) && !owned.has(name) && name !== "via" &&
          isWanted(name) && !name.startsWith("x-weir-") && (passesKey || !KEYS.has(name)) &&
          (passesClient || !isPrivateHeader(name)),
        added: Fields.of([...fields.filter(([name]) => !owned.has(name)), ...own]),
        meaning: undefined,
      };
    });
  }

  /** In bytes that the next call writes over. */
  of(client: Fields): Fields {
    return this.#filter.of(client).fields;
  }
}

/**
 * Weir's own key. Clients of Anthropic's dialect send theirs in a field of its own; gateways that
 * speak several dialects want a bearer's token in any.
 */
function keyFields(apiKey: string, isAnthropic: boolean, client: Fields): readonly Field[] {
  if (apiKey === "") return [];
  const own = isAnthropic || client.has("anthropic-version");
  return [
    ...(own ? [["x-api-key", apiKey] as const] : []),
    ...(isAnthropic ? [] : [["authorization", `Bearer ${apiKey}`] as const]),
  ];
}

function keyField(apiKey: string, name: Exclude<KeyHeader, "auto">): readonly Field[] {
  if (apiKey === "") return [];
  return [[name, name === "authorization" ? `Bearer ${apiKey}` : apiKey]];
}

/** The head that was looked at last: one that comes again is the same. */
let lastLook: { readonly client: Pick<Fields, "get">; readonly hasPassed: boolean } | undefined;

/** True when the request has passed a weir before: proxying it would go in circles. */
export function hasPassedWeir(client: Pick<Fields, "get">): boolean {
  if (lastLook?.client === client) return lastLook.hasPassed;
  const via = client.get("via");
  const hasPassed = via !== null && via.split(",").some((hop) => /^\s*\S+\s+weir\b/i.test(hop));
  lastLook = { client, hasPassed };
  return hasPassed;
}
