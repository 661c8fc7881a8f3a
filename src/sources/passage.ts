/**
 * One request's passage through the proxy: up, as often as it takes, and its answer down again.
 *
 * Nothing here is `async` on the way of an answer that comes at the first try: each `await` is a
 * promise and a turn of the queue, some 1 % of a proxied request.
 *
 * @module
 */

import type { Wire } from "../core/answer.ts";
import { clientLeft } from "../core/errors.ts";
import type { Exchange } from "../core/exchange.ts";
import { UpstreamCall } from "../core/upstream_call.ts";
import { Abort } from "../lib/abort.ts";
import { backoffMs, retryAfterMs } from "../lib/backoff.ts";
import { Deadline } from "./deadline.ts";
import { type LeaveLine, type LeaveListener, LeaveWatch } from "./leave_watch.ts";
import { relay, type RelayTerms } from "./relay.ts";
import { peekModel, withModel } from "./request_model.ts";
import {
  isUnreachable,
  type Transport,
  type TransportReceiver,
  type TransportRequest,
  type TransportResponse,
} from "./transport.ts";
import type { HeadersDown, HeadersUp } from "./upstream_headers.ts";

/** What all passages to one upstream share. */
export interface Route {
  readonly transport: Transport;
  /** Host and port, for whoever reads about a call. */
  readonly host: string;
  readonly model_id: string;
  readonly headers_timeout_ms: number;
  readonly first_token_timeout_ms: number;
  readonly idle_timeout_ms: number;
  readonly retries: number;
  readonly on_disconnect: "cancel" | "drain";
  /** The headers that go up, with those of a trace. */
  readonly headersUp: (trace: Readonly<Record<string, string>> | undefined) => HeadersUp;
  readonly headersDown: HeadersDown;
  /** Where clients are watched that wait for their answer. */
  readonly leaveLine: LeaveLine;
  readonly random: () => number;
  readonly wallMs: () => number;
}

/** Statuses worth another try before the first byte (facts/openai-api.md 2.1), and all from 500. */
const RETRIED = new Set([408, 409, 429]);

/** One request under way. Made for it, and `run` once. */
export class Passage implements RelayTerms, TransportReceiver, LeaveListener {
  readonly route: Route;
  readonly exchange: Exchange;
  readonly call: UpstreamCall;
  readonly abort = new Abort();
  readonly deadline: Deadline;
  readonly leave: LeaveWatch;
  /** Undefined once nobody will send it again: a stream must not hold the megabytes of its question. */
  #request: TransportRequest | undefined;
  #resolve!: (response: Response) => void;
  #reject!: (reason: unknown) => void;

  constructor(route: Route, wire: Wire, exchange: Exchange) {
    const { wheel } = exchange.engine;
    this.route = route;
    this.exchange = exchange;
    exchange.model ||= peekModel(wire.body) || (wire.body === null ? "" : route.model_id);
    this.call = new UpstreamCall(exchange, route.host);
    this.deadline = new Deadline(wheel, this.abort);
    this.leave = new LeaveWatch(route.leaveLine, exchange, this);
    this.#request = {
      method: wire.method,
      path: wire.path,
      headers: route.headersUp(this.call.traceHeaders).of(wire.headers),
      body: withModel(wire.body, route.model_id),
      signal: this.abort,
    };
  }

  /**
   * The answer, byte for byte.
   *
   * @throws {AppError} when the upstream gave nothing that could be passed down (the promise
   *   rejects).
   */
  run(): Promise<Response> {
    // Until its first byte, shutdown finds this request here and refuses it.
    this.exchange.engine.streams.add(this.deadline);
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#try();
    });
  }

  /** Of the leave watch: nobody waits for the answer any more. */
  onLeave(): void {
    if (this.route.on_disconnect === "cancel") this.abort.abort(clientLeft());
  }

  #try(): void {
    this.deadline.start("headers", this.route.headers_timeout_ms);
    this.call.attempt();
    this.route.transport.send(this.#request!, this);
  }

  /** Of the transport: the head is here. */
  onResponse(response: TransportResponse): void {
    const { status } = response;
    this.call.head(status);
    if ((status < 500 && !RETRIED.has(status)) || !this.#mayTryAgain()) {
      return this.#relay(response);
    }
    const { random, wallMs } = this.route;
    const askedMs = retryAfterMs({ get: (name) => response.header(name) }, wallMs());
    if (askedMs === Infinity) return this.#relay(response); // more patience than weir has
    response.cancel();
    this.#tryAgain(`status ${status}`, askedMs ?? backoffMs(this.call.attempts, random));
  }

  /** Of the transport: there is no response. */
  onError(error: unknown): void {
    if (this.abort.aborted || !this.#mayTryAgain() || !isUnreachable(error)) {
      return this.#fail(error);
    }
    this.#tryAgain(error.message, backoffMs(this.call.attempts, this.route.random));
  }

  /** Nobody is left to try again for when the client has left. */
  #mayTryAgain(): boolean {
    return this.call.attempts <= this.route.retries && !this.exchange.signal.aborted;
  }

  #tryAgain(cause: string, delayMs: number): void {
    const { exchange, abort } = this;
    const { wheel, watch } = exchange.engine;
    this.deadline.stop();
    watch({ kind: "upstream_retried", attempt: this.call.attempts, delayMs, cause });
    // A client that leaves ends the wait even when its answer would be drained: there is none.
    const left = AbortSignal.any([abort.toSignal(), exchange.signal]);
    wheel.until(wheel.nowMs + delayMs, left).then((isTime) => {
      if (isTime) this.#try();
      else this.#fail(clientLeft());
    });
  }

  #relay(response: TransportResponse): void {
    try {
      const relayed = relay(response, this);
      if (!(relayed instanceof Promise)) return this.#done(relayed);
      relayed.then((whole) => this.#done(whole), (error) => this.#fail(error));
    } catch (error) {
      response.cancel();
      this.#fail(error);
    }
  }

  #done(response: Response): void {
    this.#settle();
    this.#resolve(response);
  }

  #fail(error: unknown): void {
    this.deadline.stop();
    // Whatever broke, the abort's own reason says why: a time limit, or the client.
    const reason: unknown = this.abort.aborted ? this.abort.reason : error;
    this.call.end(reason);
    this.#settle();
    this.#reject(reason);
  }

  #settle(): void {
    this.#request = undefined;
    this.leave.stop();
    this.exchange.engine.streams.delete(this.deadline);
  }
}
