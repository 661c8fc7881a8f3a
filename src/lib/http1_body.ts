/**
 * The body of one HTTP/1.1 response while it arrives. Its reader sets the pace: while it is busy the
 * socket is not read, so a slow reader costs the bytes of two socket reads (1 MiB) at the most.
 *
 * @module
 */

import { Http1Error } from "./http1_error.ts";

/**
 * Takes a body. Exactly one of `onEnd` and `onError` is called, as the last thing; neither may
 * throw.
 */
export interface BodyReader {
  /**
   * One piece, as the network gave it; the reader may keep it. A promise means: no further piece
   * before it settles.
   */
  onChunk(bytes: Uint8Array): void | Promise<void>;
  /** The body is whole. */
  onEnd(): void;
  /** The body will never be whole. */
  onError(error: Http1Error): void;
}

/** What a body needs from the connection it arrives on. */
export interface BodySource {
  /** No byte is to be read for now. */
  pause(): void;
  resume(): void;
  /** Nobody wants the rest: the connection is closed. */
  drop(): void;
  /** Nothing can happen any more, the caller's signal included. May be called again. */
  settle(): void;
}

/** A call of `read` that waits for the next piece. */
interface PendingRead {
  readonly resolve: (piece: Uint8Array | null) => void;
  readonly reject: (error: Http1Error) => void;
}

/** A body: take it in one way (`read`, `for await`, `pipe`, `bytes`, `whole`), or `cancel` it. */
export class Http1Body implements AsyncIterable<Uint8Array> {
  readonly #source: BodySource;
  #reader: BodyReader | null = null;
  #pending: PendingRead | null = null;
  /** Pieces that came while nobody could take them. */
  #queue: Uint8Array[] = [];
  #isPaused = false;
  /** The reader has a promise open. */
  #isBusy = false;
  #isTaken = false;
  /** It is taken by `read`. */
  #isPulled = false;
  #hasEnded = false;
  #error: Http1Error | null = null;
  #isSettled = false;

  constructor(source: BodySource) {
    this.#source = source;
  }

