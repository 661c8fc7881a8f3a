/**
 * Byte-pair encoding over a table that needs no parsing: numbers and bytes as they lie in memory,
 * 3 MB for o200k_base, where the library's list of 200 000 strings takes 290 ms and 100 MB to become
 * a map. Which words there are is the library's own pattern, what comes out is the library's too
 * (test/sources/byte_pairs_test.ts compares them).
 *
 * @module
 */

import {
  CL100K_TOKEN_SPLIT_REGEX,
  O200K_TOKEN_SPLIT_REGEX,
} from "gpt-tokenizer/encodingParams/constants";

/** What an encoding is, besides its table. */
export interface Encoding {
  /**
   * Places of the table, some twice its tokens: a token is found at the 1.5th place looked at, and
   * that there is none is known at the 2.6th.
   */
  readonly slotCount: number;
  /** The words that are merged each for itself. */
  readonly words: RegExp;
}

/** The encodings of OpenAI's chat models. */
export const ENCODINGS = {
  /** 100 256 tokens: gpt-3.5 and gpt-4. */
  cl100k_base: { slotCount: 3 << 16, words: CL100K_TOKEN_SPLIT_REGEX },
  /** 199 998 tokens: every later model. */
  o200k_base: { slotCount: 3 << 17, words: O200K_TOKEN_SPLIT_REGEX },
} as const satisfies Readonly<Record<string, Encoding>>;

/** The name of an encoding. */
export type EncodingName = keyof typeof ENCODINGS;

/** Bits of a slot for a token's length in bytes, of which the longest has 128; 0 = a free slot. */
export const LENGTH_BITS = 8;
const LENGTH_MASK = (1 << LENGTH_BITS) - 1;
const TOKEN_BYTES_MAX = 128;

/** Bytes of a token in a word that is not merged. */
const UNMERGED_BYTES = 4;

/** Two parts that are no token together come after all that are. */
const NEVER = 0xffff_ffff;

/** How far a text was encoded. */
export interface Encoded {
  readonly tokens: number;
  /** Whole characters within these tokens, in UTF-16 units. */
  readonly units: number;
}

/**
 * The tokens of an encoding and how a text falls into them.
 *
 * The table is `slotCount` little-endian numbers of four bytes, then the bytes of all tokens in
 * the order of their ranks. A slot is `offset << LENGTH_BITS | length`, found by `slotOf` or, where
 * that was taken, next to it. As the offsets rise with the ranks, they are compared instead.
 */
export class BytePairs {
  readonly #slots: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #words: RegExp;
  /** The parts of the word being merged, by their first byte, and the end of the last. */
  #starts = new Uint32Array(256);
  /** The rank of each part together with the next one. */
  #ranks = new Uint32Array(256);

  readonly #wordBytesMax: number;
  /** The slots of all tokens by rank, once somebody wants a text: offsets rise with ranks. */
  #ranked: Uint32Array | undefined = undefined;

  /**
   * `table` must lie at a multiple of four bytes in its buffer, as a file that was read does. A word
   * of more than `wordBytesMax` bytes is not merged: every four of its bytes count as a token.
   */
  constructor(table: Uint8Array, { slotCount, words }: Encoding, wordBytesMax = Infinity) {
    this.#wordBytesMax = wordBytesMax;
    this.#slots = new Uint32Array(table.buffer, table.byteOffset, slotCount);
    this.#bytes = table.subarray(4 * slotCount);
    this.#words = new RegExp(words);
  }

