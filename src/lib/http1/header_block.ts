/**
 * The fields of a response as bytes, laid once and shared by every answer that says the same.
 *
 *   content-type: text/event-stream⏎x-request-id: ••••••••⏎
 *                                                 ▲ slotAt
 *
 * @module
 */

import { type Field, Fields } from "./fields.ts";

/** Response fields: laid ones, or pairs that are laid when they leave. */
export type HeaderFields = HeaderBlock | Readonly<Record<string, string>>;

/** A value that differs from answer to answer, of a fixed width. */
export interface HeaderSlot {
  readonly name: string;
  /** Bytes of each value. */
  readonly width: number;
}

/**
 * What the fields want of the connection: "close" behind the answer, "keep-alive" said in so many
 * words, or nothing.
 */
export type ConnectionWish = "" | "close" | "keep-alive";

/** Fields of the connection and of the body's framing: whoever writes the answer says them. */
const OWN_NAMES: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "transfer-encoding",
]);

/** Where a line stands: [from, behind its end]. */
export type LinePlace = readonly [from: number, to: number];

/** Says which pages of other origins may read an answer (WHATWG Fetch, "CORS protocol"). */
export const READERS = "access-control-allow-origin";
const READERS_LINE = new RegExp(`(?<=^|\\n)${READERS}:[^\\n]*\\n`, "i");

/** Lines that are ready to leave: `name: value\r\n`. */
export class HeaderBlock {
  /** Only `stamp` changes them: whoever writes them copies them at once. */
  readonly bytes: Buffer;
  /** Bytes of `bytes`, from the first on, that are lines. */
  readonly length: number;
  readonly connection: ConnectionWish;
  /** True when the lines have a date: the writer adds none. */
  readonly hasDate: boolean;
  readonly #slotAt: number;
  readonly #slotWidth: number;
  /** Bytes of the last line, where that is known to say which pages may read it. */
  #readersBytes: number | undefined;
  #readersAt: LinePlace | undefined;

  private constructor(
    lines: Buffer,
    length: number,
    connection: ConnectionWish,
    hasDate: boolean,
    slotAt: number,
    slotWidth: number,
  ) {
    this.bytes = lines;
    this.length = length;
    this.connection = connection;
    this.hasDate = hasDate;
    this.#slotAt = slotAt;
    this.#slotWidth = slotWidth;
  }

  /**
   * The first `length` bytes of `lines`, which have been checked: none is the connection's or the
   * framing's. The last `readersBytes` of them are the line that says which pages may read it.
   */
  static ofLines(
    lines: Buffer,
    length: number,
    hasDate: boolean,
    readersBytes?: number,
  ): HeaderBlock {
    const block = new HeaderBlock(lines, length, "", hasDate, -1, 0);
    block.#readersBytes = readersBytes;
    return block;
  }

  /**
   * Lays `fields`, and behind them the slot. Length, date and framing are left out.
   *
   * @throws {TypeError} when a field cannot stand in a head (RFC 9110 section 5).
   */
  static of(fields: Readonly<Record<string, string>>, slot?: HeaderSlot): HeaderBlock {
    const pairs: Field[] = Object.entries(fields).filter(([name]) =>
      !OWN_NAMES.has(name.toLowerCase())
    );
    const wish = wishOf(fields);
    if (slot === undefined) {
      const { bytes } = Fields.of(pairs);
      return new HeaderBlock(bytes, bytes.length, wish, false, -1, 0);
    }
    const { name, width } = slot;
    const { bytes } = Fields.of([...pairs, [name, "-".repeat(width)]]);
    return new HeaderBlock(bytes, bytes.length, wish, false, bytes.length - width - 2, width);
  }

  /** Where the one line stands that says which pages may read it; behind the last line = there is none. */
  get readersAt(): LinePlace {
    return this.#readersAt ??= this.#findReaders();
  }

  #findReaders(): LinePlace {
    const { length } = this;
    if (this.#readersBytes !== undefined) return [length - this.#readersBytes, length];
    const found = READERS_LINE.exec(this.bytes.toString("latin1", 0, length));
    return found === null ? [length, length] : [found.index, found.index + found[0].length];
  }

  /**
   * The same without its slot, and `fields` more, whose names are in small letters.
   *
   * @throws {TypeError} when a value cannot stand in a head as it is.
   */
  plus(fields: Readonly<Record<string, string>>): HeaderBlock {
    const lines = linesOf(fields);
    const bytes = Buffer.allocUnsafeSlow(this.length + lines.length);
    this.bytes.copy(bytes, 0, 0, this.length);
    bytes.write(lines, this.length, "latin1");
    const { length } = bytes;
    const block = new HeaderBlock(bytes, length, this.connection, this.hasDate, -1, 0);
    const [from, to] = this.readersAt;
    block.#readersAt = from === to ? [length, length] : [from, to];
    return block;
  }

  /** Writes `value` into the slot. @throws {RangeError} when it does not fit, or there is none. */
  stamp(value: string): this {
    if (value.length !== this.#slotWidth) {
      throw new RangeError(`Cannot stamp ${value.length} characters into ${this.#slotWidth}`);
    }
    // A loop: a native call takes twice as long.
    for (let i = 0; i < value.length; i++) this.bytes[this.#slotAt + i] = value.charCodeAt(i);
    return this;
  }
}

/**
 * `fields`, whose names are in small letters, as lines.
 *
 * @throws {TypeError} when a value cannot stand in a head as it is.
 */
export function linesOf(fields: Readonly<Record<string, string>>): string {
  let lines = "";
  for (const name in fields) {
    const value = fields[name]!;
    if (!isSayable(value)) throw new TypeError(`The value of ${name} cannot stand in a head`);
    lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

/** True when a header can carry `value` as it is: visible ASCII, with blanks in it at the most. */
export function isSayable(value: string): boolean {
  return /^[!-~](?:[ -~]*[!-~])?$/.test(value);
}

/** What `fields` want of the connection. */
function wishOf(fields: Readonly<Record<string, string>>): ConnectionWish {
  for (const name in fields) {
    if (name.toLowerCase() !== "connection") continue;
    const wish = fields[name]!.toLowerCase();
    if (wish === "close" || wish === "keep-alive") return wish;
  }
  return "";
}
