/**
 * The keys that weir itself shows to upstreams, and whether somebody watches who spends them.
 *
 * @module
 */

import { isLoopback } from "../lib/host.ts";
import { basicOf } from "../lib/userinfo.ts";
import { isKeyHeader } from "./private_headers.ts";
import type { Config, UpstreamEntry } from "./schema.ts";

/** Which secret lets clients in to what spends a key: `auth.token`, or that or `auth.secret_key`. */
export type Door = "bearer" | "token";

/** A key of weir's own. */
export interface OwnKey {
  /** The setting that holds it. */
  readonly path: string;
  readonly door: Door;
}

/** What can be a key in an upstream's settings. */
type Keyed = Pick<
  UpstreamEntry,
  "base_url" | "api_key" | "api_key_file" | "api_keys" | "api_keys_file" | "headers"
>;

/** Which of its settings holds a key for the upstream `entry`; undefined = clients show their own. */
export function ownKeyOf(entry: Keyed): keyof Keyed | undefined {
  if (entry.api_key_file !== "") return "api_key_file";
  if (entry.api_key !== "") return "api_key";
  if (entry.api_keys_file !== "") return "api_keys_file";
  if (entry.api_keys.length > 0) return "api_keys";
  if (Object.keys(entry.headers).some(isKeyHeader)) return "headers";
  return basicOf(entry.base_url) !== "" ? "base_url" : undefined;
}

/** The keys of weir's own that a request can reach. */
export function ownKeys(config: Config): readonly OwnKey[] {
  const { llm, chat, conv, upstreams, routes } = config;
  const isMock = chat.source === "mock";
  const isRouted = (name: string) => routes.some(({ to }) => to.includes(name));
  const found: OwnKey[] = [];
  const add = (path: string, door: Door) => found.push({ path, door });
  // A key alone is for OpenAI's own API, which /api/chat then asks.
  if (!isMock || isRouted("llm")) {
    const key = upstreams.some(({ name }) => name === "llm") ? undefined : ownKeyOf(llm);
    if (key !== undefined && (llm.base_url !== "" || key.startsWith("api_key"))) {
      add(`llm.${key}`, "bearer");
    }
  }
  for (const [i, entry] of upstreams.entries()) {
    const key = ownKeyOf(entry);
    if (key === undefined) continue;
    if (isRouted(entry.name) || (entry.name === "llm" && !isMock)) {
      add(`upstreams.${i}.${key}`, "bearer");
    }
  }
  if (!isMock && chat.api_key !== "") add("chat.api_key", "token");
  if (!isMock && basicOf(chat.api_proxy) !== "") add("chat.api_proxy", "token");
  if (conv.unofficial_proxy !== "" && conv.access_token !== "") add("conv.access_token", "token");
  if (basicOf(conv.unofficial_proxy) !== "") add("conv.unofficial_proxy", "token");
  return found;
}

/** Must clients show a secret at `door`? */
export function isLocked({ auth, keys, store }: Config, door: Door): boolean {
  const hasKey = auth.token !== "" || auth.token_file !== "" || auth.tokens.length > 0 ||
    keys.length > 0 || store.keys === "on";
  return hasKey || (door === "token" && auth.secret_key !== "");
}

/**
 * Why nobody should start `config`: strangers reach weir, and may spend a key of its own. `isSite`:
 * a proxy passes on what the public asks, wherever weir itself listens. undefined = it may start.
 */
export function openRelay(config: Config, isSite: boolean): string | undefined {
  const { server, auth } = config;
  const isHere = server.unix !== "" || isLoopback(server.host.toLowerCase());
  const reached = !isHere
    ? `server.host is ${server.host}`
    : isSite
    ? "nginx passes on what the public asks"
    : server.trusted_proxies.length > 0
    ? "server.trusted_proxies names a proxy in front"
    : undefined;
  if (auth.open || reached === undefined) return undefined;
  const open = ownKeys(config).find(({ door }) => !isLocked(config, door));
  if (open === undefined) return undefined;
  const secret = open.door === "bearer" ? "auth.token" : "auth.token or auth.secret_key";
  return `${secret} must be set while ${reached} and weir has a key of its own (${open.path}), ` +
    "which whoever reaches weir could spend. If that is meant, set auth.open: true";
}
