/**
 * When the frames of an answer are due that has times of its own: the bytes are shared with all answers
 * of its script, the times are one request's.
 *
 * @module
 */

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

/** Waits until all of it is known, and gives when the last step is due. */
export async function lastDue(schedule: Schedule): Promise<number> {
  while (!isAllKnown(schedule)) {
    await new Promise<void>((resolve) => schedule.onMore = resolve);
  }
  return schedule.dueMs.at(-1)!;
}
