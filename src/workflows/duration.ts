/**
 * Durations as workflow files write them: a number of seconds, or `500ms`, `5s`, `2m`, `1h`, `1d`.
 *
 * @module
 */

/** The longest a job may wait. */
export const DURATION_MS_MAX = 30 * 24 * 3_600_000;

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/;

/** `value` in milliseconds; null when it is no duration, or longer than `DURATION_MS_MAX`. */
export function durationMs(value: unknown): number | null {
  if (typeof value !== "number" && typeof value !== "string") return null;
  const match = DURATION.exec(String(value).trim());
  if (match === null) return null;
  const ms = Number(match[1]) * UNIT_MS[(match[2] ?? "s") as keyof typeof UNIT_MS];
  return ms <= DURATION_MS_MAX ? ms : null;
}