  /**
   * Encodes `text` up to `tokensMax` tokens. Quadratic in the length of one word. `ends` takes the
   * place behind each token that ends with a character, in UTF-16 units.
   */
  encode(text: string, tokensMax = Infinity, ends?: number[]): Encoded {
    const bytes = UTF8.encode(text);
    const words = this.#words;
    words.lastIndex = 0;
    let tokens = 0;
    let units = 0;
    let start = 0;
    // Every character belongs to a word, so each word starts where the last one ended.
    while (words.test(text)) {
      const end = start + bytesUpTo(bytes, start, words.lastIndex - units);
      const isToken = this.#rank(bytes, start, end) !== NEVER;
      const count = isToken ? 1 : this.#merge(bytes, start, end);
      if (tokens + count > tokensMax) {
        if (!isToken) units += unitsUpTo(bytes, start, this.#starts[tokensMax - tokens]!);
        return { tokens: tokensMax, units };
      }
      for (let i = 1; ends !== undefined && i < count; i++) {
        const at = this.#starts[i]!;
        if (!isInside(bytes[at]!)) ends.push(units + unitsUpTo(bytes, start, at));
      }
      tokens += count;
      units = words.lastIndex;
      ends?.push(units);
      start = end;
    }
    return { tokens, units };
  }

  /** What `tokens` say, given by their ranks; undefined = one of them is none. */
  decode(tokens: readonly number[]): string | undefined {
    const ranked = this.#ranked ??= this.#slots.filter((slot) => slot !== 0).sort();
    const pieces: Uint8Array[] = [];
    for (const token of tokens) {
      const slot = ranked[token];
      if (slot === undefined) return undefined;
      const offset = slot >>> LENGTH_BITS;
      pieces.push(this.#bytes.subarray(offset, offset + (slot & LENGTH_MASK)));
    }
    return Buffer.concat(pieces).toString();
  }

  /** Merges the bytes from `start` to `end` into as few tokens as the ranks say; gives how many. */
  #merge(bytes: Uint8Array, start: number, end: number): number {
    let count = end - start;
    if (count >= this.#starts.length) {
      this.#starts = new Uint32Array(2 * count);
      this.#ranks = new Uint32Array(2 * count);
    }
    const starts = this.#starts;
    const ranks = this.#ranks;
    if (count > this.#wordBytesMax) {
      count = Math.ceil(count / UNMERGED_BYTES);
      for (let i = 0; i < count; i++) starts[i] = start + UNMERGED_BYTES * i;
      starts[count] = end;
      return count;
    }
    for (let i = 0; i < count; i++) {
      starts[i] = start + i;
      ranks[i] = i + 1 < count ? this.#rank(bytes, start + i, start + i + 2) : NEVER;
    }
    starts[count] = end;
    while (true) {
      let lowest = NEVER;
      let at = -1;
      for (let i = 0; i < count - 1; i++) {
        if (ranks[i]! < lowest) lowest = ranks[at = i]!;
      }
      if (at < 0) return count;
      starts.copyWithin(at + 1, at + 2, count + 1);
      ranks.copyWithin(at + 1, at + 2, count);
      count--;
      ranks[at] = at + 1 < count ? this.#rank(bytes, starts[at]!, starts[at + 2]!) : NEVER;
      if (at > 0) ranks[at - 1] = this.#rank(bytes, starts[at - 1]!, starts[at + 1]!);
    }
  }

  /** What the token of these bytes is known by; `NEVER` = they are none. */
  #rank(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (length > TOKEN_BYTES_MAX) return NEVER;
    const slotCount = this.#slots.length;
    let at = slotOf(bytes, start, end, slotCount);
    while (true) {
      const slot = this.#slots[at]!;
      if (slot === 0) return NEVER;
      if ((slot & LENGTH_MASK) === length) {
        const offset = slot >>> LENGTH_BITS;
        let same = 0;
        while (same < length && this.#bytes[offset + same] === bytes[start + same]) same++;
        if (same === length) return offset;
      }
      if (++at === slotCount) at = 0;
    }
  }
}

/** The slot to look at first for these bytes. */
export function slotOf(bytes: Uint8Array, start: number, end: number, slotCount: number): number {
  let hash = end - start;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x9e37_79b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x9e37_79b1) >>> 0;
  return Math.floor(hash * (slotCount / 2 ** 32));
}

const UTF8 = new TextEncoder();

/** Bytes of the next `units` UTF-16 units behind `start`, which no character crosses. */
function bytesUpTo(bytes: Uint8Array, start: number, units: number): number {
  let at = start;
  for (let left = units; left > 0; left--) {
    const size = sizeOf(bytes[at]!);
    if (size === 4) left--; // two units
    at += size;
  }
  return at - start;
}

/** UTF-16 units of the characters that lie whole between `start` and `end`. */
function unitsUpTo(bytes: Uint8Array, start: number, end: number): number {
  let units = 0;
  let at = start;
  while (at < end) {
    const size = sizeOf(bytes[at]!);
    at += size;
    if (at <= end) units += size === 4 ? 2 : 1;
  }
  return units;
}

/** True for a byte that no character begins with. */
function isInside(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

/** Bytes of the character that begins with `lead`. */
function sizeOf(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead < 0xe0) return 2;
  return lead < 0xf0 ? 3 : 4;
}
