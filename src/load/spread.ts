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

/** A distribution of milliseconds. */
export class Spread {
  #histogram: Histogram;
  #sum = 0;
  #max = 0;

  constructor(histogram: Histogram = build(OPTIONS)) {
    this.#histogram = histogram;
  }

  /** Values recorded. */
  get count(): number {
    return this.#histogram.totalCount;
  }

  /** Records a time. What is below 0 counts as 0. */
  record(ms: number): void {
    const held = ms > 0 ? ms : 0;
    this.#sum += held;
    if (held > this.#max) this.#max = held;
    this.#histogram.recordValue(Math.min(PARTS_MAX, Math.round(held * PARTS)));
  }

  /** The time that a share of all values does not exceed, 0 to 100; undefined = there is none. */
  percentile(share: number): number | undefined {
    if (this.count === 0) return undefined;
    return Math.min(this.#max, this.#histogram.getValueAtPercentile(share) / PARTS);
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
    this.#histogram.add(other.#histogram);
    this.#sum += other.#sum;
    this.#max = Math.max(this.#max, other.#max);
  }

  /** What `readSpread` makes the same distribution of. */
  toFile(): SpreadFile {
    return {
      hdr: encodeIntoCompressedBase64(this.#histogram),
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
