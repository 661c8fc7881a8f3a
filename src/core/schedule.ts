/**
 * When the frames of an answer are due that has times of its own: the bytes are shared with all answers
 * of its script, the times are one request's.
 *
 * @module
 */

import type { AbortLike } from "../lib/abort.ts";
import type { Schedule } from "./answer.ts";
import type { Frames } from "./frames.ts";

/** `frames`, each due when its last step is, as far as that is known; the others are never due yet. */
export function scheduledFrames(frames: Frames, schedule: Schedule): Frames {
  const scheduled = { ...frames, dueMs: new Float64Array(frames.dueMs.length) };
  fillDue(scheduled, schedule, 0);
  return scheduled;
}

/** Fills in when the frames from `from` on are due. What opens an answer is due with its first step. */
export function fillDue({ dueMs, stepEnds }: Frames, schedule: Schedule, from: number): void {
  for (let i = from; i < dueMs.length; i++) {
    const step = Math.max(0, stepEnds[i]! - 1);
    dueMs[i] = step < schedule.known ? schedule.dueMs[step]! : Infinity;
  }
}

/** True when all of it is known. */
export function isAllKnown({ dueMs, known }: Schedule): boolean {
  return known === dueMs.length;
}

/** Waits until the times of `count` steps are known; false = `signal` has aborted before. */
export function untilKnown(
  schedule: Schedule,
  count: number,
  signal?: AbortLike,
): Promise<boolean> {
  if (schedule.known >= count) return Promise.resolve(true);
  if (signal?.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const settle = (isKnown: boolean) => {
      schedule.onMore = undefined;
      signal?.removeEventListener("abort", onAbort);
      resolve(isKnown);
    };
    const onAbort = { handleEvent: () => settle(false) };
    signal?.addEventListener("abort", onAbort);
    schedule.onMore = () => {
      if (schedule.known >= count) settle(true);
    };
  });
}
