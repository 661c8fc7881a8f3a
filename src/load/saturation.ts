/**
 * Sees that a load runs away: more is asked for than is answered, so that both the requests at once
 * and the time to the first token grow for as long as it goes on. Pure: there is no clock.
 *
 * Over a sliding window a line is fitted to each of the two. It runs away when both rise by more than
 * chance explains: the slope is above twice its own error bound. As GuideLLM does it.
 *
 * @module
 */

/** What is looked at. */
export interface SaturationLimits {
  /** What comes before that is not looked at: a ramp, or a warm-up. */
  readonly fromMs: number;
  /** It is looked at for so long before anything is said: a cold server is no saturated one. */
  readonly lookedAtMs: number;
  /** A first token that comes sooner is no trouble, however it grows. */
  readonly ttftMsMin: number;
}

/** A look at a running load. */
export interface SaturationLook {
  /** Since its start. Never goes back. */
  readonly atMs: number;
  /** Under way, and due and waiting. */
  readonly atOnce: number;
  /** First tokens so far, and the sum of their times. */
  readonly ttftCount: number;
  readonly ttftSumMs: number;
}

/** Unless told otherwise, as GuideLLM has it. */
export const SATURATION_MS_MIN = 30_000;
export const SATURATION_TTFT_MS_MIN = 2500;
const WINDOW_MS = 120_000;
/** Fewer points are no line. */
const POINTS_MIN = 8;
/** Half the width of a slope's 95 % interval, in its standard errors. */
const Z95 = 1.96;
/** A slope may be this many times its margin of error at least. */
const MARGINS = 2;

type Point = readonly [atMs: number, value: number];

/** Looks at one round. */
export class SaturationWatch {
  readonly #limits: SaturationLimits;
  #atOnce: Point[] = [];
  #ttft: Point[] = [];
  #count = 0;
  #sumMs = 0;

  constructor(limits: SaturationLimits) {
    this.#limits = limits;
  }

  /** Takes a look; true = it has run away. */
  look({ atMs, atOnce, ttftCount, ttftSumMs }: SaturationLook): boolean {
    const { fromMs, lookedAtMs, ttftMsMin } = this.#limits;
    if (atMs < fromMs) return false;
    this.#atOnce.push([atMs, atOnce]);
    const fresh = ttftCount - this.#count;
    if (fresh > 0) this.#ttft.push([atMs, (ttftSumMs - this.#sumMs) / fresh]);
    [this.#count, this.#sumMs] = [ttftCount, ttftSumMs];
    const inWindow = ([ms]: Point) => ms > atMs - WINDOW_MS;
    this.#atOnce = this.#atOnce.filter(inWindow);
    this.#ttft = this.#ttft.filter(inWindow);
    if (atMs < fromMs + lookedAtMs || (this.#ttft.at(-1)?.[1] ?? 0) < ttftMsMin) return false;
    return isRising(this.#atOnce) && isRising(this.#ttft);
  }
}

/** True when the line through `points` rises by more than chance explains. */
function isRising(points: readonly Point[]): boolean {
  const { length } = points;
  if (length < POINTS_MIN) return false;
  const mean = (at: 0 | 1) => points.reduce((sum, point) => sum + point[at], 0) / length;
  const [x, y] = [mean(0), mean(1)];
  const spread = points.reduce((sum, [ms]) => sum + (ms - x) ** 2, 0);
  const slope = points.reduce((sum, [ms, value]) => sum + (ms - x) * (value - y), 0) / spread;
  const left = points.reduce((sum, [ms, value]) => sum + (value - y - slope * (ms - x)) ** 2, 0);
  const margin = Z95 * Math.sqrt(left / (length - 2) / spread);
  return slope > MARGINS * margin && slope > 0;
}
