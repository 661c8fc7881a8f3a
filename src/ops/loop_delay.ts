/**
 * Watches how late the event loop runs its timers: the one figure that says whether a process has
 * too much to do.
 *
 * @module
 */

import type { Histogram } from "../lib/histogram.ts";
import { Ticket, type Wheel } from "../lib/wheel.ts";

/**
 * How often the loop is looked at. Ten looks a second cost an idle process nothing that can be
 * measured, and a stall counts with every look that it prevented.
 */
const LOOK_MS = 100;

/** A ticket that comes back for ever. */
export class LoopDelay extends Ticket {
  readonly #wheel: Wheel;
  readonly #delayMs: Histogram;
  #dueMs = 0;

  /** Records into `delayMs`, in milliseconds. */
  constructor(wheel: Wheel, delayMs: Histogram) {
    super();
    this.#wheel = wheel;
    this.#delayMs = delayMs;
  }

  start(): void {
    this.#wait();
  }

  stop(): void {
    this.#wheel.cancel(this);
  }

  override run(nowMs: number): void {
    this.#delayMs.recordCorrected(nowMs - this.#dueMs, LOOK_MS);
    this.#wait();
  }

  /** Due at a whole tick, so that the wheel's own rounding is no delay. */
  #wait(): void {
    this.#dueMs = Math.ceil(this.#wheel.nowMs) + LOOK_MS;
    this.#wheel.set(this, this.#dueMs);
  }
}
