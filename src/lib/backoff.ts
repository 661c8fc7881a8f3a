/**
 * How long to wait before trying again.
 *
 * @module
 */

/** The first wait; each further one doubles. The figures of the official clients:
 * docs/facts/openai_api.md "Retries of the official clients". */
const FIRST_MS = 500;
/** No computed wait is longer. */
const DELAY_MS_MAX = 8_000;
/** A wait that a server asks for is obeyed up to this; a longer one is not waited for at all. */
const ASKED_MS_MAX = 60_000;
/** The share of a computed wait that chance may take away, so that clients do not come in step. */
const JITTER = 0.25;

/** Milliseconds before attempt `attempt` (1 = the first retry). `random` gives 0 ≤ x < 1. */
export function backoffMs(attempt: number, random: () => number): number {
  return longestMs(attempt) * (1 - JITTER * random());
}

/** The same where chance may take all of it: many that failed at once come again one by one. */
export function fullJitterMs(attempt: number, random: () => number): number {
  return longestMs(attempt) * (1 - random());
}

/** The longest wait before attempt `attempt` that chance gives, in milliseconds. */
export function longestMs(attempt: number): number {
  return Math.min(DELAY_MS_MAX, FIRST_MS * 2 ** (attempt - 1));
}

/**
 * What `retry-after-ms` or `retry-after` (seconds, fractions allowed, or an HTTP date; RFC 9110
 * section 10.2.3) ask for, in milliseconds: undefined when they ask for nothing that can be read,
 * Infinity when they ask for more than 60 s.
 */
export function retryAfterMs(
  headers: { get(name: string): string | null },
  wallMs: number,
): number | undefined {
  const ms = number(headers.get("retry-after-ms"));
  if (ms !== undefined) return limit(ms);
  const text = headers.get("retry-after");
  const seconds = number(text);
  if (seconds !== undefined) return limit(seconds * 1000);
  const date = text === null ? NaN : Date.parse(text);
  return Number.isNaN(date) ? undefined : limit(date - wallMs);
}

function number(text: string | null): number | undefined {
  if (text === null || text.trim() === "") return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

function limit(ms: number): number {
  return ms > ASKED_MS_MAX ? Infinity : Math.max(0, ms);
}
