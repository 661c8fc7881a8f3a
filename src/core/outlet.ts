/**
 * An outlet: the open response of an answer that goes on. It knows its client's pace, keeps a
 * silent connection alive, and ends in one of four ways: whole, failed, cut, left. What feeds it
 * extends it.
 *
 * @module
 */

import { Ticket } from "../lib/wheel.ts";
import { COMMENT_EVENT } from "./dialect.ts";
import type { AppError } from "./errors.ts";
import { outcomeOf } from "./events.ts";
import type { Outcome } from "./facts.ts";
import { cutOff, type Exchange, type OpenStream, readerSlow } from "./exchange.ts";
import type { ClientListener, CutReason, HeaderFields, ResponseWriter } from "./response_writer.ts";
import { endTaken } from "./taken.ts";

/** Why nothing more can be written. */
export type Gone = "client_left" | "shut_down";

/** One open response. */
export abstract class Outlet extends Ticket implements OpenStream, ClientListener {
  protected readonly exchange: Exchange;
  readonly #writer: ResponseWriter;
  #isClosed = false;
  #isSlow = false;
  /** When the last byte left: what keep-alive and a slow client's time count from. */
  protected wroteMs = 0;

  constructor(exchange: Exchange, writer: ResponseWriter) {
    super();
    this.exchange = exchange;
    this.#writer = writer;
  }

  /** True once nothing more can be written. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** True while the client does not take what was written. */
  get isSlow(): boolean {
    return this.#isSlow;
  }

  /**
   * The bytes that say `error` here, or null when nothing may be said: the connection is then cut.
   */
  protected abstract errorEvent(error: AppError): string | null;
  /** True where a comment may stand: between two events. */
  protected abstract canComment(): boolean;
  /** The client takes bytes again. */
  protected abstract onReady(): void;
  /** Nobody will read the rest. Called once. */
  protected abstract onGone(why: Gone): void;

  /**
   * Begins the response with `first`: head and bytes leave in one packet. Without a first byte a
   * comment takes its place, since no head leaves before.
   */
  protected open(status: number, headers: HeaderFields, first: Uint8Array | string): void {
    const { exchange } = this;
    exchange.begin(status);
    exchange.engine.streams.add(this);
    this.wroteMs = exchange.startMs + exchange.firstByteMs;
    const bytes = first.length === 0 ? COMMENT_EVENT : first;
    exchange.bodyBytes += bytesOf(bytes);
    this.#isSlow = !this.#writer.begin(status, headers, bytes, this);
    this.schedule();
  }

  /** Writes bytes. False: the client is slow, and `onReady` follows. */
  protected write(bytes: Uint8Array | string, nowMs: number): boolean {
    if (this.#isClosed) return true;
    this.exchange.bodyBytes += bytesOf(bytes);
    this.wroteMs = nowMs;
    if (this.#writer.write(bytes)) return true;
    this.#isSlow = true;
    this.schedule();
    return false;
  }

  /** Where the next bytes may be filled in, so that `commit` need not copy them. */
  protected reserve(byteLength: number): number {
    return this.#writer.reserve(byteLength);
  }

  protected get room(): Uint8Array {
    return this.#writer.room;
  }

  /** Writes what was filled in, as `write` does. */
  protected commit(byteLength: number, nowMs: number): void {
    if (this.#isClosed) return;
    this.exchange.bodyBytes += byteLength;
    this.wroteMs = nowMs;
    if (this.#writer.commit(byteLength)) return;
    this.#isSlow = true;
    this.schedule();
  }

  /** The answer is whole with `last`, which leaves in one packet with the end. */
  protected end(last?: Uint8Array | string): void {
    if (this.#isClosed) return;
    if (last !== undefined) this.exchange.bodyBytes += bytesOf(last);
    this.#shut();
    this.exchange.last(this.exchange.status);
    const untaken = this.#writer.end("end", last);
    endTaken(this.exchange, untaken, this.exchange.hasLeft ? "client_left" : "completed");
  }

  /**
   * The answer failed in the middle: says so where that is possible, and never ends cleanly else.
   */
  fail(error: AppError, outcome: Outcome = "shut_down"): void {
    if (this.#isClosed) return;
    const event = this.errorEvent(error);
    this.#close(outcome, error);
    if (event === null) {
      this.#writer.end("fin");
    } else {
      this.#writer.end("end", event);
    }
    if (outcome !== "shut_down") return;
    this.exchange.abort(error);
    this.onGone("shut_down");
  }

  /** Ends without a word: HTTP's end does not come. */
  protected break(ending: "fin" | "reset", outcome: Outcome, error?: AppError): void {
    if (this.#isClosed) return;
    this.#close(outcome, error);
    this.#writer.end(ending);
  }

  /** Of the writer. */
  onDrain(): void {
    this.#isSlow = false;
    if (this.#isClosed) return;
    this.schedule();
    this.onReady();
  }

  /** Of the writer. */
  onLeave(reason?: CutReason | "fault"): void {
    if (this.#isClosed) return;
    this.exchange.leave();
    if (reason === undefined) {
      this.#close("client_left");
    } else if (reason === "fault") {
      this.#close("completed");
    } else {
      const error = cutOff(reason, this.exchange.engine);
      this.#close(outcomeOf(error), error);
    }
    this.onGone("client_left");
  }

  /** The wheel's call: silence has lasted long enough, or the last look was too early. */
  override run(nowMs: number): void {
    if (this.#isSlow) return this.drop(nowMs);
    const { keepaliveMs } = this.exchange.engine;
    if (nowMs - this.wroteMs >= keepaliveMs && this.canComment()) this.write(COMMENT_EVENT, nowMs);
    this.schedule();
  }

  /** The client is slow: when it has had its time, the connection is reset and all of it freed. */
  protected drop(nowMs: number): void {
    const { writeTimeoutMs } = this.exchange.engine;
    if (nowMs - this.wroteMs < writeTimeoutMs) return this.schedule();
    if (this.#writer.nudge()) {
      this.wroteMs = nowMs;
      return this.schedule();
    }
    this.break("reset", "timed_out", readerSlow(writeTimeoutMs));
    this.onGone("client_left");
  }

  /**
   * Sets the ticket: a slow client's deadline, else keep-alive. A write does not move it: it looks
   * again when it runs.
   */
  protected schedule(): void {
    const { keepaliveMs, writeTimeoutMs, wheel } = this.exchange.engine;
    if (this.#isClosed) return;
    if (this.#isSlow) return wheel.set(this, this.wroteMs + writeTimeoutMs);
    if (keepaliveMs === 0) return wheel.cancel(this);
    wheel.set(this, Math.max(this.wroteMs, wheel.nowMs - keepaliveMs + 1) + keepaliveMs);
  }

  #close(outcome: Outcome, error?: AppError): void {
    this.#shut();
    this.exchange.end(outcome, error);
  }

  /** Nothing more is written. */
  #shut(): void {
    this.#isClosed = true;
    const { wheel, streams } = this.exchange.engine;
    wheel.cancel(this);
    streams.delete(this);
  }
}

function bytesOf(chunk: Uint8Array | string): number {
  return typeof chunk === "string" ? Buffer.byteLength(chunk) : chunk.length;
}
