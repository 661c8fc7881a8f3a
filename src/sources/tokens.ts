/**
 * Token counts, exact where that is cheap. The encoding (o200k_base) costs some 110 ms and 100 MB,
 * so it is loaded on demand and never before the port is open.
 *
 * @module
 */

type Encoding = typeof import("gpt-tokenizer/encoding/o200k_base");

/**
 * A run of this many characters without a break is estimated: byte-pair merging is quadratic in the
 * length of one word, and 100 kB of one letter would block the loop for seconds.
 */
const RUN_MAX = 1000;
const LONG_RUN = new RegExp(`\\S{${RUN_MAX}}|\\s{${RUN_MAX}}`);

/** Bytes per token where a count is an estimate: the usual figure for English text. */
const BYTES_PER_TOKEN = 4;

/** Counts tokens as the gpt-4o family does. */
export class TokenCounter {
  readonly #countBytesMax: number;
  #loading: Promise<void> | undefined = undefined;
  #encoding: Encoding | undefined = undefined;

  /** `countBytesMax`: texts above it, in UTF-8 bytes, are estimated. */
  constructor(countBytesMax: number) {
    this.#countBytesMax = countBytesMax;
  }

  /** True once counts are exact. */
  get isLoaded(): boolean {
    return this.#encoding !== undefined;
  }

  /** Loads the encoding. Blocks the loop for its time; further calls share the first. */
  load(): Promise<void> {
    this.#loading ??= import("gpt-tokenizer/encoding/o200k_base").then((encoding) => {
      this.#encoding = encoding;
    });
    return this.#loading;
  }

  /** Tokens in `text`: exact once loaded and within the bounds, else an estimate. */
  count(text: string): number {
    const bytes = Buffer.byteLength(text);
    if (this.#encoding === undefined || bytes > this.#countBytesMax || LONG_RUN.test(text)) {
      return Math.ceil(bytes / BYTES_PER_TOKEN);
    }
    return this.#encoding.countTokens(text, { disallowedSpecial: NO_SPECIAL });
  }

  /** The first `tokensMax` tokens of `text`, and whether something was left out. */
  cut(text: string, tokensMax: number): { readonly text: string; readonly isCut: boolean } {
    if (this.count(text) <= tokensMax) return { text, isCut: false };
    const isExact = this.#encoding !== undefined && !LONG_RUN.test(text) &&
      Buffer.byteLength(text) <= this.#countBytesMax;
    if (!isExact) return { text: text.slice(0, tokensMax * BYTES_PER_TOKEN), isCut: true };
    const { encode, decode } = this.#encoding!;
    const tokens = encode(text, { disallowedSpecial: NO_SPECIAL });
    const kept = decode(tokens.slice(0, tokensMax));
    // A token may end inside a character: the library's decoder then keeps the half for its next
    // call, whoever makes it. The rest of the same text takes it out of there.
    decode(tokens.slice(tokensMax));
    return { text: kept, isCut: true };
  }
}

/** Texts such as "<|endoftext|>" count as the plain characters that a user typed. */
const NO_SPECIAL: Set<string> = new Set();
