/**
 * The field lines of a head, kept as the bytes that came: most of them are only ever copied on, so
 * no string and no pair is made of one before somebody asks. One file over 200 lines because scan,
 * offsets and `Fields` share the one table.
 *
 * @module
 */

import { COLON, CR, isBlank, isControl, isWord, LF, LOWER, TOKEN, VALUE } from "./bytes.ts";

/** Name as it was sent, and value without the blanks around it. One character is one byte. */
export type Field = readonly [name: string, value: string];

/** Numbers per line in the table: name from, name to, value from, value to. */
const STRIDE = 4;

/**
 * Where the lines stand that were read last. There is one for all: it is good until the next head is
 * read or the next `Fields` scanned, so use it at once and keep nothing of it.
 */
export class FieldOffsets {
  /** Grows with the longest list of lines. Its last entry is where the line behind the last begins. */
  #table = new Int32Array(STRIDE * 64 + 1);
  /** Number of lines. */
  count = 0;

  /** Where line `index` and its name begin. */
  nameAt(index: number): number {
    return this.#table[index * STRIDE]!;
  }

  /** Behind the name: the colon. */
  nameEnd(index: number): number {
    return this.#table[index * STRIDE + 1]!;
  }

  /** Where the value begins, behind its blanks. */
  valueAt(index: number): number {
    return this.#table[index * STRIDE + 2]!;
  }

  /** Behind the value, before its blanks. */
  valueEnd(index: number): number {
    return this.#table[index * STRIDE + 3]!;
  }

  /** Behind the line's CR LF. */
  lineEnd(index: number): number {
    return this.#table[(index + 1) * STRIDE]!;
  }

