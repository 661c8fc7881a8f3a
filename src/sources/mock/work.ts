/**
 * What making a value may cost. It is counted, and not timed, so that the same request always gets the
 * same answer.
 *
 * @module
 */

/** What the mock does for one request with schemas, in steps of 10 to 30 ns: 70 to 190 ms (measured). */
const STEPS_MAX = 7_000_000;
/** With fewer left, what is tried last is tried at once. */
const STEPS_LOW = 2_000_000;
/** What a longer text of ours adds to that. */
const STEPS_PER_WRITTEN_CHAR = 20;
/** Places that are filled, tries that failed among them, before a schema is given up. */
const PLACES_MAX = 10_000;
/** Characters of all texts of a value. */
export const CHARS_MAX = 65_536;

/** Steps of one request: all of its schemas share them. */
export class Steps {
  #left: number;

  /** `chars`: of a text that somebody who runs weir wrote, and that is to be looked at. */
  constructor(chars = 0) {
    this.#left = STEPS_MAX + STEPS_PER_WRITTEN_CHAR * chars;
  }

  /** True when a schema was given up because there were none left. */
  get isSpent(): boolean {
    return this.#left < 0;
  }

  get isLow(): boolean {
    return this.#left < STEPS_LOW;
  }

  /** Whether there are `count` left. */
  has(count: number): boolean {
    return count <= this.#left;
  }

  /** @throws {RangeError} when there are not so many. */
  take(count: number): void {
    this.#left -= count;
    if (this.#left < 0) throw new RangeError("it takes too long");
  }
}

/** What has been done for one schema so far. */
export class Work {
  readonly steps: Steps;
  #places = 0;
  #chars = 0;

  constructor(steps: Steps) {
    this.steps = steps;
  }

  /** @throws {RangeError} when it is enough. */
  place(count = 1): void {
    this.#places += count;
    if (this.#places > PLACES_MAX) throw new RangeError(`it needs more than ${PLACES_MAX} values`);
    this.steps.take(10 * count);
  }

  /** @throws {RangeError} when it is enough. */
  text(chars: number): void {
    this.#chars += chars;
    if (this.#chars > CHARS_MAX) {
      throw new RangeError(`it needs texts of more than ${CHARS_MAX} characters`);
    }
  }
}
