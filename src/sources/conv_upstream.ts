/**
 * The upstream of `/conv`: a proxy that speaks ChatGPT's own web API (facts/systems.md 003).
 *
 * @module
 */

import type { Wire } from "../core/answer.ts";
import { AppError, clientLeft } from "../core/errors.ts";
import type { Exchange, OpenStream } from "../core/exchange.ts";
import { Deadline } from "./deadline.ts";
import { sent } from "./transport.ts";
import { Upstream, type UpstreamDeps, type UpstreamOptions } from "./upstream.ts";
import { headersDown, HeadersUp } from "./upstream_headers.ts";

/** A conversation with its whole tree may be some MiB; more is no answer to this question. */
const JSON_BYTES_MAX = 64 * 1024 * 1024;

/** An answer that is read whole. */
export interface WholeAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** Asks the upstream of `/conv`. */
export class ConvUpstream {
  readonly #upstream: Upstream;
  readonly #options: UpstreamOptions;
  readonly #deps: UpstreamDeps;

  /** `accessToken` is the whole `Authorization` header, as it is sent; "" = none. */
  constructor(
    options: Omit<UpstreamOptions, "api_key" | "model_id" | "passes_client_key">,
    accessToken: string,
    deps: UpstreamDeps,
  ) {
    this.#options = {
      ...options,
      api_key: "",
      model_id: "",
      passes_client_key: false,
      headers: {
        ...options.headers,
        ...(accessToken === "" ? {} : { authorization: accessToken }),
      },
    };
    this.#deps = deps;
    this.#upstream = new Upstream(this.#options, deps);
  }

  /** Passes one request up and its answer down, byte for byte. */
  pass(wire: Wire, exchange: Exchange): Promise<Response> {
    return this.#upstream.pass(wire, exchange);
  }

  /**
   * Asks with GET and reads the answer whole.
   *
   * @throws {AppError} when there is none, or it is larger than any such answer.
   */
  async get(path: string, headers: Headers, exchange: Exchange): Promise<WholeAnswer> {
    const { headers_timeout_ms, idle_timeout_ms } = this.#options;
    const abort = new AbortController();
    const { signal } = exchange;
    const onLeave = () => abort.abort(clientLeft());
    if (signal.aborted) onLeave();
    signal.addEventListener("abort", onLeave, { once: true });
    const { wheel, streams } = exchange.engine;
    const deadline = new Deadline(wheel, abort);
    // Shutdown finds this request here.
    const waiting: OpenStream = { fail: (error) => abort.abort(error) };
    streams.add(waiting);
    const plain = new Headers(headers);
    plain.set("accept-encoding", "identity");
    const up = new HeadersUp({ apiKey: "", passesClientKey: false }, this.#options.headers);
    try {
      deadline.start("headers", headers_timeout_ms);
      const response = await sent(this.#deps.transport, {
        method: "GET",
        path,
        headers: up.of(plain),
        body: null,
        signal: abort.signal,
      });
      const pieces: Uint8Array[] = [];
      let bytes = 0;
      for (;;) {
        deadline.start("idle", idle_timeout_ms);
        const piece = await response.read();
        if (piece === null) break;
        bytes += piece.length;
        if (bytes > JSON_BYTES_MAX) {
          response.cancel();
          throw new AppError("upstream_broken", `The upstream sent over ${JSON_BYTES_MAX} bytes`);
        }
        pieces.push(piece);
      }
      return {
        status: response.status,
        headers: headersDown(response),
        body: new Uint8Array(Buffer.concat(pieces)),
      };
    } catch (error) {
      if (abort.signal.aborted) throw abort.signal.reason;
      if (error instanceof AppError) throw error;
      throw new AppError("upstream_broken", "The upstream broke its answer off", { cause: error });
    } finally {
      deadline.stop();
      streams.delete(waiting);
      signal.removeEventListener("abort", onLeave);
    }
  }
}
