/**
 * Which of many things came lately, in memory that several processes map. As in `Ordinals` a thing has
 * one place, which its hash decides: it is bounded, and what comes to another's place takes it.
 *
 * @module
 */

const PLACE_BYTES = 8;
/** Times are kept in so many milliseconds, modulo 2³²: they come again after 13 years. */
const UNIT_MS = 100;

/** Things by 64-bit hashes, each with the time at which it came last. */
export class Recent {
  /** The upper half of each says whose place it is, the lower half when that one came. */
  readonly #words: BigInt64Array;
  readonly #mask: number;

  /**
   * `bytes` are 8 for each place, all 0 at first; whoever has the same ones sees what others noted.
   *
   * @throws {RangeError} when the places are no power of two.
   */
  constructor(bytes: Uint8Array) {
    const places = bytes.byteLength / PLACE_BYTES;
    if (!(places >= 1) || (places & (places - 1)) !== 0) {
      throw new RangeError(`Cannot note in ${bytes.byteLength} bytes: no power of two of places`);
    }
    this.#words = new BigInt64Array(bytes.buffer, bytes.byteOffset, places);
    this.#mask = places - 1;
  }

  /**
   * Notes that the thing with this hash comes at `wallMs`, milliseconds since 1970. True: it came
   * within the `ttlMs` before, too.
   */
  touch(low: number, high: number, wallMs: number, ttlMs: number): boolean {
    const at = low & this.#mask;
    const word = Atomics.load(this.#words, at);
    const now = Math.floor(wallMs / UNIT_MS) >>> 0;
    const then = Number(word & 0xffff_ffffn);
    Atomics.store(this.#words, at, (BigInt(high | 0) << 32n) | BigInt(now));
    if (word === 0n || Number(word >> 32n) !== (high | 0)) return false;
    return ((now - then) >>> 0) * UNIT_MS <= ttlMs;
  }

  /** Nothing has come. */
  clear(): void {
    for (let at = 0; at <= this.#mask; at++) Atomics.store(this.#words, at, 0n);
  }
}

/** Bytes of `places` places, a power of two. */
export function recentBytes(places: number): number {
  return places * PLACE_BYTES;
}
