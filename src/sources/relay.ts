/**
 * Relays an upstream's response, bytes untouched: each chunk leaves as it came, at the client's
 * pace, and a body that breaks off is never made to look complete.
 *
 * @module
 */

import { dataEvent } from "../core/dialect.ts";
import { AppError, clientLeft, ERRORS } from "../core/errors.ts";
import { outcomeOf } from "../core/events.ts";
import type { Exchange } from "../core/exchange.ts";
import { type Feed, Outlet, type OutletOptions } from "../core/outlet.ts";
import type { UpstreamCall } from "../core/upstream_call.ts";
import type { Abort } from "../lib/abort.ts";
import { LATE, soonOrLate } from "../lib/patience.ts";
import { SseTail } from "../lib/sse_tail.ts";
import type { Deadline } from "./deadline.ts";
import type { LeaveWatch } from "./leave_watch.ts";
import type { TransportResponse } from "./transport.ts";
import type { HeadersDown } from "./upstream_headers.ts";
import { UsageTail } from "./usage_tail.ts";

/** What a relay needs besides the response. */
export interface RelayTerms {
  readonly exchange: Exchange;
  /** Is told what comes, and when. */
  readonly call: UpstreamCall;
  /** Aborted when the client leaves or a wait is too long. */
  readonly abort: Abort;
  readonly deadline: Deadline;
  /** Knows whether the client has left before its answer began. */
  readonly leave: LeaveWatch;
  readonly route: {
    readonly headersDown: HeadersDown;
    /** "drain": read to the end although the client has left. */
    readonly on_disconnect: "cancel" | "drain";
    readonly first_token_timeout_ms: number;
    readonly idle_timeout_ms: number;
  };
}

/** A response cannot be made with a higher status (WHATWG Fetch). */
const STATUS_MAX = 599;

/** Statuses whose responses have no body (RFC 9110 section 6.4.1). */
const BODILESS = new Set([204, 205, 304]);

const EMPTY = new Uint8Array(0);

/** A read that waits. */
type Reading = Promise<Uint8Array | null>;

/**
 * The response for the client. It begins with the upstream's first chunk, or, when that is late and
 * the stream takes comments, with a keep-alive comment.
 *
 * @throws {AppError} when the upstream fails before its first chunk.
 */
export function relay(
  upstream: TransportResponse,
  terms: RelayTerms,
): Response | Promise<Response> {
  const { status } = upstream;
  if (status < 200 || status > STATUS_MAX) {
    upstream.cancel();
    throw new AppError("upstream_broken", `The upstream answered with the status ${status}`);
  }
  return new Relay(upstream, terms).open();
}

/** One answer on its way down. */
class Relay implements OutletOptions {
  readonly exchange: Exchange;
  readonly #upstream: TransportResponse;
  readonly #terms: RelayTerms;
  readonly #outlet = new Outlet(this);
  readonly #usage = new UsageTail();
  /** Where the stream stands; null = it is none, or nobody can read it. */
  readonly #tail: SseTail | null;
  /** The read that was under way when the response began. */
  #pending: Reading | undefined = undefined;

  constructor(upstream: TransportResponse, terms: RelayTerms) {
    const { exchange } = terms;
    this.exchange = exchange;
    this.#upstream = upstream;
    this.#terms = terms;
    const { isPlainEventStream, requestId } = terms.route.headersDown.of(upstream);
    this.#tail = isPlainEventStream ? new SseTail() : null;
    exchange.requestId = requestId ?? exchange.requestId;
    exchange.isStream = isPlainEventStream;
  }

  open(): Response | Promise<Response> {
    const upstream = this.#upstream;
    const whole = upstream.whole();
    if (whole !== undefined) return this.#answerWhole(whole);
    const read = upstream.read();
    if (read instanceof Promise) return this.#beginLater(read);
    // Most heads bring their first chunk along: then there is nothing to wait for.
    this.#terms.call.chunkWithHead();
    return this.#begin(read);
  }

  /** Of the outlet. */
  errorEvent(error: AppError): string | null {
    return this.#tail === null ? null : errorIn(this.#tail, error);
  }

  /** Of the outlet. */
  canComment(): boolean {
    return this.#tail !== null && this.#tail.isBoundary && !this.#tail.isDone;
  }

  /** Of the outlet. */
  onLeave(why: "client_left" | "shut_down"): void {
    const { abort, route } = this.#terms;
    if (route.on_disconnect === "cancel" || why === "shut_down") abort.abort(clientLeft());
  }

