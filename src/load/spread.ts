/**
 * A distribution of times in the places of an HdrHistogram: three digits, from a microsecond up to 35
 * minutes, whatever is recorded. Two of them are put together exactly, and as text any HdrHistogram
 * can read them.
 *
 *   microseconds   0 1 2 … 2047 │ 2048 2050 … 4094 │ 4096 4100 … │ …
 *   width of a place      1     │        2         │      4      │ doubles
 *
 * The library writes and reads that text. Recording and percentiles are here, since a value costs it
 * 170 ns and a percentile of a long tail milliseconds, in which the client would measure nothing.
 *
 * @module
 */

import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  JsHistogram,
} from "hdr-histogram-js";

/** Recorded in microseconds. */
const PARTS = 1000;
/** The largest number that shifts work with: what takes longer counts as that. */
const PARTS_MAX = 2 ** 31 - 1;
/** log2 of half the places between two powers of two, for three digits. */
const HALF_BITS = 10;
const SINGLES = 2 << HALF_BITS;
const PLACES = (31 - HALF_BITS + 1) << HALF_BITS;
const OPTIONS = {
  bitBucketSize: 64,
  autoResize: true,
  lowestDiscernibleValue: 1,
  highestTrackableValue: PARTS_MAX,
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
  /**
   * Made with the first value: most distributions of most runs have none. Four bytes for a place, 90 KB,
   * since a core's cache has to hold a dozen of them; none can run over before 4 billion values.
   */
  #counts: Uint32Array | undefined = undefined;
  #count = 0;
  #sum = 0;
  #max = 0;

  /** Values recorded. */
  get count(): number {
    return this.#count;
  }

  /** Records a time. What is below 0 counts as 0. */
  record(ms: number): void {
    const held = ms > 0 ? ms : 0;
    this.#sum += held;
    if (held > this.#max) this.#max = held;
    this.#add(Math.min(PARTS_MAX, Math.round(held * PARTS)), 1);
  }

  /** The time that a share of all values does not exceed, 0 to 100; undefined = there is none. */
  percentile(share: number): number | undefined {
    const counts = this.#counts;
    if (counts === undefined) return undefined;
    // Not one more for a last digit that a double does not have.
    const rank = Math.max(1, Math.ceil((share / 100) * this.#count - 1e-9 * this.#count));
    let seen = 0;
    for (let place = 0; place < PLACES; place++) {
      seen += counts[place]!;
      if (seen < rank) continue;
      const parts = share === 0 ? lowestOf(place) : lowestOf(place + 1) - 1;
      return Math.min(this.#max, parts / PARTS);
    }
    return this.#max;
  }

  /** The share of all values that is no larger than `ms`, 0 to 1; NaN = there is none. */
  shareUpTo(ms: number): number {
    const last = placeOf(Math.min(PARTS_MAX, Math.round(ms * PARTS)));
    let seen = 0;
    for (let place = 0; place <= last; place++) seen += this.#counts?.[place] ?? 0;
    return seen / this.#count;
  }

  /**
   * How many values lie between each of `edgesMs`, which rise, and the next; what is outside is not
   * told. The values of a place that an edge goes through are shared by its width.
   */
  counts(edgesMs: readonly number[]): readonly number[] {
    const found = new Array<number>(Math.max(0, edgesMs.length - 1)).fill(0);
    const counts = this.#counts;
    if (counts === undefined) return found;
    let bin = 0;
    for (let place = 0; place < PLACES && bin < found.length; place++) {
      const count = counts[place]!;
      if (count === 0) continue;
      const [from, to] = [lowestOf(place) / PARTS, lowestOf(place + 1) / PARTS];
      while (bin < found.length && edgesMs[bin + 1]! <= from) bin++;
      for (let at = bin; at < found.length && edgesMs[at]! < to; at++) {
        const within = Math.min(to, edgesMs[at + 1]!) - Math.max(from, edgesMs[at]!);
        found[at]! += (count * Math.max(0, within)) / (to - from);
      }
    }
    return found;
  }

  /** The figures of a report; undefined = nothing was recorded, and there are none. */
  summary(): SpreadSummary | undefined {
    if (this.#count === 0) return undefined;
    const { p50, p90, p95, p99, p999 } = SHARES;
    return {
      p50: this.percentile(p50)!,
      p90: this.percentile(p90)!,
      p95: this.percentile(p95)!,
      p99: this.percentile(p99)!,
      p999: this.percentile(p999)!,
      max: this.#max,
      mean: this.#sum / this.#count,
    };
  }

  /** Adds everything that `other` has recorded. */
  merge(other: Spread): void {
    const theirs = other.#counts;
    if (theirs === undefined) return;
    const counts = this.#counts ??= new Uint32Array(PLACES);
    for (let place = 0; place < PLACES; place++) counts[place]! += theirs[place]!;
    this.#count += other.#count;
    this.#sum += other.#sum;
    this.#max = Math.max(this.#max, other.#max);
  }

  /** The sum of all values. */
  get sum(): number {
    return this.#sum;
  }

  /** Itself in few numbers and without compressing anything, for `addBrief`. */
  toBrief(): SpreadBrief {
    const counts: number[] = [];
    this.#counts?.forEach((count, place) => {
      if (count > 0) counts.push(place, count);
    });
    return { counts, sum: this.#sum, max: this.#max };
  }

  /** Adds what `toBrief` of another one gave. */
  addBrief({ counts, sum, max }: SpreadBrief): void {
    for (let i = 0; i < counts.length; i += 2) this.#add(lowestOf(counts[i]!), counts[i + 1]!);
    this.#sum += sum;
    this.#max = Math.max(this.#max, max);
  }

  /** What `Spread.read` makes the same distribution of. */
  toFile(): SpreadFile {
    const histogram = build(OPTIONS);
    this.#counts?.forEach((count, place) => {
      if (count > 0) histogram.recordValueWithCount(lowestOf(place), count);
    });
    return {
      hdr: encodeIntoCompressedBase64(histogram),
      sum_ms: this.#sum,
      max_ms: this.#max,
    };
  }

  /** The distribution that was written. @throws when it is none. */
  static read({ hdr, sum_ms, max_ms }: SpreadFile): Spread {
    const spread = new Spread();
    const histogram = decodeFromCompressedBase64(hdr, OPTIONS.bitBucketSize, false);
    if (!(histogram instanceof JsHistogram)) throw new TypeError("Cannot read a histogram: none");
    const values = histogram.recordedValuesIterator;
    for (values.reset(); values.hasNext();) {
      const { valueIteratedTo, countAtValueIteratedTo } = values.next();
      spread.#add(valueIteratedTo, countAtValueIteratedTo);
    }
    spread.#sum = sum_ms;
    spread.#max = max_ms;
    return spread;
  }

  #add(parts: number, count: number): void {
    const counts = this.#counts ??= new Uint32Array(PLACES);
    counts[placeOf(parts)]! += count;
    this.#count += count;
  }
}

/** The place of a value. */
function placeOf(parts: number): number {
  const shift = parts < SINGLES ? 0 : 31 - HALF_BITS - Math.clz32(parts);
  return (shift << HALF_BITS) + (parts >> shift);
}

/** The smallest value of a place. */
function lowestOf(place: number): number {
  const shift = place < SINGLES ? 0 : (place >> HALF_BITS) - 1;
  return (place - (shift << HALF_BITS)) * 2 ** shift;
}

/** A distribution between two processes of this program. */
export interface SpreadBrief {
  /** Places, each with its count behind it. */
  readonly counts: readonly number[];
  readonly sum: number;
  readonly max: number;
}

/** A distribution in a file. */
export interface SpreadFile {
  /** HdrHistogram V2, compressed, base64, in microseconds. */
  readonly hdr: string;
  readonly sum_ms: number;
  readonly max_ms: number;
}
