/**
 * The upstream: a real OpenAI-compatible server behind weir. A client that speaks its dialect gets
 * its bytes untouched (`relay`); every other surface gets its answer step by step (`live`).
 *
 * @module
 */

import type OpenAI from "openai";
import type { Answer, Source, Turn, Wire } from "../core/answer.ts";
import { AppError, clientLeft } from "../core/errors.ts";
import type { Exchange } from "../core/exchange.ts";
import { UpstreamCall } from "../core/upstream_call.ts";
import { backoffMs, retryAfterMs } from "../lib/backoff.ts";
import { Abort } from "../lib/abort.ts";
import type { Wheel } from "../lib/wheel.ts";
import { Deadline } from "./deadline.ts";
import { LeaveLine, LeaveWatch } from "./leave_watch.ts";
import { relay } from "./relay.ts";
import type { FetchLike, Transport, TransportResponse } from "./transport.ts";
import { hasPassedWeir, headersUp } from "./upstream_headers.ts";
import { liveSteps, openaiClient } from "./upstream_live.ts";
import { WatchedResponse } from "./watched_response.ts";

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

/** Statuses worth another try before the first byte (facts/openai-api.md 2.1), and all from 500. */
const RETRIED = new Set([408, 409, 429]);

/** Bodies above this are not searched for their model's name. */
const MODEL_PEEK_BYTES_MAX = 1024 * 1024;

/** Answers by asking a real server. */
export class Upstream implements Source {
  readonly name = "proxy";
  readonly takesWire = true;
  readonly #options: UpstreamOptions;
  readonly #deps: UpstreamDeps;
  readonly #client: OpenAI;
  /** Host and port, for whoever reads about a call. */
  readonly #host: string;
  /** Made with the first request: it needs the engine's wheel. */
  #line: LeaveLine | undefined = undefined;

  constructor(options: UpstreamOptions, deps: UpstreamDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#client = openaiClient(options, deps);
    this.#host = hostOf(options.base_url);
  }

