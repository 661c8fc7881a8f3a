/**
 * Follows a server-sent event stream byte by byte against the answer it should be, and counts what
 * is lost, doubled or strange.
 *
 *   known    data: {"id":"▒▒▒▒","delta":"one "}⏎⏎data: {"id":"▒▒▒▒","delta":"two"}⏎⏎data: [DONE]⏎⏎
 *                         varies                ▲ ends[0]                         ▲ ends[1]
 *
 * As long as the bytes are the expected ones, one comparison per byte is all it does. At the first
 * other byte it takes the stream apart, event by event, until it has found its place again. Without
 * a known answer it counts events by their blank lines.
 *
 * @module
 */

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;

/** Bytes of one event at most, while the stream is taken apart. */
const EVENT_BYTES_MAX = 4 * 1024 * 1024;

/** The answer a stream should be. */
export interface KnownAnswer {
  /** The body's bytes; -1 where answers differ from each other (ids, times). */
  readonly bytes: Int16Array;
  /** `ends[i]`: the offset behind event i and its blank line. */
  readonly ends: Uint32Array;
}

/** What went wrong with the events of one or many streams. */
export interface EventFaults {
  /** Events of the known answer that did not come. */
  lost: number;
  /** Events that came again. */
  doubled: number;
  /** Blocks that are no event of the known answer: glued, torn or garbled. */
  strange: number;
}

/** Follows one stream. */
export class EventFollower {
  readonly #answer: KnownAnswer | undefined;
  readonly #faults: EventFaults;
  readonly #onEvent: (index: number) => void;
  /** The event that comes next. */
  #next = 0;
  #seen = 0;
  /** Where in the known answer the stream is, while it follows. */
  #at = 0;
  #isFollowing: boolean;
  /** Bytes of the block that is being taken apart. */
  #block = new Uint8Array(0);
  #blockBytes = 0;
  /** True behind a line feed (and any carriage return): the next line feed ends the block. */
  #isLineStart = true;

  /** `onEvent` is called once for every event that is whole and in its place, or counted. */
  constructor(
    answer: KnownAnswer | undefined,
    faults: EventFaults,
    onEvent: (index: number) => void,
  ) {
    this.#answer = answer;
    this.#faults = faults;
    this.#onEvent = onEvent;
    this.#isFollowing = answer !== undefined;
  }

  /** Events seen in their place so far; doubled and strange ones are not. */
  get events(): number {
    return this.#seen;
  }

  /** True when every event of the known answer came. Without one, never. */
  get isComplete(): boolean {
    return this.#answer !== undefined && this.#seen === this.#answer.ends.length;
  }

  /** Bytes `from` to before `to` of `bytes` are the next of the stream. */
  data(bytes: Uint8Array, from: number, to: number): void {
    let at = from;
    while (at < to) {
      at = this.#isFollowing ? this.#follow(bytes, at, to) : this.#sift(bytes, at, to);
    }
  }

  /** The stream is over: what has not come is lost, what is left over is strange. */
  end(): void {
    if (this.#isFollowing && this.#at > this.#startOfNext()) this.#faults.strange++;
    if (!this.#isFollowing && this.#blockBytes > 0) this.#faults.strange++;
    if (this.#answer !== undefined) this.#faults.lost += this.#answer.ends.length - this.#next;
  }

  /** Compares until a byte differs; gives the offset of what it did not take. */
  #follow(bytes: Uint8Array, from: number, to: number): number {
    const { bytes: known, ends } = this.#answer!;
    const stop = from + Math.min(to - from, known.length - this.#at);
    let at = this.#at;
    let i = from;
    for (; i < stop; i++, at++) {
      const expected = known[at]!;
      if (expected !== bytes[i] && expected >= 0) break;
    }
    this.#at = at;
    while (this.#next < ends.length && ends[this.#next]! <= at) this.#see(this.#next);
    if (i < to) this.#leaveTrack();
    return i;
  }

  /** Goes on block by block, beginning with the bytes of this event that did follow. */
  #leaveTrack(): void {
    const start = this.#startOfNext();
    this.#isFollowing = false;
    this.#blockBytes = 0;
    this.#isLineStart = true;
    for (let at = start; at < this.#at; at++) {
      const byte = this.#answer!.bytes[at]!;
      this.#push(byte < 0 ? 0 : byte); // what varies never decides: see `#matches`
      this.#markLine(byte);
    }
  }

  /** Takes one block apart; gives the offset behind it. */
  #sift(bytes: Uint8Array, from: number, to: number): number {
    for (let i = from; i < to; i++) {
      const byte = bytes[i]!;
      const isBlank = byte === LF && this.#isLineStart;
      if (this.#answer === undefined && this.#blockBytes > 0) this.#blockBytes++;
      else this.#push(byte);
      this.#markLine(byte);
      if (isBlank) {
        this.#judge();
        return i + 1;
      }
    }
    return to;
  }

  #see(index: number): void {
    this.#next = index + 1;
    this.#seen++;
    this.#onEvent(index);
  }

  #push(byte: number): void {
    if (this.#blockBytes === this.#block.length) {
      if (this.#blockBytes >= EVENT_BYTES_MAX) return;
      const wider = new Uint8Array(Math.max(1024, this.#block.length * 2));
      wider.set(this.#block);
      this.#block = wider;
    }
    this.#block[this.#blockBytes++] = byte;
  }

  #markLine(byte: number): void {
    if (byte === LF) this.#isLineStart = true;
    else if (byte !== CR) this.#isLineStart = false;
  }

  /** A block is whole: what is it? */
  #judge(): void {
    const first = this.#block[0]!;
    const isSilent = first === COLON || first === LF || first === CR; // a comment, or nothing
    const length = this.#blockBytes;
    this.#blockBytes = 0;
    this.#isLineStart = true;
    if (this.#answer === undefined) {
      if (!isSilent) this.#see(this.#next);
      return;
    }
    if (!isSilent) this.#place(length);
    if (this.#next < this.#answer.ends.length) {
      this.#at = this.#startOfNext();
      this.#isFollowing = true;
    }
  }

  /** Finds out which event the block is, looking ahead first. */
  #place(length: number): void {
    const count = this.#answer!.ends.length;
    for (let i = this.#next; i < count; i++) {
      if (!this.#matches(i, length)) continue;
      this.#faults.lost += i - this.#next;
      this.#see(i);
      return;
    }
    for (let i = this.#next - 1; i >= 0; i--) {
      if (!this.#matches(i, length)) continue;
      this.#faults.doubled++;
      return;
    }
    this.#faults.strange++;
  }

  #matches(index: number, length: number): boolean {
    const { bytes, ends } = this.#answer!;
    const start = index === 0 ? 0 : ends[index - 1]!;
    if (ends[index]! - start !== length) return false;
    for (let i = 0; i < length; i++) {
      const expected = bytes[start + i]!;
      if (expected >= 0 && expected !== this.#block[i]) return false;
    }
    return true;
  }

  #startOfNext(): number {
    return this.#next === 0 ? 0 : this.#answer!.ends[this.#next - 1]!;
  }
}
