/**
 * Days of the calendar.
 *
 * @module
 */

const DAY = /^\d{4}-\d\d-\d\d$/;

/**
 * The first moment of the day `text` in UTC, in milliseconds since 1970: "2026-11-28". undefined = it is no
 * day, or one that no calendar has: `Date.parse` takes February 30 for a day in March.
 */
export function dayMs(text: string): number | undefined {
  if (!DAY.test(text)) return undefined;
  const ms = Date.parse(`${text}T00:00:00Z`);
  return Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== text ? undefined : ms;
}
