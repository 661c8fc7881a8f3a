/**
 * A distribution of times as an HdrHistogram: three digits, from a microsecond up, whatever is
 * recorded. Two of them are put together exactly, and as text any HdrHistogram can read them.
 *
 * @module
 */

import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram,
} from "hdr-histogram-js";

/** Recorded in microseconds. */
const PARTS = 1000;
/** One hour: what takes longer counts as that. */
const PARTS_MAX = 3_600_000 * PARTS;
const OPTIONS = {
  bitBucketSize: 32,
  autoResize: true,
  lowestDiscernibleValue: 1,
  highestTrackableValue: 1024,
  numberOfSignificantValueDigits: 3,
  useWebAssembly: false,
} as const;

/** What a report shows of a distribution, in milliseconds. */
export interface SpreadSummary {
  readonly p50: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly mean: number;
}

/** The shares that a summary has. */
export const SHARES = { p50: 50, p90: 90, p95: 95, p99: 99, p999: 99.9 } as const;

/** log2 of half the places between two powers of two: those of an HdrHistogram of three digits. */
const HALF_BITS = 10;
/** The largest number of microseconds that shifts work with. */
const SHIFTED_MAX = 2 ** 31 - 1;
/** A count of four bytes cannot run over before that. */
const COUNT_MAX = 2 ** 31;
const PLACES = (31 - HALF_BITS + 1) << HALF_BITS;

/** A distribution of milliseconds. */
export class Spread {
  readonly #histogram: Histogram;
  /**
   * Counts in the histogram's own places that it has not got yet: one increment, where the library
   * takes 170 ns for each value.
   */
  #counts: Uint32Array | undefined = undefined;
  #pending = 0;
  #sum = 0;
  #max = 0;

  constructor(histogram: Histogram = build(OPTIONS)) {
    this.#histogram = histogram;
  }

  /** Values recorded. */
  get count(): number {
    return this.#histogram.totalCount + this.#pending;
  }

  /** Records a time. What is below 0 counts as 0. */
  record(ms: number): void {
    const held = ms > 0 ? ms : 0;
    this.#sum += held;
    if (held > this.#max) this.#max = held;
    const parts = Math.min(PARTS_MAX, Math.round(held * PARTS));
    if (parts > SHIFTED_MAX) return this.#histogram.recordValue(parts);
    const counts = this.#counts ??= new Uint32Array(PLACES);
    const shift = parts < 2 << HALF_BITS ? 0 : 31 - HALF_BITS - Math.clz32(parts);
    counts[(shift << HALF_BITS) + (parts >> shift)]!++;
    if (++this.#pending === COUNT_MAX) this.#flush();
  }

  /** The time that a share of all values does not exceed, 0 to 100; undefined = there is none. */
  percentile(share: number): number | undefined {
    if (this.count === 0) return undefined;
    return Math.min(this.#max, this.#flush().getValueAtPercentile(share) / PARTS);
  }

  /** The figures of a report; undefined = nothing was recorded, and there are none. */
  summary(): SpreadSummary | undefined {
    if (this.count === 0) return undefined;
    const { p50, p90, p95, p99, p999 } = SHARES;
    return {
      p50: this.percentile(p50)!,
      p90: this.percentile(p90)!,
      p95: this.percentile(p95)!,
      p99: this.percentile(p99)!,
      p999: this.percentile(p999)!,
      max: this.#max,
      mean: this.#sum / this.count,
    };
  }

  /** Adds everything that `other` has recorded. */
  merge(other: Spread): void {
    this.#flush().add(other.#flush());
    this.#sum += other.#sum;
    this.#max = Math.max(this.#max, other.#max);
  }

  /** Gives the histogram all there is. */
  #flush(): Histogram {
    const counts = this.#counts;
    if (this.#pending > 0 && counts !== undefined) {
      for (let place = 0; place < PLACES; place++) {
        const count = counts[place]!;
        if (count === 0) continue;
        const shift = place < 2 << HALF_BITS ? 0 : (place >> HALF_BITS) - 1;
        this.#histogram.recordValueWithCount((place - (shift << HALF_BITS)) * 2 ** shift, count);
      }
      counts.fill(0);
      this.#pending = 0;
    }
    return this.#histogram;
  }

  /** What `Spread.read` makes the same distribution of. */
  toFile(): SpreadFile {
    return {
      hdr: encodeIntoCompressedBase64(this.#flush()),
      sum_ms: this.#sum,
      max_ms: this.#max,
    };
  }

  /** The distribution that was written. @throws when it is none. */
  static read({ hdr, sum_ms, max_ms }: SpreadFile): Spread {
    const spread = new Spread(decodeFromCompressedBase64(hdr, OPTIONS.bitBucketSize, false));
    spread.#sum = sum_ms;
    spread.#max = max_ms;
    return spread;
  }
}

/** A distribution in a file. */
export interface SpreadFile {
  /** HdrHistogram V2, compressed, base64, in microseconds. */
  readonly hdr: string;
  readonly sum_ms: number;
  readonly max_ms: number;
}
