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

/** A body: `read` it piece by piece, take it `whole`, or `cancel` it. */
export class Http1Body {
  readonly #source: BodySource;
  /** Pieces that came while nobody waited for them. */
  #queue: Uint8Array[] = [];
  /** Set while a call of `read` waits. */
  #resolve: ((piece: Uint8Array | null) => void) | null = null;
  #reject: ((error: Http1Error) => void) | null = null;
  #isTaken = false;
  #hasEnded = false;
  #error: Http1Error | null = null;
  #isSettled = false;

  constructor(source: BodySource) {
    this.#source = source;
  }

  /** True when a piece that came now would have to wait. */
  get isBlocked(): boolean {
    return this.#resolve === null;
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
   * What has come since the last call, in one piece, or null behind the last. What is here already
   * comes without a promise: most heads bring their first piece along. One call at a time.
   *
   * @throws {Http1Error} what ended the body early (the promise rejects).
   */
  read(): Uint8Array | null | Promise<Uint8Array | null> {
    if (this.#resolve !== null) throw new TypeError("Cannot read the body: a read is waiting");
    this.#isTaken = true;
    if (this.#queue.length > 0) return this.#gather();
    if (this.#error !== null) {
      this.#settle();
      return Promise.reject(this.#error);
    }
    if (this.#hasEnded || this.#isSettled) {
      this.#settle();
      return null;
    }
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#source.resume();
    });
  }

  /**
   * Nobody wants the rest: closes the connection, unless the body is whole. A `read` that waits gives
   * null.
   */
  cancel(): void {
    if (this.#isSettled) return;
    this.#isTaken = true;
    const resolve = this.#resolve;
    this.#settle();
    if (!this.#hasEnded) this.#source.drop();
    resolve?.(null);
  }

  /** For the connection: a piece has come. */
  push(bytes: Uint8Array): void {
    if (this.#isSettled) return;
    const resolve = this.#resolve;
    if (resolve === null) {
      this.#queue.push(bytes);
    } else {
      this.#resolve = this.#reject = null;
      resolve(bytes);
    }
  }

  /** For the connection: the body is whole. */
  end(): void {
    this.#hasEnded = true;
    // Nothing can go wrong with what waits here: the caller's signal need not be listened to.
    this.#source.settle();
    const resolve = this.#resolve;
    if (resolve === null) return;
    this.#settle();
    resolve(null);
  }

  /** For the connection: the rest will not come. What is here is handed on first. */
  fail(error: Http1Error): void {
    if (this.#isSettled) return;
    this.#hasEnded = true;
    this.#error = error;
    const reject = this.#reject;
    if (reject === null) return;
    this.#settle();
    reject(error);
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
    this.#resolve = this.#reject = null;
    this.#source.settle();
  }
}
