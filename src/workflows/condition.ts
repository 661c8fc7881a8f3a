/**
 * Compares two values, for `if` and `switch`.
 *
 * @module
 */

import { ExactNumber } from "../lib/exact_json.ts";
import { shown } from "../lib/shown.ts";
import { failed } from "./call.ts";
import { textOfValue } from "./convert.ts";
import type { Operator } from "./definition.ts";

/** Characters that a regular expression of a file looks at: what bounds a slow pattern. */
const MATCH_CHARS_MAX = 100_000;

/** True when `input` stands to `value` as `operator` says. Numbers in texts count as numbers. */
export function holds(operator: Operator, input: unknown, value: unknown): boolean {
  switch (operator) {
    case "eq":
      return isEqual(input, value);
    case "neq":
      return !isEqual(input, value);
    case "gt":
      return compare(input, value) > 0;
    case "gte":
      return compare(input, value) >= 0;
    case "lt":
      return compare(input, value) < 0;
    case "lte":
      return compare(input, value) <= 0;
    case "in":
      return isIn(input, value);
    case "not-in":
      return !isIn(input, value);
    case "starts-with":
      return textOfValue(input).startsWith(textOfValue(value));
    case "ends-with":
      return textOfValue(input).endsWith(textOfValue(value));
    case "match":
      return matches(textOfValue(input), textOfValue(value));
  }
}

/** Equal as JSON; a number also equals the text that spells it, as `value: 5` in a file means. */
export function isEqual(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (left instanceof ExactNumber) return isEqual(left.digits, right);
  if (right instanceof ExactNumber) return isEqual(left, right.digits);
  if (typeof left !== "object" && typeof right !== "object") {
    const pair = numbersOf(left, right);
    return pair !== null && pair[0] === pair[1];
  }
  return JSON.stringify(left ?? null) === JSON.stringify(right ?? null);
}

/** Below 0, 0, above 0; NaN when the two cannot be compared, so that nothing holds. */
function compare(left: unknown, right: unknown): number {
  const pair = numbersOf(left, right);
  if (pair !== null) return pair[0] - pair[1];
  if (typeof left !== "string" || typeof right !== "string") return NaN;
  return left < right ? -1 : left > right ? 1 : 0;
}

function numbersOf(left: unknown, right: unknown): readonly [number, number] | null {
  const isNumber = (value: unknown) => typeof value === "number" || value instanceof ExactNumber;
  const isNumeric = (value: unknown) =>
    isNumber(value) ||
    (typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value)));
  if (!isNumber(left) && !isNumber(right)) return null;
  return isNumeric(left) && isNumeric(right) ? [Number(left), Number(right)] : null;
}

function isIn(input: unknown, value: unknown): boolean {
  if (Array.isArray(value)) return value.some((item) => isEqual(input, item));
  if (typeof value === "string") return value.includes(textOfValue(input));
  return typeof value === "object" && value !== null &&
    Object.hasOwn(value, textOfValue(input));
}

/** From the first character on, as Python's `re.match` does. */
function matches(text: string, pattern: string): boolean {
  if (text.length > MATCH_CHARS_MAX) {
    throw failed(`Cannot match a text of more than ${MATCH_CHARS_MAX} characters`);
  }
  try {
    return new RegExp(`^(?:${pattern})`, "u").test(text);
  } catch (cause) {
    throw failed(`Cannot read the regular expression ${shown(pattern)}`, cause);
  }
}
