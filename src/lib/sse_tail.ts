/**
 * Watches SSE bytes go by without parsing them: where an event ends, and whether the stream has
 * said `[DONE]`. It keeps a few bytes of a chunk that ends in the middle of a line, and else none.
 *
 * @module
 */

const LF = 10;
const CR = 13;
const BLANK = 32;

const LEAD = Buffer.from("data:");
const MARK = Buffer.from("[DONE]");
/** The longest line that begins like the mark's: "data: [DONE]". */
const LINE_BYTES = LEAD.length + 1 + MARK.length;

/** Follows one stream. Feed it every chunk in order. */
export class SseTail {
  /** The last three bytes of all chunks so far, the last one first; -1 = there is none. */
  #last = -1;
  #second = -1;
  #third = -1;
  /** The line that the last chunk ended in; null = it cannot become the mark's, or is not begun. */
  #line: Buffer | null = null;
  #isDone = false;

  /** True once a line `data: [DONE]` went by (the blank is optional). */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** True where a new event may begin: at the very start, or behind a blank line. */
  get isBoundary(): boolean {
    const [last, second, third] = [this.#last, this.#second, this.#third];
    if (last === -1) return true;
    if (last === CR) return second === CR || (second === LF && third === CR);
    if (last !== LF) return false;
    if (second === LF) return true;
    return second === CR && (third === LF || third === CR);
  }

  feed(chunk: Uint8Array): void {
    const { length } = chunk;
    if (length === 0) return;
    if (!this.#isDone) this.#look(bufferOf(chunk));
    const [last, second] = [this.#last, this.#second];
    this.#last = chunk[length - 1]!;
    this.#second = length > 1 ? chunk[length - 2]! : last;
    this.#third = length > 2 ? chunk[length - 3]! : length > 1 ? last : second;
  }

  #look(chunk: Buffer): void {
    const isLineStart = this.#last === -1 || isLineEnd(this.#last);
    const line = this.#line;
    this.#isDone = saysDone(chunk, isLineStart) ||
      (line !== null && saysDone(Buffer.concat([line, chunk.subarray(0, LINE_BYTES)]), true));
    this.#line = null;
    if (this.#isDone || isLineEnd(chunk[chunk.length - 1]!)) return;
    const from = Math.max(0, chunk.length - LINE_BYTES);
    let start = chunk.length;
    while (start > from && !isLineEnd(chunk[start - 1]!)) start--;
    if (start > from) this.#line = Buffer.from(chunk.subarray(start));
    else if (start > 0) return; // the line is longer than the mark's
    else if (isLineStart) this.#line = Buffer.from(chunk);
    else if (line !== null && line.length + chunk.length < LINE_BYTES) {
      this.#line = Buffer.concat([line, chunk]);
    }
  }
}

function isLineEnd(byte: number): boolean {
  return byte === LF || byte === CR;
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
    const end = bytes[at - 1] === BLANK ? at - 1 : at;
    const start = end - LEAD.length;
    if (start < 0 || LEAD.some((byte, i) => byte !== bytes[start + i])) continue;
    if (start === 0 ? isStart : isLineEnd(bytes[start - 1]!)) return true;
  }
  return false;
}
