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
import { Outlet } from "../core/outlet.ts";
import { SseTail } from "../lib/sse_tail.ts";
import { Ticket, type Wheel } from "../lib/wheel.ts";
import type { Deadline } from "./deadline.ts";
import type { TransportResponse } from "./transport.ts";
import { headersDown, isPlainEventStream } from "./upstream_headers.ts";

/** What a relay needs besides the response. */
export interface RelayOptions {
  readonly exchange: Exchange;
  /** Aborted when the client leaves or a wait is too long. */
  readonly abort: AbortController;
  readonly deadline: Deadline;
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
export async function relay(
  upstream: TransportResponse,
  options: RelayOptions,
): Promise<Response> {
  const { exchange, abort, deadline, isDraining } = options;
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
    return answerWhole(whole, status, headers, tail, exchange);
  }
  deadline.start("first_token", options.first_token_timeout_ms);
  const { wheel, keepaliveMs } = exchange.engine;
  const read = upstream.read();
  // Most heads bring their first chunk along: then there is nothing to wait for.
  const reading = read instanceof Promise ? firstOf(read, upstream, abort) : read;
  const first = reading instanceof Promise && tail !== null && keepaliveMs > 0
    ? await soonOrLate(reading, wheel, keepaliveMs)
    : await reading;
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
  const head = first === LATE ? EMPTY : first;
  tail?.feed(head);
  const response = outlet.open(status, headers, head);
  void pump(first === LATE ? reading : undefined, upstream, outlet, tail, options);
  return response;
}

/**
 * The response for a body that came at once: one write instead of a stream, its end mark and its
 * bookkeeping, which is half the cost of a short answer.
 */
function answerWhole(
  body: Uint8Array<ArrayBuffer>,
  status: number,
  headers: Headers,
  tail: SseTail | null,
  exchange: Exchange,
): Response {
  const hasLeft = exchange.signal.aborted;
  tail?.feed(body);
  if (tail !== null && !tail.isDone) exchange.engine.watch({ kind: "upstream_unfinished" });
  exchange.begin(status);
  exchange.bodyBytes += body.length;
  exchange.end(hasLeft ? "client_left" : "completed");
  return new Response(BODILESS.has(status) ? null : body, { status, headers });
}

/** Moves chunks until the body ends or breaks off. */
async function pump(
  reading: ReturnType<TransportResponse["read"]> | undefined,
  upstream: TransportResponse,
  outlet: Outlet,
  tail: SseTail | null,
  { exchange, abort, deadline, idle_timeout_ms }: RelayOptions,
): Promise<void> {
  try {
    await outlet.ready;
    for (let pending = reading;; pending = undefined) {
      if (pending === undefined) deadline.start("idle", idle_timeout_ms);
      const next = pending ?? upstream.read();
      const chunk = next instanceof Promise ? await next : next;
      if (chunk === null) break;
      tail?.feed(chunk);
      const written = outlet.write(chunk);
      if (written === undefined) continue;
      deadline.stop(); // the client is slow, not the upstream
      await written;
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

/** The first chunk, or the error that says why there is none. */
async function firstOf(
  reading: Promise<Uint8Array | null>,
  upstream: TransportResponse,
  abort: AbortController,
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
function failureOf(error: unknown, abort: AbortController): AppError {
  const reason: unknown = abort.signal.aborted ? abort.signal.reason : error;
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
