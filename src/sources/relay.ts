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
import { type Feed, Outlet } from "../core/outlet.ts";
import type { Abort } from "../lib/abort.ts";
import { SseTail } from "../lib/sse_tail.ts";
import { Ticket, type Wheel } from "../lib/wheel.ts";
import type { Deadline } from "./deadline.ts";
import type { LeaveWatch } from "./leave_watch.ts";
import type { TransportResponse } from "./transport.ts";
import { headersDown, isPlainEventStream } from "./upstream_headers.ts";

/** What a relay needs besides the response. */
export interface RelayOptions {
  readonly exchange: Exchange;
  /** Aborted when the client leaves or a wait is too long. */
  readonly abort: Abort;
  readonly deadline: Deadline;
  /** Knows whether the client has left before its answer began. */
  readonly leave: LeaveWatch;
  /** True: read to the end although the client has left. */
  readonly isDraining: boolean;
  readonly first_token_timeout_ms: number;
  readonly idle_timeout_ms: number;
}

/** A response cannot be made with a higher status (WHATWG Fetch). */
const STATUS_MAX = 599;

/** Statuses whose responses have no body (RFC 9110 section 6.4.1). */
const BODILESS = new Set([204, 205, 304]);

/** The upstream's first chunk has not come within the keep-alive time. */
const LATE: unique symbol = Symbol("late");
const EMPTY = new Uint8Array(0);

/**
 * The response for the client. It begins with the upstream's first chunk, or, when that is late and
 * the stream takes comments, with a keep-alive comment.
 *
 * @throws {AppError} when the upstream fails before its first chunk.
 */
export function relay(
  upstream: TransportResponse,
  options: RelayOptions,
): Response | Promise<Response> {
  const { exchange, deadline } = options;
  const { status } = upstream;
  if (status < 200 || status > STATUS_MAX) {
    upstream.cancel();
    throw new AppError("upstream_broken", `The upstream answered with the status ${status}`);
  }
  exchange.requestId = upstream.header("x-request-id") ?? exchange.requestId;
  const headers = headersDown(upstream);
  const tail = isPlainEventStream(upstream) ? new SseTail() : null;
  exchange.isStream = tail !== null;

  // A stream stays one for the client too, however fast it came: its framing must not be a race.
  const whole = upstream.header("content-length") === null ? undefined : upstream.whole();
  if (whole !== undefined) {
    deadline.stop();
    return answerWhole(whole, status, headers, tail, options);
  }
  deadline.start("first_token", options.first_token_timeout_ms);
  const read = upstream.read();
  // Most heads bring their first chunk along: then there is nothing to wait for.
  if (!(read instanceof Promise)) return begin(read, undefined, upstream, headers, tail, options);
  return beginLater(read, upstream, headers, tail, options);
}

/** As `begin`, when the first chunk has come, or the time for a comment. */
async function beginLater(
  read: Promise<Uint8Array | null>,
  upstream: TransportResponse,
  headers: Headers,
  tail: SseTail | null,
  options: RelayOptions,
): Promise<Response> {
  const { wheel, keepaliveMs } = options.exchange.engine;
  const reading = firstOf(read, upstream, options.abort);
  const first = tail !== null && keepaliveMs > 0
    ? await soonOrLate(reading, wheel, keepaliveMs)
    : await reading;
  return first === LATE
    ? begin(EMPTY, reading, upstream, headers, tail, options)
    : begin(first, undefined, upstream, headers, tail, options);
}

