/**
 * Values of others in a sentence or an answer of weir's: shown as far as they are small, and never
 * looked at any further.
 *
 * @module
 */

/**
 * True when `value` has more than `charsMax` characters as JSON. Looks no further than that, however
 * large it is and however deep it nests.
 */
export function isLonger(value: unknown, charsMax: number): boolean {
  return charsLeft(value, charsMax) < 0;
}

/** `value` as JSON; one of more than `charsMax` characters is shortened, or only named. */
export function shown(value: unknown, charsMax = 60): string {
  if (typeof value === "string") {
    const isCut = value.length > charsMax;
    return JSON.stringify(isCut ? `${value.slice(0, charsMax)}…` : value);
  }
  if (isLonger(value, charsMax)) return Array.isArray(value) ? "a list" : "an object";
  return JSON.stringify(value) ?? typeof value;
}

/** Of `chars` those that `value` leaves at the most; below 0 = it has more. Each level takes some. */
function charsLeft(value: unknown, chars: number): number {
  if (typeof value === "string") return chars - value.length - 2;
  if (typeof value !== "object" || value === null) return chars - 1;
  let left = chars - 2;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length && left >= 0; i++) left = charsLeft(value[i], left);
    return left;
  }
  for (const key in value) {
    left = charsLeft((value as Readonly<Record<string, unknown>>)[key], left - key.length - 3);
    if (left < 0) break;
  }
  return left;
}