  /** True when a piece that came now would have to wait. */
  get isBlocked(): boolean {
    return (this.#reader === null && this.#pending === null) || this.#isBusy || this.#isPaused;
  }

  /** True when the upstream has sent everything, even if some of it still waits here. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /**
   * The whole body when all of it came together with the head, which spares small answers a stream;
   * else undefined. Counts as reading it.
   */
  whole(): Uint8Array | undefined {
    if (!this.#hasEnded || this.#isTaken || this.#error !== null) return undefined;
    this.#take();
    const bytes = this.#gather();
    this.#settle();
    return bytes;
  }

  /** Hands everything to `reader`, beginning inside this call with what is here already. */
  pipe(reader: BodyReader): void {
    this.#take();
    this.#reader = reader;
    this.#flow();
  }

  /**
   * The whole body.
   *
   * @throws {Http1Error} body_too_large above `bytesMax`, and whatever ended the body early.
   */
  bytes(bytesMax: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const pieces: Uint8Array[] = [];
      let length = 0;
      this.pipe({
        onChunk: (bytes) => {
          length += bytes.length;
          pieces.push(bytes);
          if (length <= bytesMax) return;
          this.cancel();
          const message = `Cannot take the response: its body is longer than ${bytesMax} bytes`;
          const error = new Http1Error("body_too_large", message);
          error.hasBegun = true;
          reject(error);
        },
        onEnd: () => resolve(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, length)),
        onError: reject,
      });
    });
  }

  /**
   * What has come since the last call, in one piece, or null behind the last. What is here already
   * comes without a promise: most heads bring their first piece along. One call at a time.
   *
   * @throws {Http1Error} what ended the body early (the promise rejects).
   */
  read(): Uint8Array | null | Promise<Uint8Array | null> {
    if (!this.#isPulled) {
      this.#take();
      this.#isPulled = true;
    }
    if (this.#pending !== null) throw new TypeError("Cannot read the body: a read is waiting");
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
      this.#pending = { resolve, reject };
      this.#source.resume();
    });
  }

  /** Piece by piece; leaving the loop early cancels the body. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (let piece = await this.read(); piece !== null; piece = await this.read()) yield piece;
    } finally {
      this.cancel();
    }
  }

  /** For a body that is piped: hands nothing on until `resume`, and lets the socket wait. */
  pause(): void {
    if (this.#isSettled || this.#isPaused) return;
    this.#isPaused = true;
    if (!this.#hasEnded) this.#source.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#flow();
  }

  /**
   * Nobody wants the rest: closes the connection, unless the body is whole. Calls no reader back; a
   * waiting `read` gives null.
   */
  cancel(): void {
    if (this.#isSettled) return;
    this.#isTaken = true;
    this.#settle();
    if (!this.#hasEnded) this.#source.drop();
    this.#pending?.resolve(null);
    this.#pending = null;
  }

  /** For the connection: a piece has come. */
  push(bytes: Uint8Array): void {
    if (this.#isSettled) return;
    if (this.isBlocked || this.#queue.length > 0) this.#queue.push(bytes);
    else this.#give(bytes);
  }

  /** For the connection: the body is whole. */
  end(): void {
    this.#hasEnded = true;
    if (this.#queue.length > 0) return;
    this.#source.settle();
    this.#finish();
  }

  /** For the connection: the rest will not come. What is here is handed on first. */
  fail(error: Http1Error): void {
    if (this.#isSettled) return;
    this.#hasEnded = true;
    this.#error = error;
    if (this.#queue.length === 0) this.#finish();
  }

  /** For the connection: the caller has given up. Nothing more is handed on but `error`. */
  abort(error: Http1Error): void {
    if (this.#isSettled) return;
    this.#queue = [];
    this.#hasEnded = true;
    this.#error = error;
    this.#isBusy = false;
    this.#isPaused = false;
    this.#finish();
  }

  /** Empties the queue into one piece: chunks that came in one packet leave in one write. */
  #gather(): Uint8Array {
    const pieces = this.#queue;
    this.#queue = [];
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }

  #take(): void {
    if (this.#isTaken) throw new TypeError("Cannot read the body: it is read already");
    this.#isTaken = true;
  }

  /** Hands on what waits, as far as the reader takes it. */
  #flow(): void {
    while (!this.isBlocked && this.#queue.length > 0) {
      this.#give(this.#queue.shift()!);
    }
    if (this.isBlocked || this.#isSettled) return;
    if (this.#hasEnded) this.#finish();
    else this.#source.resume();
  }

  /** Only when not blocked: there is a reader, or a `read` that waits. */
  #give(bytes: Uint8Array): void {
    if (this.#reader === null) {
      const { resolve } = this.#pending!;
      this.#pending = null;
      return resolve(bytes);
    }
    let taken: void | Promise<void>;
    try {
      taken = this.#reader.onChunk(bytes);
    } catch (cause) {
      return this.#readerFailed(cause);
    }
    if (taken === undefined) return;
    this.#isBusy = true; // the connection pauses if more comes before this settles
    taken.then(() => {
      if (this.#isSettled) return;
      this.#isBusy = false;
      this.#flow();
    }, (cause) => this.#readerFailed(cause));
  }

  #readerFailed(cause: unknown): void {
    if (this.#isSettled) return;
    const error = new Http1Error("reader_failed", "Cannot hand on the response body", cause);
    error.hasBegun = true;
    const reader = this.#reader!;
    this.cancel();
    reader.onError(error);
  }

  /** Says how it ended, as soon as there is somebody to say it to. */
  #finish(): void {
    const reader = this.#reader;
    const pending = this.#pending;
    if (this.isBlocked) return;
    this.#settle();
    this.#pending = null;
    const error = this.#error;
    if (error === null) {
      reader?.onEnd();
      pending?.resolve(null);
    } else {
      reader?.onError(error);
      pending?.reject(error);
    }
  }

  #settle(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#queue = [];
    this.#source.settle();
  }
}
