/**
 * Watches how late the event loop runs its own timers: a program that measures others must know
 * when it was the one that was late.
 *
 * @module
 */

import { Histogram } from "../lib/histogram.ts";

/** How often the loop is looked at. Every look that a stall prevented is counted as well. */
const LOOK_MS = 2;

/** Records the delay of the event loop between `start` and `stop`. */
export class LoopWatch {
  /** How much later than asked for a timer ran, in milliseconds. */
  readonly delayMs = new Histogram();
  readonly #clock: () => number;
  #dueMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `clock` gives milliseconds that never go back. */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Begins to watch. */
  start(): void {
    this.#dueMs = this.#clock() + LOOK_MS;
    this.#timer = setTimeout(this.#look, LOOK_MS);
  }

  /** Ends the watch. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** Whole milliseconds, since a timer cuts off the rest and would come too early to be late. */
  readonly #look = (): void => {
    const nowMs = this.#clock();
    this.delayMs.recordCorrected(nowMs - this.#dueMs, LOOK_MS);
    this.#dueMs = nowMs + LOOK_MS;
    this.#timer = setTimeout(this.#look, LOOK_MS);
  };
}
