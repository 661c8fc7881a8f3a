/**
 * Watches SSE bytes go by without parsing them: where an event ends, and whether the stream has
 * said `[DONE]`. It keeps a few bytes of each chunk, never a copy of it.
 *
 * @module
 */

const LF = 10;
const CR = 13;

const MARK = Buffer.from("[DONE]");
/** The longest lead of the mark on its line: a line end and "data: ". */
const LEAD_BYTES = 7;
const KEPT_BYTES = LEAD_BYTES + MARK.length;

/** Follows one stream. Feed it every chunk in order. */
export class SseTail {
  /** The last bytes of all chunks so far; the first `#keptBytes` of it count. */
  readonly #kept = new Uint8Array(KEPT_BYTES);
  #keptBytes = 0;
  #isDone = false;

  /** True once a line `data: [DONE]` went by (the blank is optional). */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** True where a new event may begin: at the very start, or behind a blank line. */
  get isBoundary(): boolean {
    const [last, before, third] = [this.#last(1), this.#last(2), this.#last(3)];
    if (last === -1) return true;
    if (last === CR) return before === CR || (before === LF && third === CR);
    if (last !== LF) return false;
    if (before === LF) return true;
    return before === CR && (third === LF || third === CR);
  }

  feed(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    if (!this.#isDone) this.#isDone = this.#findsDone(chunk);
    this.#keep(chunk);
  }

  /** The byte `back` from the end of all; -1 when there are not so many. */
  #last(back: number): number {
    return this.#keptBytes >= back ? this.#kept[this.#keptBytes - back]! : -1;
  }

  #findsDone(chunk: Uint8Array): boolean {
    const last = this.#last(1);
    const isLineStart = last === -1 || last === LF || last === CR;
    if (saysDone(bufferOf(chunk), isLineStart)) return true;
    // Between two lines nothing can lie across the seam, and most chunks are whole events.
    if (isLineStart) return false;
    const kept = this.#kept.subarray(0, this.#keptBytes);
    const seam = Buffer.concat([kept, chunk.subarray(0, KEPT_BYTES)]);
    return saysDone(seam, this.#keptBytes < KEPT_BYTES);
  }

  #keep(chunk: Uint8Array): void {
    const added = Math.min(chunk.length, KEPT_BYTES);
    const stays = Math.min(this.#keptBytes, KEPT_BYTES - added);
    this.#kept.copyWithin(0, this.#keptBytes - stays, this.#keptBytes);
    for (let i = 0; i < added; i++) this.#kept[stays + i] = chunk[chunk.length - added + i]!;
    this.#keptBytes = stays + added;
  }
}

/** What a socket gives is a Buffer already. */
function bufferOf(chunk: Uint8Array): Buffer {
  return Buffer.isBuffer(chunk)
    ? chunk
    : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

/** True when `bytes` hold the mark on a data line of its own. `isStart`: a line starts at byte 0. */
function saysDone(bytes: Buffer, isStart: boolean): boolean {
  for (let at = bytes.indexOf(MARK); at >= 0; at = bytes.indexOf(MARK, at + 1)) {
    const lead = bytes.toString("latin1", Math.max(0, at - LEAD_BYTES), at);
    if (/[\r\n]data: ?$/.test(lead)) return true;
    if (isStart && (lead === "data: " || lead === "data:") && at === lead.length) return true;
  }
  return false;
}
