/**
 * Whether somebody who ought to say something has been silent for too long.
 *
 * @module
 */

/** How often it is looked at. */
export const SILENCE_LOOK_MS = 250;

/**
 * One silence. It grows from look to look, and by no more than two of them: in a longer time whoever
 * listens stood still as well (Ctrl-Z, a machine that slept), and what was said lies unread.
 */
export class Silence {
  #seenMs: number;
  #lastedMs = 0;

  /** `nowMs`: of a clock that never goes back. */
  constructor(nowMs: number) {
    this.#seenMs = nowMs;
  }

  /** Something was said, or begins to be waited for. */
  end(): void {
    this.#lastedMs = 0;
  }

  /** How long it has lasted, in milliseconds. To be called every `SILENCE_LOOK_MS`. */
  look(nowMs: number): number {
    this.#lastedMs += Math.min(nowMs - this.#seenMs, 2 * SILENCE_LOOK_MS);
    this.#seenMs = nowMs;
    return this.#lastedMs;
  }
}
