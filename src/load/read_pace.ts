/**
 * How long a slow reader waits before it reads on. Pure: the time is an argument.
 *
 * A reader cannot say how much it reads at once: it reads what is there, and then nothing for as long
 * as these bytes take at its pace. So it never has more than pace × time, and one read.
 *
 * @module
 */

/** What a timer was late is made up for, up to this: else every read would make it slower still. */
const CREDIT_MS = 10;
/** A shorter wait is added to the next one. */
const WAIT_MS_MIN = 1;

/** The pace of one answer. */
export class ReadPace {
  readonly #bytesPerSecond: number;
  #freeAtMs: number;

  /** `startMs`: on the clock that `waitMs` gets. */
  constructor(bytesPerSecond: number, startMs: number) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#freeAtMs = startMs;
  }

  /** `bytes` were read: how many whole milliseconds to read nothing. */
  waitMs(nowMs: number, bytes: number): number {
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs - CREDIT_MS) +
      (1000 * bytes) / this.#bytesPerSecond;
    const waitMs = this.#freeAtMs - nowMs;
    return waitMs < WAIT_MS_MIN ? 0 : Math.ceil(waitMs);
  }
}
