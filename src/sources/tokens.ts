/**
 * Token counts, exact where that is cheap.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { Lru } from "../lib/lru.ts";
import { BytePairs, type EncodingName, ENCODINGS } from "./byte_pairs.ts";
import CL100K_BASE from "./cl100k_base.bin";
import O200K_BASE from "./o200k_base.bin";

/** Bytes per token where a count is an estimate: the usual figure for English text. */
const BYTES_PER_TOKEN = 4;

/**
 * Counts that are remembered: a prompt that comes again costs a look-up (0.1 µs) instead of its
 * words (17 µs for 1500 letters of English). One more entry costs 1.5 µs, which grows with the
 * number of entries, so that a short text is better counted again.
 */
const REMEMBERED = { entriesMax: 512, bytesMax: 1_048_576, charsMin: 64 };

/**
 * The models that count in the older encoding: gpt-3.5, gpt-4, gpt-4-turbo, and not gpt-4o; those of
 * embeddings and of completions.
 */
const OLDER = /^(?:ft:)?(?:gpt-(?:3\.?5|4(?:$|[-:]))|(?:davinci|babbage)-002|text-)/;

/** The encoding of `model`: cl100k_base for those up to gpt-4, o200k_base for all others. */
export function encodingOf(model: string): EncodingName {
  return OLDER.test(model) ? "cl100k_base" : "o200k_base";
}

/** Counts tokens as each model does. */
export class TokenCounters {
  readonly #counters: Readonly<Record<EncodingName, TokenCounter>>;

  /** `countBytesMax`: texts above it, in UTF-8 bytes, are estimated. */
  constructor(countBytesMax: number) {
    this.#counters = {
      cl100k_base: new TokenCounter(countBytesMax, "cl100k_base"),
      o200k_base: new TokenCounter(countBytesMax, "o200k_base"),
    };
  }

  /** The counter of `model`. */
  of(model: string): TokenCounter {
    return this.#counters[encodingOf(model)];
  }

  /** The counter of an encoding. */
  named(encoding: EncodingName): TokenCounter {
    return this.#counters[encoding];
  }
}

/** Counts tokens in one encoding. */
export class TokenCounter {
  readonly countBytesMax: number;
  readonly encoding: EncodingName;
  /** Text → tokens. In the order they came: to note each use would cost more than to count anew. */
  readonly #known = new Lru<number>(REMEMBERED);

  /** `countBytesMax`: texts above it, in UTF-8 bytes, are estimated. */
  constructor(countBytesMax: number, encoding: EncodingName = "o200k_base") {
    this.countBytesMax = countBytesMax;
    this.encoding = encoding;
  }

  /** Tokens in `text`: exact within the bounds, else an estimate. */
  count(text: string): number {
    if (text.length < REMEMBERED.charsMin) return this.#count(text);
    const known = this.#known.peek(text);
    if (known !== undefined) return known;
    const tokens = this.#count(text);
    this.#known.set(text, tokens, 2 * text.length);
    return tokens;
  }

  /** Tokens of `texts`, each counted for itself. The bound holds for all of them together. */
  countAll(texts: readonly string[]): number {
    let bytes = 0;
    for (const text of texts) bytes += Buffer.byteLength(text);
    if (bytes > this.countBytesMax) return estimate(bytes);
    let tokens = 0;
    for (const text of texts) tokens += this.count(text);
    return tokens;
  }

  /** The first `tokensMax` tokens of `text`, and whether something was left out. */
  cut(text: string, tokensMax: number): { readonly text: string; readonly isCut: boolean } {
    if (this.count(text) <= tokensMax) return { text, isCut: false };
    const end = this.#isExact(text)
      ? bytePairs(this.encoding).encode(text, tokensMax).units
      : tokensMax * BYTES_PER_TOKEN;
    return { text: text.slice(0, end), isCut: true };
  }

  /**
   * `text` in its tokens, those that share a character together. Joined they are `text`. undefined
   * = it is too long to be cut.
   */
  pieces(text: string): readonly string[] | undefined {
    if (!this.#isExact(text)) return undefined;
    const ends: number[] = [];
    bytePairs(this.encoding).encode(text, Infinity, ends);
    return ends.map((end, i) => text.slice(ends[i - 1] ?? 0, end));
  }

  /** The text of these tokens; undefined = one of them is none. */
  textOf(tokens: readonly number[]): string | undefined {
    return bytePairs(this.encoding).decode(tokens);
  }

  #count(text: string): number {
    return this.#isExact(text)
      ? bytePairs(this.encoding).encode(text).tokens
      : estimate(Buffer.byteLength(text));
  }

  #isExact(text: string): boolean {
    return Buffer.byteLength(text) <= this.countBytesMax;
  }
}

function estimate(bytes: number): number {
  return Math.ceil(bytes / BYTES_PER_TOKEN);
}

const TABLES: Readonly<Record<EncodingName, string>> = {
  // Bun gives the path of a file that it cannot load.
  cl100k_base: CL100K_BASE,
  o200k_base: O200K_BASE,
};

/**
 * Bytes of a word that is merged: the time that takes grows with the square of its length. A longer
 * one, as no language has it, is taken to have a token for four bytes.
 */
const WORD_BYTES_MAX = 512;

const read = new Map<EncodingName, BytePairs>();

/**
 * An encoding, one for the process. It is read when it is first needed, which blocks the loop for
 * some 1 ms; a mock that counts nothing goes without its 1 or 3 MB.
 */
function bytePairs(name: EncodingName): BytePairs {
  const known = read.get(name);
  if (known !== undefined) return known;
  const made = new BytePairs(readFileSync(TABLES[name]), ENCODINGS[name], WORD_BYTES_MAX);
  read.set(name, made);
  return made;
}
