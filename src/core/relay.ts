/**
 * Relays an upstream's answer, bytes untouched: each piece leaves as it came, at the client's pace,
 * and a body that breaks off is never made to look complete.
 *
 * @module
 */

import { SseTail, type StreamEnd } from "../lib/sse_tail.ts";
import type { Ending, PieceSink, Relay } from "./answer.ts";
import { AppError } from "./errors.ts";
import { outcomeOf } from "./events.ts";
import type { Exchange } from "./exchange.ts";
import { type Gone, Outlet } from "./outlet.ts";
import type { HeadDown, HeadersDown } from "./relay_headers.ts";
import type { HeaderFields, ResponseWriter } from "./response_writer.ts";
import { NOTHING_SENT, SentText } from "./sent_text.ts";
import type { StreamManner } from "./surface.ts";
import { completeTaken } from "./taken.ts";

/** The highest status that clients know what to do with (RFC 9110 section 15). */
const STATUS_MAX = 599;

/** Statuses whose responses have no body (RFC 9110 section 6.4.1). */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

const EMPTY = new Uint8Array(0);

/** The whole body of `relay` when all of it is here, or when there is none. Counts as reading it. */
export function wholeOf({ status, body }: Relay): Uint8Array | undefined {
  return BODILESS.has(status) ? EMPTY : body.whole();
}

/**
 * Answers with `bytes`, a body that came along with its head: one write with a length, as the mock's
 * answers that are due at once, instead of a stream, its end mark and its bookkeeping. How a body is
 * framed belongs to each connection (RFC 9112 section 6).
 */
export function relayWhole(
  relay: Relay,
  bytes: Uint8Array,
  { headers, isPlainEventStream, requestId }: HeadDown,
  manner: StreamManner,
  exchange: Exchange,
  writer: ResponseWriter,
): void {
  const { status, body } = relay;
  const isBodiless = BODILESS.has(status);
  exchange.requestId = requestId ?? exchange.requestId;
  exchange.isStream = isPlainEventStream;
  if (isBodiless) {
    body.cancel();
    exchange.upstream?.end(); // a body that never flowed has no end of its own
  } else if (isPlainEventStream) {
    const tail = relay.tail?.(manner.streamEnd) ?? tailOf(bytes, manner.streamEnd);
    if (tail.isUnfinished) exchange.engine.watch({ kind: "upstream_unfinished" });
    if (isCutShort(tail, manner, false)) {
      return failWhole(status, bytes, tail, headers, manner, exchange, writer);
    }
  }
  exchange.last(status);
  const untaken = writer.whole(status, headers, isBodiless ? null : bytes);
  completeTaken(exchange, status, bytes.length, untaken);
}

/** How the stream in `bytes` ends. */
export function tailOf(bytes: Uint8Array, end: StreamEnd | undefined): SseTail {
  const tail = new SseTail(end);
  tail.feed(bytes);
  return tail;
}

/** The same for a stream that is not whole: its error follows at once. */
function failWhole(
  status: number,
  bytes: Uint8Array,
  tail: SseTail,
  headers: HeaderFields,
  { errorEvent }: StreamManner,
  exchange: Exchange,
  writer: ResponseWriter,
): void {
  const sent = new SentText();
  sent.add(bytes);
  const error = cutShort();
  const event = errorEvent(error, sent) ?? "";
  const body = Buffer.concat([bytes, Buffer.from(tail.isBoundary ? event : `\n\n${event}`)]);
  exchange.begin(status);
  exchange.bodyBytes = body.length;
  exchange.end(outcomeOf(error), error);
  writer.whole(status, headers, body);
}

/**
 * True when a stream is not whole although its body is: it ended with its connection, which tells
 * nothing, in the middle of an event, or its dialect has an event for its end, which was not there.
 * Without a `[DONE]` some servers end all their streams.
 */
function isCutShort(
  tail: SseTail | null,
  { streamEnd }: StreamManner,
  isUntilClose: boolean,
): boolean {
  return tail?.isUnfinished === true &&
    (isUntilClose || !tail.isBoundary || streamEnd?.isEvent === true);
}

/** @throws {AppError} when no response can have `status`. */
export function checkStatus(status: number): void {
  if (status >= 200 && status <= STATUS_MAX) return;
  throw new AppError("upstream_broken", `The upstream answered with the status ${status}`);
}

/** Whoever waits until a relay begins. Exactly one of the two is called, once. */
export interface RelayOwner {
  onBegun(): void;
  /** The upstream failed before the first byte of its body. */
  onFailed(error: AppError): void;
}

/** One answer that goes on, on its way down. */
export class RelayOutlet extends Outlet implements PieceSink {
  readonly #relay: Relay;
  readonly #manner: StreamManner;
  readonly #down: HeadersDown;
  readonly #writer: ResponseWriter;
  /** Where the stream stands; null = it is none, or nobody can read it. */
  readonly #tail: SseTail | null;
  /** What was sent of a stream whose error events go on from it. */
  readonly #sent: SentText | undefined;
  /** Waits until it begins. */
  #owner: RelayOwner | undefined;
  /** True when nothing follows from the upstream. */
  #hasEnded = false;
  /** Bytes that leave with the end. */
  #last: Uint8Array | undefined = undefined;

