/**
 * Cuts a stream of server-sent events into whole events, bytes untouched, whatever pieces it comes in.
 *
 * @module
 */

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const DATA = Buffer.from("data");
const MARK = [0xef, 0xbb, 0xbf] as const;

/** Of an event: more is passed on in pieces, and is none. Larger than any that a fault makes. */
export const EVENT_BYTES_MAX = 128 * 1024 * 1024;

/** A part of a stream: an event, or what stands between two of them. */
export interface StreamPart {
  /** With the blank line that ends it. */
  readonly bytes: Buffer;
  /** False: comments, fields without data, what is too long, or the rest of a stream that breaks off. */
  readonly isEvent: boolean;
}

/** Cuts one stream. What it gives, joined, is what it got. */
export class SseCutter {
  readonly #bytesMax: number;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** True: a part of this event has left already. */
  #isTooLong = false;
  /** Bytes of a byte order mark at the beginning of the stream; -1 = it has begun otherwise. */
  #markBytes = 0;
  /** The beginning of the line that is read, as far as it tells what the line is. */
  #line: number[] = [];
  #isLineEmpty = true;
  #hasData = false;
  /** True when the last byte was a CR: an LF that follows belongs to it. */
  #isBehindCr = false;

  constructor(bytesMax = EVENT_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** The parts that `bytes` complete. They share the memory of `bytes`, which is the cutter's now. */
  feed(bytes: Buffer): StreamPart[] {
    const parts: StreamPart[] = [];
    let start = 0;
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]!;
      const isSecondOfTwo = byte === LF && this.#isBehindCr;
      this.#isBehindCr = byte === CR;
      if (isSecondOfTwo) continue;
      if (byte !== LF && byte !== CR) {
        if (this.#markBytes >= 0) {
          this.#markBytes = byte === MARK[this.#markBytes] ? this.#markBytes + 1 : -1;
          if (this.#markBytes > 0) continue;
        }
        if (this.#line.length < DATA.length + 1) this.#line.push(byte);
        this.#isLineEmpty = false;
        continue;
      }
      if (!this.#isLineEmpty) {
        this.#hasData ||= isData(this.#line);
        this.#line = [];
        this.#isLineEmpty = true;
        continue;
      }
      // An LF that is here already goes with its CR.
      const end = byte === CR && bytes[at + 1] === LF ? at + 2 : at + 1;
      const isEvent = this.#hasData && !this.#isTooLong;
      parts.push({ bytes: this.#take(bytes.subarray(start, end)), isEvent });
      this.#hasData = this.#isTooLong = false;
      start = end;
    }
    if (start === bytes.length) return parts;
    this.#held.push(bytes.subarray(start));
    this.#heldBytes += bytes.length - start;
    if (this.#heldBytes > this.#bytesMax) {
      this.#isTooLong = true;
      parts.push({ bytes: this.#take(Buffer.alloc(0)), isEvent: false });
    }
    return parts;
  }

  /** What is left of a stream that ends; undefined = nothing. */
  end(): StreamPart | undefined {
    if (this.#held.length === 0) return undefined;
    return { bytes: this.#take(Buffer.alloc(0)), isEvent: false };
  }

  #take(rest: Buffer): Buffer {
    if (this.#held.length === 0) return rest;
    const whole = Buffer.concat([...this.#held, rest]);
    this.#held = [];
    this.#heldBytes = 0;
    return whole;
  }
}

/** Is it the beginning of a line with data? */
function isData(line: readonly number[]): boolean {
  const isNamed = DATA.every((byte, i) => line[i] === byte);
  return isNamed && (line.length === DATA.length || line[DATA.length] === COLON);
}
