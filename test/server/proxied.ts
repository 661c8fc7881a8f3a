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
import { surroundings } from "./surroundings.ts";

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

/** Starts both. `set` adds settings; retries are off unless given. */
export async function proxied(
  options: LaunchOptions = {},
  upstreamOptions: ScriptedUpstreamOptions = {},
): Promise<Proxied> {
  let script: Script = () => whole(EVENT, DONE);
  const upstream = scriptedUpstream((request) => script(request), upstreamOptions);
  const weir = await launch({
    ...options,
    env: { ...surroundings(), ...options.env },
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
