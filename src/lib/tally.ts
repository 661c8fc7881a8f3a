/**
 * Numbers of several processes side by side, in memory that all of them map: each changes its own, and
 * all see the sum.
 *
 * @module
 */

/** Processes that have a place of their own; more share places. A power of two. */
const PLACES = 1024;
const MASK = PLACES - 1;

/** So many rows of numbers, each with a place for every process. */
export class Tally {
  readonly #numbers: Int32Array;
  readonly #own: number;

  /** `bytes` are 0 at first; whoever has the same ones counts together. `own` tells this process. */
  constructor(bytes: Uint8Array, own: number) {
    this.#numbers = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    this.#own = own & MASK;
  }

  /** This process begins: what one before it at its place has left there is gone. */
  begin(): void {
    for (let at = this.#own; at < this.#numbers.length; at += PLACES) {
      Atomics.store(this.#numbers, at, 0);
    }
  }

  /** This process' number in `row` grows by `by`, which may be below 0. */
  add(row: number, by: number): void {
    Atomics.add(this.#numbers, row * PLACES + this.#own, by);
  }

  /** This process' number in `row`. */
  own(row: number): number {
    return Atomics.load(this.#numbers, row * PLACES + this.#own);
  }

  /** The sum of all processes' numbers in `row`. */
  total(row: number): number {
    const numbers = this.#numbers;
    const end = (row + 1) * PLACES;
    let sum = 0;
    for (let at = row * PLACES; at < end; at++) sum += numbers[at]!;
    return sum;
  }
}

/** Bytes of so many rows. */
export function tallyBytes(rows: number): number {
  return rows * PLACES * 4;
}
