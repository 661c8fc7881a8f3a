/**
 * A weir in front of a scripted upstream, and the requests that tests send through it.
 *
 * @module
 */

import { launch, type LaunchOptions, type Weir } from "./launch.ts";
import { connect, parseRaw, rawChat, type RawResponse } from "./raw_client.ts";
import {
  type Act,
  act,
  chunk,
  LAST_CHUNK,
  type Script,
  type ScriptedUpstream,
  scriptedUpstream,
  type ScriptedUpstreamOptions,
  sseHead,
} from "./scripted_upstream.ts";

/** A weir and its upstream. */
export interface Proxied {
  readonly weir: Weir;
  readonly upstream: ScriptedUpstream;
  /** What the upstream plays from now on. */
  play: (script: Script) => void;
  /** Sends one chat request and reads until weir closes the connection. */
  readonly chat: (body?: string | Uint8Array, fields?: readonly string[]) => Promise<RawResponse>;
  readonly stop: () => Promise<void>;
}

/** What stands around the upstream of each weir of a file. */
let around: { readonly to: readonly string[]; readonly env: Readonly<Record<string, string>> } = {
  to: [],
  env: {},
};

/**
 * Puts everything that a route may have around the upstream of every weir from now on: what holds for
 * one upstream holds behind wrappers, too. `to`: its targets, of which `llm` is the upstream and `away`
 * one that is not there.
 */
export function surround(to: readonly string[]): void {
  const env = {
    WEIR_UPSTREAMS: JSON.stringify([
      { name: "away", base_url: "http://127.0.0.1:1/v1", retries: 0, breaker_share: 0 },
    ]),
    WEIR_ROUTES: JSON.stringify([
      {
        ...{ name: "all", to, usage: "count" },
        ...{ rename: { "none*": "other" }, params_max: { max_tokens: 1_000_000 } },
      },
    ]),
    WEIR_STORE_USAGE: "on",
    WEIR_LLM_CONCURRENCY_MAX: "10000",
    WEIR_LLM_BREAKER_MIN: "1000000", // tests fail on purpose, one after the other
  };
  around = { to, env };
}

/** True: something is put around the upstream. */
export function isSurrounded(): boolean {
  return around.to.length > 0;
}

/** True: where the upstream fails, another one is asked. */
export function hasOthers(): boolean {
  return isSurrounded() && around.to.at(-1) !== "llm";
}

/** Starts both. `set` adds settings; retries are off unless given. */
export async function proxied(
  options: LaunchOptions = {},
  upstreamOptions: ScriptedUpstreamOptions = {},
): Promise<Proxied> {
  let script: Script = () => whole(EVENT, DONE);
  const upstream = scriptedUpstream((request) => script(request), upstreamOptions);
  const weir = await launch({
    ...options,
    env: { ...around.env, ...options.env },
    set: {
      "llm.base_url": `${upstream.url}/v1`,
      "llm.retries": 0,
      "server.keepalive_ms": 0,
      ...options.set,
    },
  });
  return {
    weir,
    upstream,
    play(next) {
      script = next;
    },
    async chat(body = CHAT, fields = []) {
      const client = await connect(weir.port, rawChat(body, ["Connection: close", ...fields]));
      return parseRaw(await client.closed);
    },
    async stop() {
      await weir.stop();
      upstream.close();
    },
  };
}

/** A streamed chat request as a client writes it. */
export const CHAT =
  '{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"你好 🌊"}]}';

/** One chunk of an answer. */
export const EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"水 🌊"}}]}\n\n';
/** The end mark. */
export const DONE = "data: [DONE]\n\n";

/** A whole SSE answer, one HTTP chunk per text. */
export function whole(...texts: readonly (string | Uint8Array)[]): Act[] {
  return [act.send(sseHead()), ...texts.map((text) => act.send(chunk(text))), act.send(LAST_CHUNK)];
}

/** A promise that the test settles. */
export interface Gate {
  readonly opened: Promise<void>;
  readonly open: () => void;
}

/** Makes a closed gate. */
export function gate(): Gate {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}
