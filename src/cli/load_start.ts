/**
 * `--start-at`: when a load begins, on several machines at the same time.
 *
 * @module
 */

import { EXIT, Failure } from "./terminal.ts";

/** Who waits longer has most likely written milliseconds, or another year. */
const WAIT_MS_MAX = 7 * 24 * 3_600_000;
/** Below, nobody wants to hear of it. */
const TOLD_MS_MIN = 1000;

/** When to begin, and what is said about it. undefined = at once, and nothing. */
export interface Start {
  readonly atMs: number | undefined;
  readonly said: string | undefined;
}

/**
 * What becomes of a wanted moment, both in milliseconds since 1970. A moment that is over means at
 * once: the others are already at it, and what is missed cannot be sent any more.
 *
 * @throws {Failure} when it is too far away to be meant.
 */
export function startOf(wantedMs: number | undefined, nowMs: number): Start {
  if (wantedMs === undefined) return { atMs: undefined, said: undefined };
  const waitMs = wantedMs - nowMs;
  if (waitMs > WAIT_MS_MAX) {
    throw new Failure(
      `--start-at is ${spanOf(waitMs)} away, and more than 7 days are no start: ` +
        "a number is seconds since 1970, not milliseconds",
      EXIT.usage,
    );
  }
  if (waitMs < 0) {
    return {
      atMs: undefined,
      said: `--start-at was ${
        spanOf(-waitMs)
      } ago: it begins at once, that much later than the others`,
    };
  }
  const when = new Date(wantedMs).toISOString();
  return {
    atMs: wantedMs,
    said: waitMs < TOLD_MS_MIN ? undefined : `waits ${spanOf(waitMs)}, until ${when}`,
  };
}

const UNITS = [["days", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1000], [
  "ms",
  1,
]] as const;

/** "2.0 s", "1.5 h" */
function spanOf(ms: number): string {
  const [unit, size] = UNITS.find(([, size]) => ms >= size) ?? UNITS.at(-1)!;
  const value = ms / size;
  return `${value >= 100 || unit === "ms" ? Math.round(value) : value.toFixed(1)} ${unit}`;
}