  /** As `begin`, when the first chunk has come, or the time for a comment. */
  async #beginLater(read: Reading): Promise<Response> {
    const { wheel, keepaliveMs } = this.exchange.engine;
    const { deadline, route } = this.#terms;
    deadline.start("first_token", route.first_token_timeout_ms);
    const reading = this.#firstOf(read);
    const first = this.#tail !== null && keepaliveMs > 0
      ? await soonOrLate(reading, wheel, keepaliveMs)
      : await reading;
    if (first !== LATE) return this.#begin(first);
    this.#pending = reading;
    return this.#begin(EMPTY);
  }

  /** The first chunk, or the error that says why there is none. */
  async #firstOf(reading: Reading): Reading {
    try {
      return await reading;
    } catch (error) {
      this.#upstream.cancel();
      throw failureOf(error, this.#terms.abort);
    }
  }

  /** The response that begins with `first`; null = there is no body. */
  #begin(first: Uint8Array | null): Response {
    const { status } = this.#upstream;
    const { headers } = this.#terms.route.headersDown.of(this.#upstream);
    if (first === null || BODILESS.has(status)) {
      this.#terms.deadline.stop();
      this.#terms.call.end();
      this.#upstream.cancel();
      this.exchange.begin(status);
      this.exchange.end("completed");
      return new Response(null, { status, headers });
    }
    if (first !== EMPTY) this.#note(first);
    const feed: Feed = (written) => this.#flow(written);
    return this.#outlet.open(status, headers, first, feed);
  }

  /**
   * The response for a body that came along with its head: one write with a length, as the mock's
   * answers that are due at once, instead of a stream, its end mark and its bookkeeping. How a body
   * is framed belongs to each connection (RFC 9112 section 6).
   */
  #answerWhole(body: Uint8Array): Response {
    const { exchange } = this;
    const { deadline, leave, route } = this.#terms;
    const { status } = this.#upstream;
    deadline.stop();
    this.#terms.call.chunkWithHead();
    this.#note(body);
    this.#noteEnd();
    exchange.begin(status);
    exchange.bodyBytes += body.length;
    exchange.end(leave.hasLeft ? "client_left" : "completed");
    const { headers } = route.headersDown.of(this.#upstream);
    // A socket's bytes are never shared memory: the type of `Buffer` leaves that open.
    const bytes = body as Uint8Array<ArrayBuffer>;
    return new Response(BODILESS.has(status) ? null : bytes, { status, headers });
  }

  /** Moves what is here already; the rest is waited for. */
  #flow(written: void | Promise<void>): void {
    if (written !== undefined || this.#pending !== undefined) return void this.#pump(written);
    try {
      for (;;) {
        const chunk = this.#upstream.read();
        if (chunk === null) return this.#end();
        if (chunk instanceof Promise) {
          this.#pending = chunk;
          this.#awaitNext();
          return void this.#pump(undefined);
        }
        const taken = this.#write(chunk);
        if (taken !== undefined) return void this.#pump(taken);
      }
    } catch (error) {
      this.#break(error);
    }
  }

  /** Moves chunks until the body ends or breaks off. */
  async #pump(written: void | Promise<void>): Promise<void> {
    try {
      if (written !== undefined) await this.#slow(written);
      for (;;) {
        const next = this.#pending ?? this.#read();
        this.#pending = undefined;
        const chunk = next instanceof Promise ? await next : next;
        if (chunk === null) break;
        const taken = this.#write(chunk);
        if (taken !== undefined) await this.#slow(taken);
      }
      this.#end();
    } catch (error) {
      this.#break(error);
    }
  }

  #read(): ReturnType<TransportResponse["read"]> {
    this.#awaitNext();
    return this.#upstream.read();
  }

  /** The clock of the silence between two chunks starts anew. */
  #awaitNext(): void {
    const { deadline, route } = this.#terms;
    deadline.start("idle", route.idle_timeout_ms);
  }

  #write(chunk: Uint8Array): void | Promise<void> {
    this.#note(chunk);
    return this.#outlet.write(chunk);
  }

  /** Waits for a client that is slow, while the upstream has all the time. */
  async #slow(written: Promise<void>): Promise<void> {
    this.#terms.deadline.stop();
    await written;
  }

  #note(chunk: Uint8Array): void {
    this.#terms.call.chunk();
    this.#usage.feed(chunk);
    this.#tail?.feed(chunk);
  }

  /** The upstream's body is whole. */
  #noteEnd(): void {
    const { call } = this.#terms;
    const usage = this.#usage.read();
    if (usage !== undefined) call.usage(usage.promptTokens, usage.completionTokens);
    call.end();
    if (this.#tail !== null && !this.#tail.isDone) {
      this.exchange.engine.watch({ kind: "upstream_unfinished" });
    }
  }

  #end(): void {
    this.#terms.deadline.stop();
    this.#noteEnd();
    this.#outlet.end();
  }

  #break(error: unknown): void {
    const { abort, call, deadline } = this.#terms;
    deadline.stop();
    call.end(abort.aborted ? abort.reason : error);
    this.#upstream.cancel();
    const failure = failureOf(error, abort);
    this.#outlet.fail(failure, outcomeOf(failure));
  }
}

/** Why the body broke off: a time limit, or the client; else the upstream itself. */
function failureOf(error: unknown, abort: Abort): AppError {
  const reason: unknown = abort.aborted ? abort.reason : error;
  if (reason instanceof AppError) return reason;
  return new AppError(
    "upstream_broken",
    "The upstream closed the connection before its answer was complete",
    { cause: error },
  );
}

/** The error event at this place of the stream; null where none may stand. */
function errorIn(tail: SseTail, error: AppError): string | null {
  if (tail.isDone) return null;
  const { type, apiCode } = ERRORS[error.code];
  const { message, param } = error;
  return (tail.isBoundary ? "" : "\n\n") +
    dataEvent({ error: { message, type, param, code: apiCode } });
}
