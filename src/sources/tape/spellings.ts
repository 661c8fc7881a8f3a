/**
 * The ways in which bytes can be read: as they are, with the escapes of JSON undone (also those of
 * JSON in a text of JSON), and with those of a URL or a form. A secret is one however it is spelled.
 *
 * @module
 */

/** JSON in JSON in JSON: what is spelled deeper is not read. */
const DEPTH_MAX = 3;

const BACKSLASH = 0x5c;
const PERCENT = 0x25;
const PLUS = 0x2b;
const EQUALS = 0x3d;
const BLANK = 0x20;
const QUOTE = 0x22;
const LETTER_U = 0x75;
/** `\u` and four digits. */
const UNICODE_BYTES = 6;
const REPLACEMENT = 0xfffd;

/** What stands for what behind a backslash. */
const SIMPLE: ReadonlyMap<number, number> = new Map(
  Object.entries({ b: 8, f: 12, n: 10, r: 13, t: 9, "/": 0x2f, '"': QUOTE, "\\": BACKSLASH })
    .map(([letter, byte]) => [letter.charCodeAt(0), byte]),
);

/** A place in bytes: from `at` to before `end`. */
export interface Span {
  readonly at: number;
  readonly end: number;
}

/** Bytes as they can be read. */
export class Spelling {
  readonly bytes: Uint8Array;
  /** Where in the source each byte comes from, and behind the last one its length; absent: there. */
  readonly #from: Uint32Array | undefined;

  constructor(bytes: Uint8Array, from?: Uint32Array) {
    this.bytes = bytes;
    this.#from = from;
  }

  /** Where in the source `at` to before `end` stand. Whole escapes, of which one may be several bytes. */
  source(at: number, end: number): Span {
    const from = this.#from;
    if (from === undefined) return { at, end };
    let behind = end;
    while (behind < from.length - 1 && from[behind] === from[end - 1]) behind++;
    return { at: from[at]!, end: from[behind]! };
  }

  /** With what `decode` undoes; undefined = it undoes nothing. */
  decoded(decode: Decode): Spelling | undefined {
    const { bytes } = this;
    const out = new Decoded(bytes.length);
    if (!decode(bytes, out)) return undefined;
    const from = out.from(bytes.length);
    const outer = this.#from;
    return new Spelling(out.bytes(), outer === undefined ? from : from.map((at) => outer[at]!));
  }
}

/** All ways to read `bytes`, as they are first. */
export function spellings(bytes: Uint8Array): readonly Spelling[] {
  const all = [new Spelling(bytes)];
  let last = all;
  for (let depth = 0; depth < DEPTH_MAX && last.length > 0; depth++) {
    const next: Spelling[] = [];
    for (const one of last) {
      for (const decode of [undoJson, undoUrl]) {
        const found = one.decoded(decode);
        // In whichever order they are undone, most bytes are the same.
        if (found === undefined || next.some((other) => isSame(other, found))) continue;
        next.push(found);
      }
    }
    all.push(...next);
    last = next;
  }
  return all;
}

function isSame({ bytes: one }: Spelling, { bytes: other }: Spelling): boolean {
  return one.length === other.length && Buffer.compare(one, other) === 0;
}

/** The escape of JSON that byte `at` is a part of; undefined = of none. */
export function escapeAt(bytes: Uint8Array, at: number): Span | undefined {
  for (let start = at; start >= Math.max(0, at - UNICODE_BYTES + 1); start--) {
    if (bytes[start] !== BACKSLASH) continue;
    let first = start;
    while (bytes[first - 1] === BACKSLASH) first--;
    const begin = (start - first) % 2 === 0 ? start : start - 1;
    const length = unitAt(bytes, begin) >= 0 ? UNICODE_BYTES : 2;
    return begin + length > at ? { at: begin, end: begin + length } : undefined;
  }
  return undefined;
}

/** Undoes what it knows of; false = there is nothing of that. */
type Decode = (bytes: Uint8Array, out: Decoded) => boolean;

/** Bytes that are undone, and where each comes from. */
class Decoded {
  readonly #bytes: Uint8Array;
  readonly #from: Uint32Array;
  #length = 0;

  constructor(bytesMax: number) {
    this.#bytes = new Uint8Array(bytesMax);
    this.#from = new Uint32Array(bytesMax + 1);
  }

  add(byte: number, at: number): void {
    this.#bytes[this.#length] = byte;
    this.#from[this.#length++] = at;
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  from(sourceBytes: number): Uint32Array {
    this.#from[this.#length] = sourceBytes;
    return this.#from.subarray(0, this.#length + 1);
  }
}

const encoder = new TextEncoder();

function undoJson(bytes: Uint8Array, out: Decoded): boolean {
  if (!bytes.includes(BACKSLASH)) return false;
  let isChanged = false;
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at]!;
    const simple = byte === BACKSLASH ? SIMPLE.get(bytes[at + 1]!) : undefined;
    const unit = byte === BACKSLASH && simple === undefined ? unitAt(bytes, at) : -1;
    if (simple !== undefined) {
      out.add(simple, at);
      at += 2;
    } else if (unit < 0) {
      out.add(byte, at++);
      continue;
    } else {
      const low = isHigh(unit) ? unitAt(bytes, at + UNICODE_BYTES) : -1;
      const isPair = low >= 0xdc00 && low <= 0xdfff;
      const point = isPair
        ? 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
        : unit >= 0xd800 && unit <= 0xdfff
        ? REPLACEMENT
        : unit;
      for (const one of encoder.encode(String.fromCodePoint(point))) out.add(one, at);
      at += isPair ? 2 * UNICODE_BYTES : UNICODE_BYTES;
    }
    isChanged = true;
  }
  return isChanged;
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

/** The value of `\uXXXX` at `at`; -1 = something else stands there. */
function unitAt(bytes: Uint8Array, at: number): number {
  if (bytes[at] !== BACKSLASH || bytes[at + 1] !== LETTER_U) return -1;
  return hexAt(bytes, at + 2, 4);
}

/** The value of so many hexadecimal digits; -1 = they are none. */
function hexAt(bytes: Uint8Array, at: number, digits: number): number {
  let value = 0;
  for (let i = at; i < at + digits; i++) {
    const digit = Number.parseInt(String.fromCharCode(bytes[i] ?? 0), 16);
    if (Number.isNaN(digit)) return -1;
    value = value * 16 + digit;
  }
  return value;
}

function undoUrl(bytes: Uint8Array, out: Decoded): boolean {
  // A plus is a blank in forms, which have no blanks and no quotes, and which base64 is not.
  const isForm = bytes.includes(PLUS) && bytes.includes(EQUALS) && !bytes.includes(BLANK) &&
    !bytes.includes(QUOTE);
  if (!isForm && !bytes.includes(PERCENT)) return false;
  let isChanged = false;
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at]!;
    const value = byte === PERCENT ? hexAt(bytes, at + 1, 2) : -1;
    const isBlank = isForm && byte === PLUS;
    out.add(value >= 0 ? value : isBlank ? BLANK : byte, at);
    at += value >= 0 ? 3 : 1;
    isChanged ||= value >= 0 || isBlank;
  }
  return isChanged;
}
