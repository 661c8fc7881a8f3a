/**
 * Whether a server keeps up with a schedule: the share of the asked rate at which it answers. Pure.
 *
 * Where more is asked than is answered, each request waits longer than the one before: those due in a
 * second end in a second times 1 + slope, where the slope is by how much the time to an answer rises
 * per second of the schedule. So the answers come at 1 / (1 + slope) of the rate that was asked.
 *
 *   due    │││││││││││││││               300/s for 2 s
 *   over     │  │  │  │  │  │  │  │  │   100/s for 6 s: the time to an answer rises by 2 s a second
 *
 * A single stall, or chance, is no such rise: the requests are divided into blocks by when they were
 * due, and the median of each block must be above that of the one before.
 *
 * @module
 */

import { MEASURED } from "./record.ts";
import type { Rows } from "./rows.ts";

const BLOCKS = 5;
/** Fewer answers in a block have no median worth the name. */
const BLOCK_MIN = 10;
/** More rows are looked at in part. */
const LOOKED_AT_MAX = 100_000;

/** The share, 0 to 1; 1 where the server keeps up. undefined = there are too few answers to say. */
export function answeredShare(rows: Rows): number | undefined {
  const stride = Math.ceil(rows.length / LOOKED_AT_MAX);
  const asked: (readonly [dueMs: number, tookMs: number])[] = [];
  for (let row = 0; row < rows.length; row += stride) {
    if (!MEASURED[rows.outcomeOf(row)].inside) continue;
    const dueMs = rows.get(row, "due");
    asked.push([dueMs, rows.get(row, "end") - dueMs]);
  }
  if (asked.length < BLOCKS * BLOCK_MIN) return undefined;
  asked.sort(([a], [b]) => a - b);
  const blocks = Array.from({ length: BLOCKS }, (_, at) => {
    const block = asked.slice(
      Math.floor((at * asked.length) / BLOCKS),
      Math.floor(((at + 1) * asked.length) / BLOCKS),
    );
    return { dueMs: median(block.map(([due]) => due)), tookMs: median(block.map(([, ms]) => ms)) };
  });
  const isRising = blocks.every(({ dueMs, tookMs }, at) =>
    at === 0 || (tookMs > blocks[at - 1]!.tookMs && dueMs > blocks[at - 1]!.dueMs)
  );
  if (!isRising) return 1;
  const [first, last] = [blocks[0]!, blocks[BLOCKS - 1]!];
  const slope = (last.tookMs - first.tookMs) / (last.dueMs - first.dueMs);
  return 1 / (1 + slope);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}