  constructor(
    relay: Relay,
    down: HeadersDown,
    manner: StreamManner,
    exchange: Exchange,
    writer: ResponseWriter,
    owner: RelayOwner,
  ) {
    super(exchange, writer);
    this.#relay = relay;
    this.#manner = manner;
    this.#down = down;
    this.#writer = writer;
    this.#owner = owner;
    const head = down.of(relay.fields);
    this.#tail = head.isPlainEventStream ? new SseTail(manner.streamEnd) : null;
    this.#sent = this.#tail !== null && manner.errorEvent.length > 1 ? new SentText() : undefined;
    exchange.requestId = head.requestId ?? exchange.requestId;
    exchange.isStream = head.isPlainEventStream;
  }

  /**
   * Begins with the upstream's first piece, or, when that is late and the stream takes comments,
   * with a keep-alive comment.
   */
  start(): void {
    const { keepaliveMs, wheel } = this.exchange.engine;
    if (this.#tail !== null && keepaliveMs > 0) wheel.set(this, wheel.nowMs + keepaliveMs);
    this.#relay.body.flow(this);
  }

  /** The response will not begin: its client has left, or weir ends. */
  forgo(): void {
    this.#owner = undefined;
    this.#hasEnded = true;
    this.exchange.engine.wheel.cancel(this);
    this.#relay.body.cancel();
  }

  /** Of the body. */
  onPiece(bytes: Uint8Array, _atUs: number, isLast = false): void {
    if (this.#hasEnded || bytes.length === 0) return;
    this.#tail?.feed(bytes);
    this.#sent?.add(bytes);
    // What comes behind its end mark says nothing any more.
    if (this.#tail?.isDone === true) this.exchange.last(this.#relay.status);
    const { note, startMs, engine } = this.exchange;
    note?.left(1, engine.wheel.nowMs - startMs);
    if (this.#owner !== undefined) {
      this.#begin(bytes);
    } else if (isLast) {
      this.#last = bytes;
      return;
    } else if (!this.isClosed) {
      this.write(bytes, this.exchange.engine.wheel.nowMs);
    }
    if (this.isSlow && !this.isClosed) this.#relay.body.pause();
  }

  /** Of the body. */
  onEnd(ending: Exclude<Ending, "hold">, error?: AppError): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    if (this.#owner !== undefined) return this.#endEarly(ending, error);
    if (ending === "end") {
      const { isUntilClose = false } = this.#relay;
      if (isCutShort(this.#tail, this.#manner, isUntilClose)) error ??= cutShort();
      if (!isUntilClose) this.#noteUnfinished();
    }
    if (error !== undefined) {
      if (this.#last !== undefined && !this.isClosed) {
        this.write(this.#last, this.exchange.engine.wheel.nowMs);
      }
      this.fail(error, outcomeOf(error));
    } else if (ending === "end") this.end(this.#last);
    else this.break(ending, "upstream_failed");
  }

  override run(nowMs: number): void {
    if (this.#owner === undefined) super.run(nowMs);
    else this.#begin(EMPTY);
  }

  /** The error event at this place of the stream; null where none may stand. */
  protected errorEvent(error: AppError): string | null {
    if (this.#tail === null || this.#tail.isDone) return null;
    const event = this.#manner.errorEvent(error, this.#sent ?? NOTHING_SENT);
    return event === null || this.#tail.isBoundary ? event : `\n\n${event}`;
  }

  protected canComment(): boolean {
    return this.#tail !== null && this.#tail.isBoundary && !this.#tail.isDone;
  }

  protected onReady(): void {
    this.#relay.body.resume();
  }

  protected onGone(why: Gone): void {
    // An answer that is to be finished is read to its end: it is counted, and the upstream not stopped.
    if (this.exchange.isDraining && why === "client_left") return this.#relay.body.resume();
    this.#hasEnded = true;
    this.#relay.body.cancel();
  }

  /** Made anew just before they leave: the answers of one upstream share them. */
  get #headers(): HeaderFields {
    return this.#down.of(this.#relay.fields).headers;
  }

  #begin(first: Uint8Array): void {
    this.#begun();
    this.open(this.#relay.status, this.#headers, first);
  }

  #begun(): void {
    const owner = this.#owner!;
    this.#owner = undefined;
    owner.onBegun();
  }

  /** The body ended without a byte. */
  #endEarly(ending: Exclude<Ending, "hold">, error: AppError | undefined): void {
    this.exchange.engine.wheel.cancel(this);
    if (ending === "end" && isCutShort(this.#tail, this.#manner, false)) error ??= cutShort();
    if (ending === "end" && error === undefined) {
      this.#begun();
      this.exchange.complete(this.#relay.status, 0);
      return void this.#writer.whole(this.#relay.status, this.#headers, null);
    }
    const owner = this.#owner!;
    this.#owner = undefined;
    owner.onFailed(
      error ?? new AppError("upstream_broken", "The upstream closed the connection without a body"),
    );
  }

  #noteUnfinished(): void {
    if (this.#tail?.isUnfinished === true) {
      this.exchange.engine.watch({ kind: "upstream_unfinished" });
    }
  }
}

function cutShort(): AppError {
  return new AppError(
    "upstream_broken",
    "The upstream ended its stream before it was complete",
  );
}
