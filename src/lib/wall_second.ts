/**
 * The second of the day's time, for whoever needs it with every request: read once a second, since a
 * look at the clock takes 0.1 µs. While nobody asks, no timer runs.
 *
 * @module
 */

import { Ticket, type Wheel } from "./wheel.ts";

/** Seconds since 1970, no later than the wheel runs. */
export class WallSecond extends Ticket {
  readonly #wheel: Wheel;
  readonly #wallMs: () => number;
  #second = 0;

  /** `wallMs` gives the milliseconds since 1970. */
  constructor(wheel: Wheel, wallMs: () => number) {
    super();
    this.#wheel = wheel;
    this.#wallMs = wallMs;
  }

  /** Seconds since 1970, rounded down. */
  get now(): number {
    if (this.dueTick < 0) this.#read();
    return this.#second;
  }

  /** The second is over: whoever asks next has the clock looked at. */
  override run(): void {}

  #read(): void {
    const wallMs = this.#wallMs();
    this.#second = Math.floor(wallMs / 1000);
    this.#wheel.set(this, this.#wheel.nowMs + 1000 - wallMs % 1000);
  }
}
