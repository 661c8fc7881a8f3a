/**
 * A stream whose events are written at a pace, and when each of them was read.
 *
 * @module
 */

import type { Asked, Rig, Way } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import {
  chunk,
  DONE,
  endBody,
  finishEvent,
  roleEvent,
  sequenceOf,
  streamHead,
  textEvent,
} from "../stream.ts";

/** One event of a stream. */
export interface Timed {
  readonly sequence: number;
  readonly writtenMs: number;
  readonly readMs: number;
  /** The number of the read that had it. */
  readonly read: number;
}

/** From its write to its read, in milliseconds. */
export function lateness({ writtenMs, readMs }: Timed): number {
  return readMs - writtenMs;
}

/** A stream at a pace, and when each event was written and read. */
export async function paced(
  rig: Rig,
  way: Way,
  { events, gapMs }: { readonly events: number; readonly gapMs: number },
): Promise<readonly Timed[]> {
  const writtenMs = new Map<number, number>();
  const asked = await rig.tell(way, async (attempt: Attempt, mark: string) => {
    attempt.write(Buffer.concat([Buffer.from(streamHead()), chunk(roleEvent(mark))]));
    const startMs = performance.now() + gapMs;
    for (let sequence = 1; sequence <= events; sequence++) {
      const dueMs = startMs + sequence * gapMs;
      if (!await attempt.pause(Math.max(0, dueMs - performance.now()))) return;
      writtenMs.set(sequence, performance.now());
      attempt.write(chunk(textEvent(mark, sequence)));
    }
    await attempt.pause(gapMs);
    endBody(attempt, finishEvent(mark) + DONE);
  }, { timeoutMs: events * gapMs * 2 + 10_000 });
  return timed(asked, writtenMs);
}

function timed({ mark, exchange }: Asked, writtenMs: ReadonlyMap<number, number>): Timed[] {
  return exchange.events().flatMap(({ data, atMs, read }) => {
    const sequence = sequenceOf(data, mark);
    const written = sequence === undefined ? undefined : writtenMs.get(sequence);
    if (sequence === undefined || written === undefined) return [];
    return [{ sequence, writtenMs: written, readMs: atMs, read }];
  });
}
