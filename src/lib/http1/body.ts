/**
 * The body of one HTTP/1.1 response while it arrives. Its reader sets the pace: while it is busy the
 * socket is not read, so a slow reader costs the bytes of two socket reads (1 MiB) at the most.
 *
 * @module
 */

import type { Http1Error } from "./error.ts";

/** What a body needs from the connection it arrives on. */
export interface BodySource {
  /** The socket is to be read, if it was not. */
  resume(): void;
  /** Nobody wants the rest: the connection is closed. */
  drop(): void;
  /** Nothing can happen any more, the caller's signal included. May be called again. */
  settle(): void;
}

/** Waits for a body: exactly one of the two is called, once. Neither may throw. */
export interface BodyReader {
  /** null = there are no more. */
  onPiece(piece: Uint8Array | null): void;
  onBroken(error: unknown): void;
}

/** A body: take it piece by piece with `next`, take it `whole`, or `cancel` it. */
export class Http1Body {
  readonly #source: BodySource;
  /** Pieces that came while nobody waited for them. */
  #queue: Uint8Array[] = [];
  /** Set while somebody waits. */
  #reader: BodyReader | null = null;
  #isTaken = false;
  #hasEnded = false;
  #error: Http1Error | null = null;
  #isSettled = false;

  constructor(source: BodySource) {
    this.#source = source;
  }

  /** True when a piece that came now would have to wait. */
  get isBlocked(): boolean {
    return this.#reader === null;
  }

  /** True when the upstream has sent everything, even if some of it still waits here. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** True when the upstream has sent everything, and all of it has been read. */
  get isOver(): boolean {
    return this.#hasEnded && this.#error === null && this.#queue.length === 0;
  }

  /**
   * The whole body when all of it came together with the head, which spares small answers a stream;
   * else undefined. Counts as reading it.
   */
  whole(): Uint8Array | undefined {
    if (!this.#hasEnded || this.#isTaken || this.#error !== null) return undefined;
    this.#isTaken = true;
    const bytes = this.#gather();
    this.#settle();
    return bytes;
  }

  /**
   * What has come since the last call, in one piece; null behind the last; undefined when it is still
   * to come: `reader` is told of it then. No promise: each would be some 3 % of a proxied event. One
   * call at a time.
   *
   * @throws {Http1Error} what ended the body early.
   */
  next(reader: BodyReader): Uint8Array | null | undefined {
    if (this.#reader !== null) throw new TypeError("Cannot read the body: a reader is waiting");
    this.#isTaken = true;
    if (this.#queue.length > 0) return this.#gather();
    if (this.#error !== null) {
      this.#settle();
      throw this.#error;
    }
    if (this.#hasEnded || this.#isSettled) {
      this.#settle();
      return null;
    }
    this.#reader = reader;
    this.#source.resume();
    return undefined;
  }

  /**
   * Nobody wants the rest: closes the connection, unless the body is whole. A reader that waits gets
   * null.
   */
  cancel(): void {
    if (this.#isSettled) return;
    this.#isTaken = true;
    const reader = this.#reader;
    this.#settle();
    if (!this.#hasEnded) this.#source.drop();
    reader?.onPiece(null);
  }

  /** For the connection: a piece has come. */
  push(bytes: Uint8Array): void {
    if (this.#isSettled) return;
    const reader = this.#reader;
    this.#reader = null;
    if (reader === null) this.#queue.push(bytes);
    else reader.onPiece(bytes);
  }

  /** For the connection: the body is whole with `last`; null = it was already. */
  end(last: Uint8Array | null): void {
    if (this.#isSettled) return;
    this.#hasEnded = true;
    const reader = this.#reader;
    this.#reader = null;
    if (reader === null) {
      if (last !== null) this.#queue.push(last);
      // Nothing can go wrong with what waits here: the caller's signal need not be listened to.
      return this.#source.settle();
    }
    if (last === null) this.#settle();
    else this.#source.settle();
    reader.onPiece(last);
  }

  /** For the connection: the rest will not come. What is here is handed on first. */
  fail(error: Http1Error): void {
    if (this.#isSettled) return;
    this.#hasEnded = true;
    this.#error = error;
    const reader = this.#reader;
    if (reader === null) return;
    this.#settle();
    reader.onBroken(error);
  }

  /** For the connection: the caller has given up. Nothing more is handed on but `error`. */
  abort(error: Http1Error): void {
    this.#queue = [];
    this.fail(error);
  }

  /** Empties the queue into one piece: what came in several packets leaves in one write. */
  #gather(): Uint8Array {
    const pieces = this.#queue;
    this.#queue = [];
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }

  #settle(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#queue = [];
    this.#reader = null;
    this.#source.settle();
  }
}