/** The response that begins with `first`; null = there is no body. `pending` is a read under way. */
function begin(
  first: Uint8Array | null,
  pending: Promise<Uint8Array | null> | undefined,
  upstream: TransportResponse,
  headers: Headers,
  tail: SseTail | null,
  options: RelayOptions,
): Response {
  const { exchange, abort, deadline, isDraining } = options;
  const { status } = upstream;
  if (first === null || BODILESS.has(status)) {
    deadline.stop();
    upstream.cancel();
    exchange.begin(status);
    exchange.end("completed");
    return new Response(null, { status, headers });
  }
  const outlet = new Outlet({
    exchange,
    errorEvent: (error) => tail === null ? null : errorIn(tail, error),
    canComment: () => tail !== null && tail.isBoundary && !tail.isDone,
    onLeave: (why) => {
      if (!isDraining || why === "shut_down") abort.abort(clientLeft());
    },
  });
  tail?.feed(first);
  const feed: Feed = (written) => void pump(written, pending, upstream, outlet, tail, options);
  return outlet.open(status, headers, first, feed);
}

/**
 * The response for a body that came at once: one write instead of a stream, its end mark and its
 * bookkeeping, which is half the cost of a short answer.
 */
function answerWhole(
  body: Uint8Array,
  status: number,
  headers: Headers,
  tail: SseTail | null,
  { exchange, leave }: RelayOptions,
): Response {
  tail?.feed(body);
  if (tail !== null && !tail.isDone) exchange.engine.watch({ kind: "upstream_unfinished" });
  exchange.begin(status);
  exchange.bodyBytes += body.length;
  exchange.end(leave.hasLeft ? "client_left" : "completed");
  // A socket's bytes are never shared memory: the type of `Buffer` leaves that open.
  const bytes = body as Uint8Array<ArrayBuffer>;
  return new Response(BODILESS.has(status) ? null : bytes, { status, headers });
}

/** Moves chunks until the body ends or breaks off. */
async function pump(
  written: void | Promise<void>,
  reading: ReturnType<TransportResponse["read"]> | undefined,
  upstream: TransportResponse,
  outlet: Outlet,
  tail: SseTail | null,
  { exchange, abort, deadline, idle_timeout_ms }: RelayOptions,
): Promise<void> {
  try {
    if (written !== undefined) await slow(written, deadline);
    for (let pending = reading;; pending = undefined) {
      if (pending === undefined) deadline.start("idle", idle_timeout_ms);
      const next = pending ?? upstream.read();
      const chunk = next instanceof Promise ? await next : next;
      if (chunk === null) break;
      tail?.feed(chunk);
      const taken = outlet.write(chunk);
      if (taken !== undefined) await slow(taken, deadline);
    }
    deadline.stop();
    if (tail !== null && !tail.isDone) exchange.engine.watch({ kind: "upstream_unfinished" });
    outlet.end();
  } catch (error) {
    deadline.stop();
    upstream.cancel();
    const failure = failureOf(error, abort);
    outlet.fail(failure, outcomeOf(failure));
  }
}

/** Waits for a client that is slow, while the upstream has all the time. */
async function slow(written: Promise<void>, deadline: Deadline): Promise<void> {
  deadline.stop();
  await written;
}

/** The first chunk, or the error that says why there is none. */
async function firstOf(
  reading: Promise<Uint8Array | null>,
  upstream: TransportResponse,
  abort: Abort,
): Promise<Uint8Array | null> {
  try {
    return await reading;
  } catch (error) {
    upstream.cancel();
    throw failureOf(error, abort);
  }
}

/** `reading`'s value if it settles within `limitMs`, else `LATE`; it goes on being read. */
async function soonOrLate(
  reading: Promise<Uint8Array | null>,
  wheel: Wheel,
  limitMs: number,
): Promise<Uint8Array | null | typeof LATE> {
  const patience = new Patience();
  wheel.set(patience, wheel.nowMs + limitMs);
  try {
    return await Promise.race([reading, patience.isOver]);
  } finally {
    wheel.cancel(patience);
    reading.catch(() => {}); // whoever awaits it next gets the error
  }
}

/** A wait with an end. An `AbortController` in its place would cost 12 µs, most of it a stack. */
class Patience extends Ticket {
  readonly #over = Promise.withResolvers<typeof LATE>();

  get isOver(): Promise<typeof LATE> {
    return this.#over.promise;
  }

  override run(): void {
    this.#over.resolve(LATE);
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
