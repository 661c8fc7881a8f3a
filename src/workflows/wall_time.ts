/**
 * ISO times, with a time zone for those that name none.
 *
 * @module
 */

import { dayMs } from "../lib/day.ts";

const HAS_ZONE = /(?:z|[+-]\d{2}:?\d{2})$/i;

/** `text` as milliseconds since 1970; null when it is no ISO time. `timezone` "" = UTC. */
export function wallMsOf(text: string, timezone: string): number | null {
  const iso = text.trim().replace(" ", "T");
  if (dayMs(iso.slice(0, 10)) === undefined) return null;
  const full = iso.includes("T") ? iso : `${iso}T00:00`;
  const ms = Date.parse(HAS_ZONE.test(full.slice(10)) ? full : `${full}Z`);
  if (Number.isNaN(ms)) return null;
  if (HAS_ZONE.test(full.slice(10)) || timezone === "") return ms;
  // The offset at the guess may be that of the other side of a clock change: once more settles it.
  const guess = ms - offsetMs(ms, timezone);
  return ms - offsetMs(guess, timezone);
}

/** How far the clocks of `timezone` are ahead of UTC at `ms`. */
function offsetMs(ms: number, timezone: string): number {
  const parts = new Intl.DateTimeFormat("en-US", {
    timeZone: timezone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  }).formatToParts(ms);
  const part = (type: string) => Number(parts.find((one) => one.type === type)!.value);
  const local = Date.UTC(
    part("year"),
    part("month") - 1,
    part("day"),
    part("hour"),
    part("minute"),
    part("second"),
  );
  return local - Math.floor(ms / 1000) * 1000;
}