  /** For the scan: room for line `index`; gives the table. */
  tableFor(index: number): Int32Array {
    if ((index + 1) * STRIDE < this.#table.length) return this.#table;
    const grown = new Int32Array((this.#table.length - 1) * 2 + 1);
    grown.set(this.#table);
    return this.#table = grown;
  }
}

const offsets = new FieldOffsets();
/** Which scan has filled `offsets`. A number, since a reference would hold the bytes. */
let scans = 1;

/** `scanFields`: the lines are good so far, and their end is not here. */
export const UNFINISHED = -1;
/** `scanFields`: a line begins with a blank (obs-fold, RFC 9112 §5.2). */
export const FOLDED = -2;
/** `scanFields`: a line is no field, or holds what may stand in none. */
export const BROKEN = -3;
/** `scanFields`: there are more lines than may be. */
export const TOO_MANY = -4;

/**
 * Reads field lines from `from` up to the empty line that ends a head, in one pass, strictly
 * (RFC 9112 §5). Gives the offset of that empty line, or one of the negative constants above; looks
 * at no byte at or behind `to`.
 */
export function scanFields(
  bytes: Uint8Array,
  from: number,
  to: number,
  linesMax: number = Infinity,
): number {
  scans++;
  let at = from;
  let count = 0;
  let table = offsets.tableFor(0);
  offsets.count = 0;
  table[0] = at;
  while (at < to) {
    const lineAt = at;
    while (at < to && TOKEN[bytes[at]!] === 1) at++;
    if (at === to) break;
    if (bytes[at] !== COLON || at === lineAt) {
      if (at > lineAt) return BROKEN;
      if (isBlank(bytes[at]!)) return FOLDED;
      if (bytes[at] !== CR) return BROKEN;
      if (at + 1 === to) break;
      return bytes[at + 1] === LF ? at : BROKEN;
    }
    if (count === linesMax) return TOO_MANY;
    const colon = at++;
    while (at < to && isBlank(bytes[at]!)) at++;
    const valueAt = at;
    while (at < to && VALUE[bytes[at]!] === 1) at++;
    if (at + 1 >= to) break;
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return BROKEN;
    let valueEnd = at;
    while (valueEnd > valueAt && isBlank(bytes[valueEnd - 1]!)) valueEnd--;
    at += 2;
    table = offsets.tableFor(++count);
    const entry = (count - 1) * STRIDE;
    table[entry + 1] = colon;
    table[entry + 2] = valueAt;
    table[entry + 3] = valueEnd;
    table[entry + 4] = at;
    offsets.count = count;
  }
  return UNFINISHED;
}

/**
 * True when the name in `bytes` from `from` to `to` is `lowerName`, text or bytes in lower case,
 * whatever its capitals (RFC 9110 §5.1). Makes no string.
 */
export function nameIs(
  bytes: Uint8Array,
  from: number,
  to: number,
  lowerName: string | Uint8Array,
): boolean {
  if (typeof lowerName === "string") return isWord(bytes, from, to, lowerName);
  if (to - from !== lowerName.length) return false;
  for (let i = 0; i < lowerName.length; i++) {
    if (LOWER[bytes[from + i]!] !== lowerName[i]) return false;
  }
  return true;
}

/** Lines in a read that is larger are copied, or a head would hold up to 512 KiB of body with it. */
const HELD_BYTES_MAX = 16_384;

/**
 * The field lines of a head: "name: value\r\n" each, without the empty line behind them. Does not
 * change. Holds the buffer it stands in.
 */
export class Fields implements Iterable<Field> {
  /** No lines. */
  static readonly NONE: Fields = new Fields(Buffer.alloc(0), 0, 0);

  readonly bytes: Buffer;
  /** Where the first line begins. */
  readonly from: number;
  /** Behind the CR LF of the last. */
  readonly to: number;
  /** The scan that found these lines; 0 = none yet. */
  #scan = 0;

  /** `bytes` from `from` to `to` are lines that a head reader has checked. */
  constructor(bytes: Buffer, from: number, to: number) {
    this.bytes = bytes;
    this.from = from;
    this.to = to;
  }

  /**
   * Lines of `pairs`, as latin1.
   *
   * @throws {TypeError} when a name is no token, or a value holds a control character other than tab
   * or one above U+00FF.
   */
  static of(pairs: Iterable<Field>): Fields {
    let text = "";
    for (const [name, value] of pairs) {
      if (!isToken(name) || !isValue(value)) {
        throw new TypeError(`Cannot write the head: header ${JSON.stringify(name)} is not valid`);
      }
      text += `${name}: ${value}\r\n`;
    }
    if (text === "") return Fields.NONE;
    const bytes = Buffer.from(text, "latin1");
    return new Fields(bytes, 0, bytes.length);
  }

  /**
   * The same lines with each of `changes` (names in lower case) in place of what is there under its
   * name, behind the others; null takes it away.
   *
   * @throws {TypeError} as `of`.
   */
  with(changes: Readonly<Record<string, string | null>>): Fields {
    const kept: Field[] = [...this].filter(([name]) => !(name.toLowerCase() in changes));
    for (const [name, value] of Object.entries(changes)) {
      if (value !== null) kept.push([name, value]);
    }
    return Fields.of(kept);
  }

  /** For a head reader, directly behind `scanFields`: the lines need not be looked for again. */
  static ofScan(bytes: Buffer, from: number, to: number): Fields {
    if (from === to) return Fields.NONE;
    if (bytes.length > HELD_BYTES_MAX) {
      return new Fields(Buffer.from(bytes.subarray(from, to)), 0, to - from);
    }
    const fields = new Fields(bytes, from, to);
    fields.#scan = scans;
    return fields;
  }

  /** Number of lines. */
  get length(): number {
    return this.scan().count;
  }

  /** Where the lines stand, to compare or copy them without strings; see `FieldOffsets`. */
  scan(): FieldOffsets {
    if (this.#scan === scans) return offsets;
    scanFields(this.bytes, this.from, this.to);
    this.#scan = scans;
    return offsets;
  }

  /**
   * The value of `name` (in lower case), repeated ones joined by ", " and without blanks at both
   * ends; null = there is none.
   */
  get(name: string): string | null {
    const { bytes } = this;
    const lines = this.scan();
    let found: string | null = null;
    for (let i = 0; i < lines.count; i++) {
      if (!isWord(bytes, lines.nameAt(i), lines.nameEnd(i), name)) continue;
      const value = bytes.toString("latin1", lines.valueAt(i), lines.valueEnd(i));
      found = found === null ? value : `${found}, ${value}`;
    }
    return found;
  }

  /** True when there is a line `name` (in lower case). */
  has(name: string): boolean {
    const { bytes } = this;
    const lines = this.scan();
    for (let i = 0; i < lines.count; i++) {
      if (isWord(bytes, lines.nameAt(i), lines.nameEnd(i), name)) return true;
    }
    return false;
  }

  /** In their order, repeated ones included, names as they were sent. */
  *[Symbol.iterator](): Generator<Field, void> {
    const { bytes, to } = this;
    // Not by `scan`: whoever asks other fields in between would have each line scan all anew.
    for (let at = this.from; at < to;) {
      const colon = bytes.indexOf(COLON, at);
      const end = bytes.indexOf(CR, colon);
      let valueAt = colon + 1;
      let valueEnd = end;
      while (valueAt < end && isBlank(bytes[valueAt]!)) valueAt++;
      while (valueEnd > valueAt && isBlank(bytes[valueEnd - 1]!)) valueEnd--;
      yield [bytes.toString("latin1", at, colon), bytes.toString("latin1", valueAt, valueEnd)];
      at = end + 2;
    }
  }
}

function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (TOKEN[text.charCodeAt(i)] !== 1) return false;
  return text !== "";
}

function isValue(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char > 0xff || isControl(char)) return false;
  }
  return true;
}
