/**
 * Waits for something, but not for long.
 *
 * @module
 */

import { Ticket, type Wheel } from "./wheel.ts";

/** What was waited for has not come in time. */
export const LATE: unique symbol = Symbol("late");

/** `reading`'s value if it settles within `limitMs`, else `LATE`; it goes on being read. */
export async function soonOrLate<Value>(
  reading: Promise<Value>,
  wheel: Wheel,
  limitMs: number,
): Promise<Value | typeof LATE> {
  const patience = new Patience();
  wheel.set(patience, wheel.nowMs + limitMs);
  try {
    return await Promise.race([reading, patience.isOver]);
  } finally {
    wheel.cancel(patience);
    reading.catch(() => {}); // whoever awaits it next gets the error
  }
}

/** A wait with an end. An `AbortController` in its place would cost 12 µs, most of it a stack. */
class Patience extends Ticket {
  readonly #over = Promise.withResolvers<typeof LATE>();

  get isOver(): Promise<typeof LATE> {
    return this.#over.promise;
  }

  override run(): void {
    this.#over.resolve(LATE);
  }
}
