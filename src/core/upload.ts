/**
 * A large request body on its way up while it still comes. What has gone is kept for another try as
 * long as there is little of it; what has not gone makes its client wait.
 *
 * @module
 */

import type { Http1Upload, UploadListener } from "../lib/http1/upload.ts";

/** Bytes that have gone up and are kept, so that the request can be sent again: 1 MiB. */
export const REPLAY_BYTES_MAX = 1_048_576;

/** Bytes that have not gone up before their client has to wait; what is under way comes on top. */
export const UNSENT_BYTES_MAX = 65_536;

/** A piece is no larger: each that is taken is a sign of life of the upstream. */
const PIECE_BYTES_MAX = 65_536;

/** Where the body comes from. */
export interface UploadOrigin {
  readonly bodyLengthBytes: number | undefined;
  /** The upstream is busy: nothing is pushed until `resume`. What is under way may still come. */
  pause(): void;
  /** May push at once. */
  resume(): void;
  /** Bytes that are held no longer. */
  release(bytes: number): void;
  /** Nobody wants the rest. */
  drop(): void;
}

/** One body. */
export class Upload implements Http1Upload {
  readonly #origin: UploadOrigin;
  #listener: UploadListener | undefined = undefined;
  /** What is kept of what has gone, then what has not gone. */
  #pieces: Uint8Array[] = [];
  /** Pieces of them that have gone. */
  #gone = 0;
  /** Bytes of all that has gone since the first byte. */
  #goneBytes = 0;
  #unsentBytes = 0;
  #isReplayable = true;
  #isFinal = false;
  #isWhole = false;
  #isPaused = false;
  /** True while the listener waits to be told that there is more. */
  #isAskedFor = false;

  constructor(origin: UploadOrigin) {
    this.#origin = origin;
  }

  get lengthBytes(): number | undefined {
    return this.#origin.bodyLengthBytes;
  }

  get canStart(): boolean {
    return this.#isReplayable;
  }

  /** @throws {TypeError} when it cannot: a bug. */
  start(listener: UploadListener): void {
    if (!this.#isReplayable) throw new TypeError("Cannot start the upload: part of it was let go");
    this.#listener = listener;
    this.#unsentBytes += this.#goneBytes;
    this.#gone = this.#goneBytes = 0;
    this.#isAskedFor = false;
  }

  next(): Uint8Array | null | undefined {
    // Whatever is resumed here is in the line before this returns, and nobody need be told of it.
    if (this.#unsentBytes <= UNSENT_BYTES_MAX) this.#resume();
    const piece = this.#pieces[this.#gone];
    if (piece === undefined) {
      this.#isAskedFor = !this.#isWhole;
      return this.#isWhole ? null : undefined;
    }
    this.#gone++;
    this.#goneBytes += piece.length;
    this.#unsentBytes -= piece.length;
    const isKept = this.#isReplayable && !this.#isFinal && this.#goneBytes <= REPLAY_BYTES_MAX;
    if (!isKept) this.#letGo();
    return piece;
  }

  stop(): void {
    this.#listener = undefined;
    this.#isAskedFor = false;
    if (this.#isFinal) this.#drop();
  }

  /** Of the driver: nobody will ask again. What has gone is let go; without a taker, the rest too. */
  settle(): void {
    this.#isFinal = true;
    if (this.#listener === undefined) this.#drop();
    else this.#letGo();
  }

  /** Of the origin: there is little room. Keeps nothing for another try, unless one is coming. */
  forget(): void {
    if (this.#listener !== undefined && this.#gone > 0) this.#letGo();
  }

  /** Of the origin: more of the body. */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES_MAX) {
      this.#pieces.push(bytes.subarray(at, at + PIECE_BYTES_MAX));
    }
    this.#unsentBytes += bytes.length;
    this.#tell();
    if (this.#unsentBytes > UNSENT_BYTES_MAX && !this.#isPaused && !this.#isWhole) {
      this.#isPaused = true;
      this.#origin.pause();
    }
  }

  /** Of the origin: it is whole. */
  finish(): void {
    this.#isWhole = true;
    this.#tell();
  }

  #tell(): void {
    if (!this.#isAskedFor) return;
    this.#isAskedFor = false;
    this.#listener?.onMore();
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#origin.resume();
  }

  #letGo(): void {
    this.#isReplayable = false;
    const gone = this.#pieces.splice(0, this.#gone);
    this.#gone = 0;
    this.#origin.release(gone.reduce((sum, { length }) => sum + length, 0));
  }

  #drop(): void {
    this.#isReplayable = false;
    this.#pieces = [];
    this.#gone = this.#unsentBytes = 0;
    if (!this.#isWhole) this.#origin.drop();
  }
}
