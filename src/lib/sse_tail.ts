/**
 * Watches SSE bytes go by without parsing them: where an event ends, and whether the stream has come
 * to its end mark. It keeps a few bytes of a chunk that ends in the middle of a line, and else none.
 *
 * @module
 */

import { bufferOf } from "./buffer_of.ts";

const LF = 10;
const CR = 13;

/** Words that tell the end of a stream where one stands on a line of its own, behind one of these. */
interface Mark {
  readonly words: Buffer;
  readonly leads: readonly Buffer[];
}

const DONE: readonly Mark[] = [markOf("[DONE]", ["data:", "data: "])];

const EVENT_LEADS = ["event:", "event: ", 'data:{"type":"', 'data: {"type":"'];

function markOf(words: string, leads: readonly string[]): Mark {
  return { words: Buffer.from(words), leads: leads.map((lead) => Buffer.from(lead)) };
}

/** Bytes of the longest line that begins like the one of a mark. */
function lineBytesOf(marks: readonly Mark[]): number {
  return Math.max(
    0,
    ...marks.flatMap(({ words, leads }) => leads.map(({ length }) => length + words.length)),
  );
}

/** How streams of one dialect end. Made once. */
export class StreamEnd {
  readonly marks: readonly Mark[];
  readonly lineBytesMax: number;
  /** True: the mark is one event of several lines, and the stream is done behind it. */
  readonly isEvent: boolean;

  private constructor(marks: readonly Mark[], isEvent: boolean) {
    this.marks = marks;
    this.lineBytesMax = lineBytesOf(marks);
    this.isEvent = isEvent;
  }

  /** With the line `data: [DONE]` (the blank is optional). */
  static readonly DONE = new StreamEnd(DONE, false);

  /** Nobody knows. */
  static readonly UNKNOWN = new StreamEnd([], false);

  /** With an event of one of these types, which its line `event:` tells, or the start of its data. */
  static events(...types: readonly string[]): StreamEnd {
    return new StreamEnd(types.map((type) => markOf(type, EVENT_LEADS)), true);
  }

  /** False: no stream of this kind is ever done. */
  get isKnown(): boolean {
    return this.marks.length > 0;
  }
}

/** Follows one stream. Feed it every chunk in order. */
export class SseTail {
  readonly #end: StreamEnd;
  /** The last three bytes of all chunks so far, the last one first; -1 = there is none. */
  #last = -1;
  #second = -1;
  #third = -1;
  /** The line that the last chunk ended in; null = it cannot become the mark's, or is not begun. */
  #line: Buffer | null = null;
  #hasMark = false;
  #isDone = false;

  constructor(end: StreamEnd = StreamEnd.DONE) {
    this.#end = end;
  }

  /** True once the end mark went by. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** True when the stream ought to have come to an end mark, and has not. */
  get isUnfinished(): boolean {
    return this.#end.isKnown && !this.#isDone;
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
    if (!this.#hasMark) this.#look(bufferOf(chunk));
    const [last, second] = [this.#last, this.#second];
    this.#last = chunk[length - 1]!;
    this.#second = length > 1 ? chunk[length - 2]! : last;
    this.#third = length > 2 ? chunk[length - 3]! : length > 1 ? last : second;
    if (this.#hasMark && !this.#isDone) this.#isDone = !this.#end.isEvent || this.isBoundary;
  }

  #look(chunk: Buffer): void {
    const { marks, lineBytesMax } = this.#end;
    const isLineStart = this.#last === -1 || isLineEnd(this.#last);
    const line = this.#line;
    this.#hasMark = holdsMark(marks, chunk, isLineStart) ||
      (line !== null &&
        holdsMark(marks, Buffer.concat([line, chunk.subarray(0, lineBytesMax)]), true));
    this.#line = null;
    if (this.#hasMark || isLineEnd(chunk[chunk.length - 1]!)) return;
    const from = Math.max(0, chunk.length - lineBytesMax);
    let start = chunk.length;
    while (start > from && !isLineEnd(chunk[start - 1]!)) start--;
    if (start > from) this.#line = Buffer.from(chunk.subarray(start));
    else if (start > 0) return; // the line is longer than the mark's
    else if (isLineStart) this.#line = Buffer.from(chunk);
    else if (line !== null && line.length + chunk.length < lineBytesMax) {
      this.#line = Buffer.concat([line, chunk]);
    }
  }
}

function isLineEnd(byte: number): boolean {
  return byte === LF || byte === CR;
}

/** True when `bytes` hold a mark on a line of its own. `isStart`: a line starts at byte 0. */
function holdsMark(marks: readonly Mark[], bytes: Buffer, isStart: boolean): boolean {
  for (const { words, leads } of marks) {
    for (let at = bytes.indexOf(words); at >= 0; at = bytes.indexOf(words, at + 1)) {
      for (const lead of leads) {
        const start = at - lead.length;
        if (start < 0 || lead.some((byte, i) => byte !== bytes[start + i])) continue;
        if (start === 0 ? isStart : isLineEnd(bytes[start - 1]!)) return true;
      }
    }
  }
  return false;
}
