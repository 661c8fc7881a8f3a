/**
 * An outlet: the open response of an answer that is told while it happens. It knows its client's
 * pace, keeps a silent connection alive, and ends in one of four ways: whole, failed, cut, left.
 *
 * @module
 */

import { Ticket } from "../lib/wheel.ts";
import { COMMENT_EVENT } from "./dialect.ts";
import type { AppError } from "./errors.ts";
import type { Outcome } from "./events.ts";
import { type Exchange, type OpenStream, readerSlow } from "./exchange.ts";
import { type DirectController, directStream } from "./direct_stream.ts";
import type { HeaderFields } from "./voice.ts";

/** What an outlet needs from the answer it carries. */
export interface OutletOptions {
  readonly exchange: Exchange;
  /**
   * The bytes that say `error` in the middle of this stream, or null when nothing may be said: the
   * connection is then cut without its terminator.
   */
  readonly errorEvent: (error: AppError) => string | null;
  /** True where a comment may stand: between two events of an uncompressed SSE stream. */
  readonly canComment: () => boolean;
  /** Called once when nobody will read the rest: whatever feeds this outlet should stop. */
  readonly onLeave: (why: "client_left" | "shut_down") => void;
}

/** Writes all but the first chunk; a promise is to be awaited before: the client is slow already. */
export type Feed = (first: void | Promise<void>) => void;

/** One open response. Write to it one chunk at a time, and await what `write` gives. */
export class Outlet extends Ticket implements OpenStream {
  readonly #options: OutletOptions;
  #controller: DirectController | undefined = undefined;
  /** Writes all but the first chunk; undefined once it was called. */
  #feed: Feed | undefined = undefined;
  #isClosed = false;
  /** Lets a parked writer go on: set while the client is slow. */
  #release: (() => void) | undefined = undefined;
  #wroteMs = 0;

  constructor(options: OutletOptions) {
    super();
    this.#options = options;
  }

  /** True once nothing more can be written. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * The response, with `first` as its first chunk: head and chunk leave in one packet. An empty
   * `first` writes a comment instead, since Bun sends no head before the first byte. `feed` writes
   * the rest; what it writes before its first wait leaves in that packet too, the end mark included,
   * which spares a short answer a third of its system calls. It is called when Bun asks for the
   * body, or when it will never ask: the outlet is then closed.
   *
   * Whether the client has left already is not looked at: Bun cancels the body of such a response.
   */
  open(
    status: number,
    headers: HeaderFields,
    first: Uint8Array | string,
    feed: Feed,
  ): Response {
    const { exchange } = this.#options;
    exchange.begin(status);
    const beginMs = exchange.startMs + exchange.firstByteMs;
    exchange.engine.streams.add(this);
    this.#feed = feed;
    const body = directStream((controller) => {
      this.#controller = controller;
      if (this.#isClosed) return controller.end();
      const written = this.#put(first.length === 0 ? COMMENT_EVENT : first, beginMs);
      this.#feed = undefined;
      // Before the rest: a body under 256 bytes that ended here would get a length instead of chunks.
      if (!this.#isClosed) controller.flush();
      feed(written);
      this.#schedule();
    }, () => this.#leave());
    return new Response(body, { status, headers });
  }

  /** Writes one chunk. A promise means that the client is slow: wait for it before the next. */
  write(chunk: Uint8Array | string): void | Promise<void> {
    if (this.#isClosed) return;
    return this.#put(chunk, this.#options.exchange.engine.wheel.nowMs);
  }

  #put(chunk: Uint8Array | string, nowMs: number): void | Promise<void> {
    const { exchange } = this.#options;
    exchange.bodyBytes += typeof chunk === "string" ? Buffer.byteLength(chunk) : chunk.length;
    this.#wroteMs = nowMs;
    const written = this.#controller!.write(chunk);
    if (typeof written === "number") return;
    // A client that leaves while it is slow may never settle `written`; `#close` then does.
    return new Promise((resolve) => {
      this.#release = () => {
        this.#release = undefined;
        this.#schedule();
        resolve();
      };
      this.#schedule();
      written.then(this.#release, () => this.#leave());
    });
  }

  /** The answer is whole. */
  end(outcome: Outcome = "completed", error?: AppError): void {
    if (this.#isClosed) return;
    this.#close(outcome, error);
    this.#controller!.end();
  }

  /** The answer failed in the middle: says so where that is possible, and never ends cleanly else. */
  fail(error: AppError, outcome: Outcome = "shut_down"): void {
    if (this.#isClosed) return;
    const event = this.#options.errorEvent(error);
    this.#close(outcome, error);
    if (event === null) {
      this.#controller?.close(error);
    } else {
      this.#controller?.write(event);
      this.#controller?.end();
    }
    if (outcome === "shut_down") this.#options.onLeave("shut_down");
  }

  /** The wheel's call: silence has lasted long enough, or the last look was too early. */
  override run(nowMs: number): void {
    const { keepaliveMs, writeTimeoutMs } = this.#options.exchange.engine;
    const silentMs = nowMs - this.#wroteMs;
    if (this.#release !== undefined) {
      if (silentMs >= writeTimeoutMs) return this.#drop(readerSlow(writeTimeoutMs));
    } else if (silentMs >= keepaliveMs && this.#options.canComment()) {
      this.write(COMMENT_EVENT);
    }
    this.#schedule();
  }

  /**
   * Sets the ticket: a slow client's deadline, else keep-alive. A write does not move it: it looks
   * again when it runs.
   */
  #schedule(): void {
    const { keepaliveMs, writeTimeoutMs, wheel } = this.#options.exchange.engine;
    if (this.#isClosed) return;
    if (this.#release !== undefined) return wheel.set(this, this.#wroteMs + writeTimeoutMs);
    if (keepaliveMs === 0) return wheel.cancel(this);
    wheel.set(this, Math.max(this.#wroteMs, wheel.nowMs - keepaliveMs + 1) + keepaliveMs);
  }

  /** The client has had its time: the connection is reset, and what it did not take is freed. */
  #drop(error: AppError): void {
    this.#close("timed_out", error);
    this.#controller!.close(error);
    this.#options.onLeave("client_left");
  }

  #leave(): void {
    if (this.#isClosed) return;
    this.#close("client_left");
    this.#options.onLeave("client_left");
  }

  #close(outcome: Outcome, error?: AppError): void {
    this.#isClosed = true;
    const { exchange } = this.#options;
    exchange.engine.wheel.cancel(this);
    exchange.engine.streams.delete(this);
    exchange.end(outcome, error);
    this.#release?.();
    const feed = this.#feed;
    this.#feed = undefined;
    feed?.(undefined);
  }
}
