/**
 * What `--json` prints: names in snake_case, and no more digits than anybody has measured.
 *
 * @module
 */

/** Digits of a number that is not whole. */
const DIGITS = 6;

/** `value` as JSON on several lines. */
export function jsonText(value: unknown): string {
  return JSON.stringify(
    value,
    (_, one: unknown) =>
      typeof one === "number" && !Number.isInteger(one) ? Number(one.toPrecision(DIGITS)) : one,
    2,
  );
}

/** An object whose own keys are in snake_case: "windowMs" is "window_ms". */
export function snakeKeys(value: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      one,
    ]),
  );
}
