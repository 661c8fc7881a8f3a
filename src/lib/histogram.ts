/**
 * A log-linear histogram after HdrHistogram: values in bounded memory, percentiles within 0.8 %.
 *
 *   value in thousandths   0 1 2 … 127 │ 128 … 255 │ 256 258 … 510 │ 512 516 … 1020 │ …
 *   width of a bucket              1   │     1     │       2       │       4        │ doubles
 *
 * Between two powers of two lie 128 buckets, so a bucket is never wider than 1/128 of its value.
 * Recording is one shift and one increment of a typed array: cheap enough for every paced frame.
 * The unit belongs to the name of the variable that holds the histogram (`latenessMs`).
 *
 * @module
 */

/** Parts of one: the resolution of small values. Microseconds when the unit is milliseconds. */
const PARTS = 1000;
/** log2 of the buckets between two powers of two. */
const BITS = 7;
const HALF = 1 << BITS;
/** The largest value in thousandths: a signed 32-bit integer, so that shifts work. */
const PARTS_MAX = 2 ** 31 - 1;
const BUCKETS = (31 - 1 - BITS + 1) * HALF + HALF;

/** The largest value that is told apart, some 35 minutes in milliseconds; above it counts as it. */
export const VALUE_MAX = PARTS_MAX / PARTS;

/** What a report shows of a histogram, in the unit of its values. All 0 when it is empty. */
export interface Summary {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Counts how often values came up. 26 KiB, whatever is recorded. */
export class Histogram {
  /** Doubles and not 32-bit integers: those would run over after a day of 50 000 frames a second. */
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sum = 0;
  #max = 0;

  /** Values recorded. */
  get count(): number {
    return this.#count;
  }

  /** The largest value recorded, exactly; 0 when there is none. */
  get max(): number {
    return this.#max;
  }

  /** The mean of the values recorded, exactly; 0 when there is none. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  /** All values recorded, added up. It never falls. */
  get sum(): number {
    return this.#sum;
  }

  /** Records `value` once. What is below 0 counts as 0: pass the magnitude of an error. */
  record(value: number): void {
    const held = value > 0 ? value : 0;
    const parts = held >= VALUE_MAX ? PARTS_MAX : (held * PARTS) | 0;
    const shift = parts < 2 * HALF ? 0 : 31 - BITS - Math.clz32(parts);
    this.#counts[(shift << BITS) + (parts >> shift)]!++;
    this.#count++;
    this.#sum += held;
    if (held > this.#max) this.#max = held;
  }

  /**
   * Records `value` of something that should have happened every `interval`, and the values that
   * were never measured because it did not: a stall of 10 at an interval of 2 is 10, 8, 6, 4, 2
   * ("coordinated omission").
   */
  recordCorrected(value: number, interval: number): void {
    this.record(value);
    for (let missed = value - interval; missed >= interval; missed -= interval) {
      this.record(missed);
    }
  }

  /**
   * The value that a `share` (0 to 1) of all values does not exceed, rounded up to the end of its
   * bucket: never too small, at most 0.8 % too large, never above `max`. 0 when it is empty.
   */
  percentile(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let i = 0; i < BUCKETS; i++) {
      seen += this.#counts[i]!;
      if (seen >= rank) return Math.min(upperEnd(i), this.#max);
    }
    return this.#max;
  }

  /** Values that are at most `value`, or share its bucket: the cumulative buckets of /metrics. */
  countUpTo(value: number): number {
    let seen = 0;
    for (let i = 0; i < BUCKETS && (i === 0 || upperEnd(i - 1) <= value); i++) {
      seen += this.#counts[i]!;
    }
    return seen;
  }

  /** Adds everything `other` has recorded. */
  merge(other: Histogram): void {
    for (let i = 0; i < BUCKETS; i++) this.#counts[i]! += other.#counts[i]!;
    this.#count += other.#count;
    this.#sum += other.#sum;
    this.#max = Math.max(this.#max, other.#max);
  }

  /** Forgets everything. */
  reset(): void {
    this.#counts.fill(0);
    this.#count = 0;
    this.#sum = 0;
    this.#max = 0;
  }

  /** The figures of a report. */
  summary(): Summary {
    return {
      count: this.#count,
      mean: this.mean,
      p50: this.percentile(0.5),
      p90: this.percentile(0.9),
      p99: this.percentile(0.99),
      p999: this.percentile(0.999),
      max: this.#max,
    };
  }
}

/** The value just above bucket `index`, where the next one begins. */
function upperEnd(index: number): number {
  const shift = index < 2 * HALF ? 0 : (index >> BITS) - 1;
  return (((index - (shift << BITS)) + 1) * 2 ** shift) / PARTS;
}