  async answer(turn: Turn, exchange: Exchange): Promise<Answer> {
    if (turn.wire !== undefined) {
      return { kind: "relay", response: await this.pass(turn.wire, exchange) };
    }
    const model = turn.model || this.#options.model_id;
    const call = new UpstreamCall(exchange, this.#host);
    const steps = liveSteps({ ...turn, model }, call, this.#client, this.#deps, this.#options);
    return { kind: "live", steps, model };
  }

  /**
   * Passes one request up and its answer down, byte for byte.
   *
   * @throws {AppError} when the upstream gave nothing that could be passed down.
   */
  async pass(wire: Wire, exchange: Exchange): Promise<Response> {
    if (hasPassedWeir(wire.headers)) {
      throw new AppError(
        "loop_detected",
        "This request has already passed a weir: its upstream in the config is weir itself",
      );
    }
    const abort = new Abort();
    const { wheel, streams } = exchange.engine;
    const isDraining = this.#options.on_disconnect === "drain";
    const leave = new LeaveWatch(this.#leaveLine(wheel), exchange, () => {
      if (!isDraining) abort.abort(clientLeft());
    });
    const deadline = new Deadline(wheel, abort);
    // Until its first byte, shutdown finds this request here and refuses it.
    streams.add(deadline);
    exchange.model ||= peekModel(wire.body) || (wire.body === null ? "" : this.#options.model_id);
    const call = new UpstreamCall(exchange, this.#host);
    try {
      const sent = await this.#send(wire, call, abort, deadline);
      const response = new WatchedResponse(sent, call, abort);
      const relayed = relay(response, {
        exchange,
        abort,
        deadline,
        leave,
        isDraining,
        first_token_timeout_ms: this.#options.first_token_timeout_ms,
        idle_timeout_ms: this.#options.idle_timeout_ms,
      });
      return relayed instanceof Promise ? await relayed : relayed;
    } catch (error) {
      deadline.stop();
      // Whatever broke, the abort's own reason says why: a time limit, or the client.
      const reason: unknown = abort.aborted ? abort.reason : error;
      call.end(reason);
      throw reason;
    } finally {
      leave.stop();
      streams.delete(deadline);
    }
  }

  #leaveLine(wheel: Wheel): LeaveLine {
    return this.#line ??= new LeaveLine(wheel);
  }

  /** Sends until a response is worth passing down, or the tries are used up. */
  async #send(
    wire: Wire,
    call: UpstreamCall,
    abort: Abort,
    deadline: Deadline,
  ): Promise<TransportResponse> {
    const { exchange } = call;
    const { base_url, retries, headers_timeout_ms } = this.#options;
    const { transport, random, wallMs } = this.#deps;
    const credentials = {
      apiKey: this.#options.api_key,
      passesClientKey: this.#options.passes_client_key,
    };
    const trace = call.traceHeaders;
    const request = {
      method: wire.method,
      url: base_url + wire.path,
      headers: headersUp(
        wire.headers,
        credentials,
        trace === undefined ? this.#options.headers : { ...trace, ...this.#options.headers },
      ),
      body: this.#withModel(wire.body),
      signal: abort,
    };
    for (let attempt = 1;; attempt++) {
      deadline.start("headers", headers_timeout_ms);
      call.attempt();
      let cause: string;
      let askedMs: number | undefined;
      try {
        const response = await transport.send(request);
        call.head(response.status);
        const isFinal = (response.status < 500 && !RETRIED.has(response.status)) ||
          exchange.signal.aborted; // nobody is left to try again for
        if (isFinal || attempt > retries) return response;
        askedMs = retryAfterMs({ get: (name) => response.header(name) }, wallMs());
        if (askedMs === Infinity) return response; // it asks for more patience than weir has
        cause = `status ${response.status}`;
        response.cancel();
      } catch (error) {
        const isGivenUp = abort.aborted || exchange.signal.aborted;
        if (isGivenUp || attempt > retries || !isConnectionError(error)) throw error;
        cause = error.message;
      }
      deadline.stop();
      const delayMs = askedMs ?? backoffMs(attempt, random);
      const { wheel, watch } = exchange.engine;
      watch({ kind: "upstream_retried", attempt, delayMs, cause });
      // A client that leaves ends the wait even when its answer would be drained: there is none.
      const left = AbortSignal.any([abort.toSignal(), exchange.signal]);
      const isTime = await wheel.until(wheel.nowMs + delayMs, left);
      if (!isTime) throw abort.aborted ? abort.reason : clientLeft();
    }
  }

  /** The body as it came, or with `llm.model_id` put in front when it names no model. */
  #withModel(body: Uint8Array<ArrayBuffer> | null): Uint8Array<ArrayBuffer> | null {
    const { model_id } = this.#options;
    if (model_id === "" || body === null || modelOf(body) !== "") return body;
    const open = body.indexOf(0x7b); // "{"
    const isEmpty = /^\s*\}/.test(new TextDecoder().decode(body.subarray(open + 1, open + 64)));
    const key = Buffer.from(`"model":${JSON.stringify(model_id)}${isEmpty ? "" : ","}`);
    const named = new Uint8Array(body.length + key.length);
    named.set(body.subarray(0, open + 1));
    named.set(key, open + 1);
    named.set(body.subarray(open + 1), open + 1 + key.length);
    return named;
  }
}

/** Host and port of `url`, with the port that its protocol stands for. */
function hostOf(url: string): string {
  const { protocol, hostname, port } = new URL(url);
  return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}

/**
 * The model that a JSON body names; "" = it is an object without that key; undefined = it cannot be
 * told, so the body is none of weir's business.
 */
function modelOf(body: Uint8Array): string | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    if (!("model" in value)) return "";
    return typeof value.model === "string" && value.model !== "" ? value.model : undefined;
  } catch {
    return undefined; // the upstream says what is wrong with it
  }
}

/**
 * The first model that a body names, for logs and traces; "" = none. It is looked for and not
 * parsed: 0.3 µs, where a parse costs 0.5 to 1 µs for each kilobyte.
 */
export function peekModel(body: Uint8Array<ArrayBuffer> | null): string {
  if (body === null || body.length > MODEL_PEEK_BYTES_MAX) return "";
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  // Inside a text its quotes would be escaped, so this is a key.
  const at = bytes.indexOf('"model"');
  if (at < 0) return "";
  const match = /^"model"\s*:\s*"([^"\\]{1,200})"/.exec(bytes.toString("utf8", at, at + 400));
  return match?.[1] ?? "";
}

function isConnectionError(error: unknown): error is AppError {
  return error instanceof AppError && error.code === "upstream_unreachable";
}
