/**
 * The upstream: a real OpenAI-compatible server behind weir. A client that speaks its dialect gets
 * its bytes untouched (`pass`); every other surface gets its answer step by step (`answer`).
 *
 * @module
 */

import type OpenAI from "openai";
import type { Answer, Source, Turn, Wire } from "../core/answer.ts";
import { AppError } from "../core/errors.ts";
import type { Exchange } from "../core/exchange.ts";
import { UpstreamCall } from "../core/upstream_call.ts";
import type { Wheel } from "../lib/wheel.ts";
import { LeaveLine } from "./leave_watch.ts";
import { Passage, type Route } from "./passage.ts";
import type { FetchLike, Transport } from "./transport.ts";
import { hasPassedWeir, HeadersDown, HeadersUp } from "./upstream_headers.ts";
import { liveSteps, openaiClient } from "./upstream_live.ts";

/** Where the upstream is and how patient weir is with it; from the `llm` section of the config. */
export interface UpstreamOptions {
  /** Without a trailing slash: "https://api.openai.com/v1". */
  readonly base_url: string;
  readonly api_key: string;
  /** The model when a request names none; "" = none. */
  readonly model_id: string;
  readonly headers_timeout_ms: number;
  readonly first_token_timeout_ms: number;
  readonly idle_timeout_ms: number;
  /** How often a call is tried again before its first byte. */
  readonly retries: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly on_disconnect: "cancel" | "drain";
  /** True: without `api_key`, the client's `Authorization` goes up (only on `/v1/*`). */
  readonly passes_client_key: boolean;
}

/** What an upstream needs besides its options. Time and chance are arguments. */
export interface UpstreamDeps {
  readonly transport: Transport;
  /** The `fetch` of the official client: `llm.proxy` and `llm.ca_file` are in it. */
  readonly fetch: FetchLike;
  readonly random: () => number;
  readonly wallMs: () => number;
}

/** Answers by asking a real server. */
export class Upstream implements Source {
  readonly name = "proxy";
  readonly #options: UpstreamOptions;
  readonly #deps: UpstreamDeps;
  readonly #client: OpenAI;
  /** Host and port, for whoever reads about a call. */
  readonly #host: string;
  /** Made with the first request: it needs the engine's wheel. */
  #route: Route | undefined = undefined;

  constructor(options: UpstreamOptions, deps: UpstreamDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#client = openaiClient(options, deps);
    this.#host = hostOf(options.base_url);
  }

  answer(turn: Turn, exchange: Exchange): Answer {
    const model = turn.model || this.#options.model_id;
    const call = new UpstreamCall(exchange, this.#host);
    const steps = liveSteps({ ...turn, model }, call, this.#client, this.#deps, this.#options);
    return { kind: "live", steps, model };
  }

  pass(wire: Wire, exchange: Exchange): Promise<Response> {
    if (hasPassedWeir(wire.headers)) {
      return Promise.reject(
        new AppError(
          "loop_detected",
          "This request has already passed a weir: its upstream in the config is weir itself",
        ),
      );
    }
    const route = this.#route ??= this.#makeRoute(exchange.engine.wheel);
    return new Passage(route, wire, exchange).run();
  }

  #makeRoute(wheel: Wheel): Route {
    const { api_key, passes_client_key, headers } = this.#options;
    const credentials = { apiKey: api_key, passesClientKey: passes_client_key };
    const untraced = new HeadersUp(credentials, headers);
    return {
      ...this.#options,
      ...this.#deps,
      host: this.#host,
      headersUp: (trace) =>
        trace === undefined ? untraced : new HeadersUp(credentials, { ...trace, ...headers }),
      headersDown: new HeadersDown(),
      leaveLine: new LeaveLine(wheel),
    };
  }
}

/** Host and port of `url`, with the port that its protocol stands for. */
function hostOf(url: string): string {
  const { protocol, hostname, port } = new URL(url);
  return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}
