/**
 * Work in slices: the event loop gets its turn in between.
 *
 * @module
 */

import type { Call } from "../../core/exchange.ts";

/** Milliseconds of work at a time. A piece that takes longer takes longer. */
export const SLICE_MS = 4;

/** Does `work` with each of `items`. Gives up when nobody waits any more (the promise rejects). */
export async function sliced<Item>(
  items: readonly Item[],
  { engine: { wheel }, signal }: Call,
  work: (item: Item) => void,
): Promise<void> {
  let beganMs = wheel.nowMs;
  for (const item of items) {
    if (wheel.nowMs - beganMs > SLICE_MS) {
      if (!await wheel.until(wheel.nowMs, signal)) throw signal.reason;
      beganMs = wheel.nowMs;
    }
    work(item);
  }
}
