/**
 * The texts of an upstream's answer, taken out of its bytes while they pass: for counting them, should
 * nobody tell what they cost. Nothing is parsed.
 *
 * @module
 */

import type { DialectName } from "../../core/answer.ts";

/** Keys of the texts that an answer says, the usual one first. With the quote behind them only. */
const CHAT = keys("content", "arguments", "refusal", "reasoning");
const RESPONSES = keys("delta");
const MESSAGES = keys("text", "partial_json", "thinking");
const COMPLETIONS = keys("text");

/** A chunk up to this is one event, of which one key is enough. */
const EVENT_BYTES = 1024;
/** A key may be cut in two by the end of a chunk: so much of it is looked at again. */
const KEPT_BYTES = 32;
/** Of a text that is kept; what follows is counted by its length. */
const TEXT_BYTES_MAX = 256 * 1024;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const SPACE = 0x20;
const LF = 10;
const EVENT_END = Buffer.from("\n\n");

function keys(...names: readonly string[]): readonly Buffer[] {
  // Without its first quote: `reasoning_content` ends like `content`, and both are said.
  return names.map((name) => Buffer.from(`${name}"`));
}

function keysOf(dialect: DialectName): readonly Buffer[] {
  switch (dialect) {
    case "openai_responses":
      return RESPONSES;
    case "anthropic_messages":
      return MESSAGES;
    case "openai_completions":
      return COMPLETIONS;
    default:
      return CHAT;
  }
}

/** Gathers what one answer says. Feed it every chunk in order. */
export class SaidText {
  readonly #keys: readonly Buffer[];
  /** What is between quotes, as it is written there, a letter for each byte. */
  #text = "";
  #bytes = 0;
  /** True while a text goes on in the next chunk. */
  #isOpen = false;
  /** True when the last chunk ended with half an escape. */
  #isEscaped = false;
  /** The end of a chunk that ends within a line. */
  #kept: Uint8Array | undefined = undefined;

  constructor(dialect: DialectName) {
    this.#keys = keysOf(dialect);
  }

  /** Takes the next chunk. */
  feed(chunk: Uint8Array): void {
    let from = 0;
    if (this.#isOpen) from = this.#take(chunk, 0);
    else if (this.#kept !== undefined) {
      chunk = Buffer.concat([this.#kept, chunk]);
      this.#kept = undefined;
    }
    if (!this.#isOpen) from = this.#search(chunk, from);
    if (this.#isOpen || chunk[chunk.length - 1] === LF) return;
    this.#kept = chunk.slice(Math.max(from, chunk.length - KEPT_BYTES));
  }

  /** All of it so far, one text behind the other. */
  text(): string {
    const written = Buffer.from(this.#text, "latin1").toString();
    const rest = " ".repeat(Math.max(0, this.#bytes - this.#text.length));
    // A text that stopped within an escape ends before it.
    const whole = written.replace(/(?<=(?:^|[^\\])(?:\\\\)*)\\(?:u[\da-f]{0,3})?$/i, "");
    try {
      return (JSON.parse(`"${whole}"`) as string) + rest;
    } catch {
      return written + rest; // it is no JSON, and has a length
    }
  }

  /** Bytes of all texts so far, as they are written. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes every text of `chunk` from `from`, in their order. Gives where the last one ended. */
  #search(chunk: Uint8Array, from: number): number {
    const [usual] = this.#keys;
    const first = this.#next(chunk, usual!, from);
    if (first >= 0 && chunk.length <= EVENT_BYTES && isOneEvent(chunk)) {
      const end = this.#take(chunk, first);
      if (end > first || this.#isOpen) return this.#isOpen ? end : this.#search(chunk, end);
    }
    const next = this.#keys.map((key, i) => i === 0 ? first : this.#next(chunk, key, from));
    for (let end = from;;) {
      const at = next.reduce((least, at) => at >= 0 && (least < 0 || at < least) ? at : least, -1);
      if (at < 0) return end;
      end = this.#take(chunk, at);
      if (this.#isOpen) return end;
      for (const [i, known] of next.entries()) {
        if (known >= 0 && known <= end) next[i] = this.#next(chunk, this.#keys[i]!, end);
      }
    }
  }

  /** Where the next text of `key` begins; -1 = there is none. */
  #next(chunk: Uint8Array, key: Buffer, from: number): number {
    for (let at = from;;) {
      at = indexOf.call(chunk, key, at);
      if (at < 0) return -1;
      at += key.length;
      const opening = openingOf(chunk, at);
      if (opening >= 0) return opening;
    }
  }

  /** Takes the text that goes on at `from`. Gives where it ends. */
  #take(chunk: Uint8Array, from: number): number {
    const start = this.#isEscaped ? from + 1 : from;
    let end = start;
    for (;; end++) {
      end = indexOf.call(chunk, QUOTE, end);
      if (end < 0 || slashesBefore(chunk, end, start) % 2 === 0) break;
    }
    this.#isOpen = end < 0;
    if (this.#isOpen) end = chunk.length;
    this.#isEscaped = this.#isOpen && slashesBefore(chunk, end, start) % 2 === 1;
    this.#bytes += end - from;
    if (this.#text.length < TEXT_BYTES_MAX) this.#text += latin1Slice.call(chunk, from, end);
    return end;
  }
}

/** Backslashes that stand before `at`, and not before `from`. */
function slashesBefore(chunk: Uint8Array, at: number, from: number): number {
  let count = 0;
  while (at - count > from && chunk[at - count - 1] === BACKSLASH) count++;
  return count;
}

/** True when no event begins within `chunk`. */
function isOneEvent(chunk: Uint8Array): boolean {
  const at = indexOf.call(chunk, EVENT_END, 0);
  return at < 0 || at >= chunk.length - EVENT_END.length;
}

/** Where a text begins whose key ends before `at`; -1 = what is there is no text. */
function openingOf(chunk: Uint8Array, at: number): number {
  while (chunk[at] === SPACE) at++;
  if (chunk[at] !== COLON) return -1;
  at++;
  while (chunk[at] === SPACE) at++;
  return chunk[at] === QUOTE ? at + 1 : -1;
}

/** Those of `Buffer` take any bytes; a `Buffer` made around them costs more than they do. */
const { indexOf, latin1Slice } = Buffer.prototype as unknown as {
  readonly indexOf: (this: Uint8Array, what: Uint8Array | number, from: number) => number;
  readonly latin1Slice: (this: Uint8Array, from: number, to: number) => string;
};
