/**
 * Where a stream breaks off on purpose.
 *
 * @module
 */

import type { Cut } from "./answer.ts";
import type { Frames } from "./frames.ts";

const LF = 10;

/**
 * The beginning of `frames`, as far as `cut` lets it go, and behind it an empty frame that is due when
 * the connection ends. A frame may be several events: an answer may break off within one.
 */
export function cutFrames(frames: Frames, { afterEvents, afterMs }: Cut): Frames {
  const { bytes, ends, dueMs, slotAt, slotEnds, stepEnds } = frames;
  let count = 0;
  while (count < dueMs.length && dueMs[count]! < afterMs) count++;
  const lastMs = count === dueMs.length ? dueMs[count - 1]! : afterMs;
  const timeEnd = count === 0 ? 0 : ends[count - 1]!;
  const end = Math.min(timeEnd, endOfEvents(bytes, afterEvents));
  const isShorter = end < timeEnd;
  if (isShorter) count = ends.findIndex((at) => at >= end) + 1;
  const slots = slotAt.findLastIndex((at) => at < end) + 1;
  const cutMs = isShorter ? dueMs[count - 1]! : lastMs;
  const at = (values: Uint32Array, most: number) => {
    const cut = new Uint32Array(count + 1).fill(most);
    for (let i = 0; i < count; i++) cut[i] = Math.min(values[i]!, most);
    return cut;
  };
  const due = new Float64Array(count + 1).fill(cutMs);
  due.set(dueMs.subarray(0, count));
  // What has left of the last frame may be less than the steps that it says.
  const isWithin = count > 0 && ends[count - 1] !== end;
  const steps = count === 0 ? 0 : isWithin ? stepEnds[count - 2] ?? 0 : stepEnds[count - 1]!;
  return {
    ...frames,
    ends: at(ends, end),
    dueMs: due,
    slotEnds: at(slotEnds, slots),
    stepEnds: at(stepEnds, steps),
  };
}

/** The offset behind the first `count` events. */
function endOfEvents(bytes: Uint8Array, count: number): number {
  let left = count;
  for (let at = 0; left > 0; at++) {
    at = bytes.indexOf(LF, at);
    if (at < 0) break;
    if (bytes[at + 1] === LF && --left === 0) return at + 2;
  }
  return left > 0 ? bytes.length : 0;
}
