/**
 * Token counts, exact where that is cheap.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { Lru } from "../lib/lru.ts";
import { BytePairs } from "./byte_pairs.ts";
import TABLE from "./o200k_base.bin";

/**
 * A run of this many characters without a break is estimated: byte-pair merging is quadratic in the
 * length of one word, and 100 kB of one letter would block the loop for seconds.
 */
const RUN_MAX = 1000;
const LONG_RUN = new RegExp(`\\S{${RUN_MAX}}|\\s{${RUN_MAX}}`);

/** Bytes per token where a count is an estimate: the usual figure for English text. */
const BYTES_PER_TOKEN = 4;

/**
 * Counts that are remembered: a prompt that comes again costs a look-up (0.1 µs) instead of its
 * words (17 µs for 1500 letters of English). One more entry costs 1.5 µs, which grows with the
 * number of entries.
 */
const REMEMBERED = { entriesMax: 512, bytesMax: 1_048_576 };

/** Counts tokens as the gpt-4o family does. */
export class TokenCounter {
  readonly #countBytesMax: number;
  /** Text → tokens. In the order they came: to note each use would cost more than to count anew. */
  readonly #known = new Lru<number>(REMEMBERED);

  /** `countBytesMax`: texts above it, in UTF-8 bytes, are estimated. */
  constructor(countBytesMax: number) {
    this.#countBytesMax = countBytesMax;
  }

  /** Tokens in `text`: exact within the bounds, else an estimate. */
  count(text: string): number {
    const known = this.#known.peek(text);
    if (known !== undefined) return known;
    const tokens = this.#isExact(text)
      ? o200kBase().encode(text).tokens
      : Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);
    this.#known.set(text, tokens, 2 * text.length);
    return tokens;
  }

  /** The first `tokensMax` tokens of `text`, and whether something was left out. */
  cut(text: string, tokensMax: number): { readonly text: string; readonly isCut: boolean } {
    if (this.count(text) <= tokensMax) return { text, isCut: false };
    const end = this.#isExact(text)
      ? o200kBase().encode(text, tokensMax).units
      : tokensMax * BYTES_PER_TOKEN;
    return { text: text.slice(0, end), isCut: true };
  }

  #isExact(text: string): boolean {
    return Buffer.byteLength(text) <= this.#countBytesMax && !LONG_RUN.test(text);
  }
}

let bytePairs: BytePairs | undefined;

/**
 * The encoding, one for the process. It is read when it is first needed, which blocks the loop for
 * some 1 ms; a mock that counts nothing goes without its 3 MB.
 */
function o200kBase(): BytePairs {
  const path: string = TABLE; // Bun gives the path of a file that it cannot load
  return bytePairs ??= new BytePairs(readFileSync(path));
}
