/**
 * The beginning and the end of a stream, as far as an error event needs them to go on from it.
 *
 * @module
 */

import type { SentSoFar } from "./surface.ts";

/** The first event of a Responses stream tells its id and its model within so many bytes. */
const FIRST_BYTES_MAX = 2048;
/** The last event begins within so many, or it is a long one whose number is not found. */
const LAST_BYTES_MAX = 1024;

/** Where nothing was sent. */
export const NOTHING_SENT: SentSoFar = { first: "", last: "" };

/** Follows one stream. It copies a few bytes of each piece. */
export class SentText implements SentSoFar {
  #first: Buffer = Buffer.alloc(0);
  #last: Buffer = Buffer.alloc(0);

  add(bytes: Uint8Array): void {
    this.#addFirst(bytes);
    this.#last = bytes.length >= LAST_BYTES_MAX
      ? Buffer.from(bytes.subarray(-LAST_BYTES_MAX))
      : Buffer.concat([this.#last.subarray(bytes.length - LAST_BYTES_MAX), bytes]);
  }

  /** Only what is kept of it is encoded. */
  addText(text: string): void {
    if (text.length <= LAST_BYTES_MAX) return this.add(Buffer.from(text));
    this.#addFirst(Buffer.from(text.slice(0, FIRST_BYTES_MAX - this.#first.length)));
    this.#last = Buffer.from(text.slice(-LAST_BYTES_MAX)).subarray(-LAST_BYTES_MAX);
  }

  get first(): string {
    return this.#first.toString();
  }

  get last(): string {
    return this.#last.toString();
  }

  #addFirst(bytes: Uint8Array): void {
    const room = FIRST_BYTES_MAX - this.#first.length;
    if (room > 0) this.#first = Buffer.concat([this.#first, bytes.subarray(0, room)]);
  }
}
