/**
 * Cuts the body of an answer into events and notes each in a record. One pass over the bytes where
 * they lie; only an event of an unknown shape is decoded and parsed.
 *
 * @module
 */

import { EventShapes } from "./event_shapes.ts";
import { type AnswerForm, type Meaning, meaningOf, wholeMeaning } from "./event_meaning.ts";
import { EVENTS_MAX, KIND, type Recording, type ToldUsage } from "./record.ts";
import { REMARK } from "./remarks.ts";

/** Bytes of one event, or of a whole JSON answer, at most. */
const EVENT_BYTES_MAX = 16 * 1024 * 1024;

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const NO_TEXT = new Uint8Array(0);
/** What nearly every answer ends with. */
const DONE = Buffer.from("data: [DONE]\n\n");

/** What a body is: server-sent events, or something that is read when it is whole. */
export type BodyKind = "events" | "whole";

/** Reads one answer after the other. */
export class EventReader {
  readonly #shapes: EventShapes;
  #recording: Recording | undefined = undefined;
  #kind: BodyKind = "events";
  /** The beginning of an event whose end has not come, its line ends as LF where it has other ones. */
  #held: Buffer = Buffer.alloc(0);
  #heldBytes = 0;
  /** Bytes of the held event as they came. */
  #rawBytes = 0;
  /** True once the answer has had a CR: its lines are then read byte by byte. */
  #hasReturns = false;
  #wasReturn = false;
  #isFirst = true;
  /** What went wrong inside the answer; "" = nothing. */
  error = "";
  /** True: there is more of it than is kept, and nothing of the rest will be read. */
  isOverfull = false;
  /** Choices that began and have not ended: a bit for each. */
  #choices = 0;
  #ended = 0;
  /** What a whole answer was. */
  form: AnswerForm = "any";

  /** `shapes`: shared by all readers of one run. */
  constructor(shapes: EventShapes) {
    this.#shapes = shapes;
  }

  /** Begins an answer. */
  begin(recording: Recording, kind: BodyKind): void {
    this.#recording = recording;
    this.#kind = kind;
    this.#heldBytes = this.#rawBytes = 0;
    this.#hasReturns = this.#wasReturn = false;
    this.#isFirst = true;
    this.error = "";
    this.isOverfull = false;
    this.#choices = this.#ended = 0;
    this.form = "any";
  }

  /** The first choice that began and has no reason why it ended; -1 = none. */
  get openChoice(): number {
    const open = this.#choices & ~this.#ended;
    return open === 0 ? -1 : 31 - Math.clz32(open & -open);
  }

  /** Bytes of a block that has not ended, or of a whole answer. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** What is held, as text, for messages. */
  heldText(): string {
    return this.#held.toString("utf8", 0, this.#heldBytes);
  }

