/**
 * How fast an answer came: what a reader of the stream can know of it.
 *
 * @module
 */

/** An answer's figures, in milliseconds and tokens. null = not known. */
export interface Measure {
  readonly firstMs: number | null;
  readonly tokensPerSecond: number | null;
  readonly tokensIn: number | null;
  /** Counted by the server; until it says so, one for each delta. */
  readonly tokensOut: number;
}

/** Times one answer from the moment its request goes out. */
export class Meter {
  readonly #now: () => number;
  readonly #startMs: number;
  #firstMs: number | null = null;
  #lastMs = 0;
  /** Deltas that came with the first one: no time between them is known. */
  #atFirst = 0;
  #deltas = 0;
  #usage: { readonly tokensIn: number; readonly tokensOut: number } | null = null;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#startMs = now();
  }

  /** `deltas` came together. */
  count(deltas: number): void {
    if (deltas === 0) return;
    this.#lastMs = this.#now();
    if (this.#firstMs === null) {
      this.#firstMs = this.#lastMs;
      this.#atFirst = deltas;
    }
    this.#deltas += deltas;
  }

  /** The server's own count. */
  settle(tokensIn: number, tokensOut: number): void {
    this.#usage = { tokensIn, tokensOut };
  }

  get measure(): Measure {
    return {
      firstMs: this.#firstMs === null ? null : this.#firstMs - this.#startMs,
      tokensPerSecond: this.#speed(),
      tokensIn: this.#usage?.tokensIn ?? null,
      tokensOut: this.#usage?.tokensOut ?? this.#deltas,
    };
  }

  /** Of what came behind the first piece; null while there is nothing to divide by. */
  #speed(): number | null {
    const later = this.#deltas - this.#atFirst;
    const seconds = (this.#lastMs - (this.#firstMs ?? 0)) / 1000;
    if (later === 0 || seconds <= 0) return null;
    // A delta may hold several tokens: the server's count, when it is there, corrects for that.
    const tokensPerDelta = this.#usage === null ? 1 : this.#usage.tokensOut / this.#deltas;
    return later * tokensPerDelta / seconds;
  }
}
