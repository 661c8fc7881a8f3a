/**
 * How often each of many things came before, in memory that several processes map: no names are kept,
 * so there is no end of them, and no look-up is long.
 *
 * A thing has one place, which its hash decides, as lines of memory have in a cache that is mapped
 * directly. What comes to a place of another's takes it, and the other begins anew when it comes
 * again: of a thousand things in 2¹⁸ places that happens to two.
 *
 * @module
 */

const PLACE_BYTES = 8;

/** Counts by 64-bit hashes. */
export class Ordinals {
  /** The upper half of each says whose place it is, the lower half how often that one came. */
  readonly #words: BigInt64Array;
  readonly #mask: number;

  /**
   * `bytes` are 8 for each place, all 0 at first; whoever has the same ones counts with this one.
   *
   * @throws {RangeError} when the places are no power of two.
   */
  constructor(bytes: Uint8Array) {
    const places = bytes.byteLength / PLACE_BYTES;
    if (!(places >= 1) || (places & (places - 1)) !== 0) {
      throw new RangeError(`Cannot count in ${bytes.byteLength} bytes: no power of two of places`);
    }
    this.#words = new BigInt64Array(bytes.buffer, bytes.byteOffset, places);
    this.#mask = places - 1;
  }

  /** How often the thing with this hash came before: 0 at first, and again after 2³² times. */
  next(low: number, high: number): number {
    const words = this.#words;
    const at = low & this.#mask;
    for (;;) {
      const word = Atomics.load(words, at);
      const isOurs = Number(word >> 32n) === (high | 0);
      const count = isOurs ? Number(word & 0xffff_ffffn) : 0;
      const next = (BigInt(high | 0) << 32n) | BigInt((count + 1) >>> 0);
      if (Atomics.compareExchange(words, at, word, next) === word) return count;
    }
  }

  /** Everything comes for the first time again. */
  clear(): void {
    for (let at = 0; at <= this.#mask; at++) Atomics.store(this.#words, at, 0n);
  }
}

/** Bytes of `places` places, a power of two. */
export function ordinalsBytes(places: number): number {
  return places * PLACE_BYTES;
}