  /** Bytes `from` to before `to` of `bytes` are the next of the body; the record knows of the read. */
  data(bytes: Buffer, from: number, to: number): void {
    if (this.isOverfull) return;
    if (this.#kind === "whole") return this.#hold(bytes, from, to);
    let at = from;
    if (this.#isFirst && to > from) {
      this.#isFirst = false;
      // A byte order mark in one piece: more pieces than that no server makes of it.
      if (bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf) at += 3;
    }
    if (this.#hasReturns) return this.#slowly(bytes, at, to);
    while (at < to) {
      const isFresh = this.#heldBytes === 0;
      const before = isFresh ? 0 : this.#held[this.#heldBytes - 1]!;
      const end = blockEnd(bytes, at, to, before);
      if (end < 0) {
        // What is held has no CR, so that each LF in it ends a line.
        if (end === HAS_RETURNS || hasReturn(bytes, at, to)) return this.#slowly(bytes, at, to);
        return this.#hold(bytes, at, to);
      }
      if (isFresh) {
        this.#judge(bytes, at, end, end - at);
      } else {
        this.#hold(bytes, at, end);
        this.#judgeHeld();
      }
      at = end;
    }
  }

  /**
   * The body is whole; a whole answer is read now. What is left over of an event is none, unless it is
   * an end mark: clients that read line by line take that for one.
   */
  end(): void {
    if (this.#heldBytes === 0 || this.isOverfull) return;
    if (this.#kind === "whole") {
      const meaning = wholeMeaning(this.heldText());
      this.form = meaning.form ?? "any";
      this.#note(meaning, this.#rawBytes);
    } else {
      const parsed = fieldsOf(this.heldText());
      const meaning = parsed === undefined ? undefined : meaningOf(parsed.data, parsed.event);
      if (meaning === undefined || (meaning.kinds & KIND.done) === 0) return;
      this.#recording!.remarks |= REMARK.looseEnd;
      this.#note(meaning, this.#rawBytes);
    }
    this.#heldBytes = this.#rawBytes = 0;
  }

  /** Lines end in CR or CRLF as well: byte by byte, each line end as an LF. */
  #slowly(bytes: Uint8Array, from: number, to: number): void {
    this.#hasReturns = true;
    for (let i = from; i < to; i++) {
      const byte = bytes[i]!;
      const isPair = byte === LF && this.#wasReturn;
      this.#wasReturn = byte === CR;
      this.#rawBytes++;
      if (isPair) continue;
      ONE[0] = byte === CR ? LF : byte;
      const before = this.#heldBytes === 0 ? 0 : this.#held[this.#heldBytes - 1];
      this.#push(ONE, 0, 1);
      if (ONE[0] === LF && (before === LF || this.#heldBytes === 1)) this.#judgeHeld();
    }
  }

  #hold(bytes: Uint8Array, from: number, to: number): void {
    this.#rawBytes += to - from;
    this.#push(bytes, from, to);
  }

  #push(bytes: Uint8Array, from: number, to: number): void {
    const end = this.#heldBytes + to - from;
    if (end > EVENT_BYTES_MAX) {
      const what = this.#kind === "events" ? "an event" : "the answer";
      return this.#overflow(`${what} is over ${EVENT_BYTES_MAX >> 20} MiB`);
    }
    if (end > this.#held.length) {
      const wider = Buffer.alloc(Math.max(512, 2 * this.#held.length, end));
      wider.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = wider;
    }
    if (to - from === 1) this.#held[this.#heldBytes] = bytes[from]!;
    else this.#held.set(bytes.subarray(from, to), this.#heldBytes);
    this.#heldBytes = end;
  }

  #judgeHeld(): void {
    const length = this.#heldBytes;
    const rawBytes = this.#rawBytes;
    this.#heldBytes = this.#rawBytes = 0;
    this.#judge(this.#held, 0, length, rawBytes);
  }

  /** A block is whole, its blank line included. */
  #judge(bytes: Buffer, from: number, to: number, rawBytes: number): void {
    const first = bytes[from];
    if (first === LF) return; // a blank line that ends nothing
    const shapes = this.#shapes;
    if (to - from === DONE.length && bytes.compare(DONE, 0, DONE.length, from, to) === 0) {
      return this.#keep(KIND.done, rawBytes, NO_TEXT, 0, 0);
    }
    const kinds = shapes.find(bytes, from, to);
    if (kinds !== 0) {
      const { choices, ended } = shapes.last;
      this.#choices |= choices;
      this.#ended |= ended;
      this.#keep(kinds, rawBytes, bytes, shapes.textFrom, shapes.textTo);
      return;
    }
    const block = bytes.toString("utf8", from, to);
    if (block.includes("\r")) {
      return this.#slowly(Buffer.from(bytes.subarray(from, to)), 0, to - from);
    }
    const parsed = fieldsOf(block);
    if (parsed === undefined) {
      if (first === COLON) this.#keep(KIND.comment, rawBytes, NO_TEXT, 0, 0);
      return;
    }
    const meaning = meaningOf(parsed.data, parsed.event);
    this.#note(meaning, rawBytes);
    shapes.learn(bytes, from, to, meaning);
  }

  #note({ kinds, text, usage, error, choices = 0, ended = 0 }: Meaning, rawBytes: number): void {
    if (error !== undefined) this.error ||= error;
    this.#choices |= choices;
    this.#ended |= ended;
    const recording = this.#recording!;
    if (usage !== undefined) recording.usage = joined(recording.usage, usage);
    const said = text === "" ? NO_TEXT : Buffer.from(JSON.stringify(text));
    this.#keep(kinds, rawBytes, said, text === "" ? 0 : 1, Math.max(0, said.length - 1));
  }

  #keep(kinds: number, bytes: number, said: Uint8Array, from: number, to: number): void {
    if (!this.#recording!.event(kinds, bytes, said, from, to)) {
      this.#overflow(`more than ${EVENTS_MAX} events`);
    }
  }

  #overflow(error: string): void {
    this.error ||= error;
    this.isOverfull = true;
  }
}

const ONE = new Uint8Array(1);

/** What `blockEnd` gives for lines that end in CRLF. */
const HAS_RETURNS = -2;

/**
 * The offset behind the blank line that ends the block which goes on at `from`; -1 = not here.
 * `before`: the byte before `from`, 0 = the block begins there.
 */
function blockEnd(bytes: Uint8Array, from: number, to: number, before: number): number {
  if (bytes[from] === LF && (before === LF || before === 0)) return from + 1;
  for (let at = from;;) {
    const end = bytes.indexOf(LF, at);
    if (end < 0 || end >= to) return -1;
    if (end > from && bytes[end - 1] === CR) return HAS_RETURNS;
    if (end + 1 >= to) return -1;
    if (bytes[end + 1] === LF) return end + 2;
    at = end + 1;
  }
}

function hasReturn(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] === CR) return true;
  return false;
}

/** The data and the name of an event; undefined = it has no data and is none. */
function fieldsOf(block: string): { readonly data: string; readonly event: string } | undefined {
  let data: string | undefined;
  let event = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("data:")) {
      const value = line.slice(line[5] === " " ? 6 : 5);
      data = data === undefined ? value : `${data}\n${value}`;
    } else if (line.startsWith("event:")) {
      event = line.slice(line[6] === " " ? 7 : 6);
    } else if (line === "data") {
      data = data === undefined ? "" : `${data}\n`;
    }
  }
  return data === undefined ? undefined : { data, event };
}

/** What was told later counts, where it was told. */
function joined(before: ToldUsage | undefined, after: ToldUsage): ToldUsage {
  if (before === undefined) return after;
  const told = Object.entries(after).filter(([, tokens]) => !Number.isNaN(tokens));
  return { ...before, ...Object.fromEntries(told) };
}
