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
  #kept: Buffer = Buffer.alloc(0);
  #isDone = false;
  #bytes = 0;

  /** True once a line `data: [DONE]` went by (the blank is optional). */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** True where a new event may begin: at the very start, or behind a blank line. */
  get isBoundary(): boolean {
    if (this.#bytes === 0) return true;
    const kept = this.#kept;
    const last = kept.at(-1);
    const before = kept.at(-2);
    if (last === CR) return before === CR || (before === LF && kept.at(-3) === CR);
    if (last !== LF) return false;
    if (before === LF) return true;
    return before === CR && (kept.at(-3) === LF || kept.at(-3) === CR);
  }

  feed(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    const isFirst = this.#bytes === this.#kept.length;
    this.#bytes += chunk.length;
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (!this.#isDone) {
      const seam = Buffer.concat([this.#kept, bytes.subarray(0, KEPT_BYTES)]);
      this.#isDone = saysDone(seam, isFirst) || saysDone(bytes, false);
    }
    this.#kept = bytes.length >= KEPT_BYTES
      ? Buffer.from(bytes.subarray(-KEPT_BYTES))
      : Buffer.from(Buffer.concat([this.#kept, bytes]).subarray(-KEPT_BYTES));
  }
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
