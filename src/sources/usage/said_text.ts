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
/** What comes in large pieces is mostly over soon, and told: so much of it is searched only when it must be. */
const HELD_BYTES_MAX = 64 * 1024;

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
  /** What is between quotes, as it is written there; as many as `#length`. */
  #text = new Uint8Array(256);
  #length = 0;
  /** Bytes of all texts, also of those that are not kept. */
  #bytes = 0;
  /** True while a text goes on in the next chunk. */
  #isOpen = false;
  /** True when the last chunk ended with half an escape. */
  #isEscaped = false;
  /** The end of a chunk that ends within a line. */
  #kept: Uint8Array | undefined = undefined;
  /** Chunks that are not searched yet; undefined = all that come are. */
  #held: Uint8Array[] | undefined = undefined;
  #heldBytes = 0;
  #isFirst = true;

  constructor(dialect: DialectName) {
    this.#keys = keysOf(dialect);
  }

  /** What all of an answer says, which is here in one piece. */
  static of(dialect: DialectName, bytes: Uint8Array): string {
    const text = new SaidText(dialect);
    text.#take(bytes);
    return text.text();
  }

  /** Takes the next chunk. */
  feed(chunk: Uint8Array): void {
    if (this.#isFirst) {
      this.#isFirst = false;
      if (chunk.length > EVENT_BYTES) this.#held = [];
    }
    if (this.#held === undefined) return this.#take(chunk);
    this.#held.push(chunk.slice());
    this.#heldBytes += chunk.length;
    if (this.#heldBytes > HELD_BYTES_MAX) this.#takeHeld();
  }

  #takeHeld(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const chunk of held) this.#take(chunk);
  }

  #take(chunk: Uint8Array): void {
    let from = 0;
    if (this.#isOpen) from = this.#copy(chunk, 0);
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
    this.#takeHeld();
    const written = utf8Slice.call(this.#text, 0, this.#length);
    const rest = " ".repeat(this.#bytes - this.#length);
    if (!written.includes("\\")) return written + rest;
    // A text that stopped within an escape ends before it.
    const whole = written.replace(/(?<=(?:^|[^\\])(?:\\\\)*)\\(?:u[\da-f]{0,3})?$/i, "");
    try {
      return (JSON.parse(`"${whole}"`) as string) + rest;
    } catch {
      return written + rest; // it is no JSON, and has a length
    }
  }

  /** Takes every text of `chunk` from `from`, in their order. Gives where the last one ended. */
  #search(chunk: Uint8Array, from: number): number {
    const keys = this.#keys;
    let at = this.#next(chunk, keys[0]!, from);
    let end = from;
    if (at >= 0 && chunk.length <= EVENT_BYTES && isOneEvent(chunk)) {
      while (at >= 0) {
        end = this.#copy(chunk, at);
        if (this.#isOpen) return end;
        at = this.#next(chunk, keys[0]!, end);
      }
      if (end > from + 1 && chunk[end - 1] !== QUOTE) return end; // the last one said something
    }
    const next = [at];
    for (let i = 1; i < keys.length; i++) next.push(this.#next(chunk, keys[i]!, end));
    for (;;) {
      let least = 0;
      for (let i = 1; i < next.length; i++) {
        if (next[i]! >= 0 && (next[least]! < 0 || next[i]! < next[least]!)) least = i;
      }
      if (next[least]! < 0) return end;
      end = this.#copy(chunk, next[least]!);
      if (this.#isOpen) return end;
      next[least] = this.#next(chunk, keys[least]!, end);
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

  /** Copies the text that goes on at `from`. Gives where it ends. */
  #copy(chunk: Uint8Array, from: number): number {
    const { length } = chunk;
    let isEscaped = this.#isEscaped;
    let at = from;
    for (; at < length; at++) {
      const byte = chunk[at]!;
      if (isEscaped) isEscaped = false;
      else if (byte === QUOTE) break;
      else if (byte === BACKSLASH) isEscaped = true;
      if (this.#length === this.#text.length) this.#grow();
      if (this.#length < this.#text.length) this.#text[this.#length++] = byte;
    }
    this.#isOpen = at === length;
    this.#isEscaped = isEscaped;
    this.#bytes += at - from;
    return at;
  }

  #grow(): void {
    if (this.#length >= TEXT_BYTES_MAX) return;
    const larger = new Uint8Array(2 * this.#length);
    larger.set(this.#text);
    this.#text = larger;
  }
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
const { indexOf, utf8Slice } = Buffer.prototype as unknown as {
  readonly indexOf: (this: Uint8Array, what: Uint8Array, from: number) => number;
  readonly utf8Slice: (this: Uint8Array, from: number, to: number) => string;
};
