/**
 * What the fields say that decide where a message ends and whether its connection goes on.
 *
 * @module
 */

import { COMMA, isBlank, isDigit, isWord } from "./bytes.ts";
import { malformed, type Subject } from "./error.ts";
import { BROKEN, type Fields, FOLDED, TOO_MANY } from "./fields.ts";

/** Decimal digits that are below 2^53 whatever they are. */
const SAFE_DIGITS = 15;
const DIGITS = /^\d+$/;

/** True when the list from `from` to `to` has the member `lower`, in capitals or not. */
export function hasMember(bytes: Uint8Array, from: number, to: number, lower: string): boolean {
  for (let at = from; at < to;) {
    let end = at;
    while (end < to && bytes[end] !== COMMA) end++;
    const next = end + 1;
    while (at < end && isBlank(bytes[at]!)) at++;
    while (end > at && isBlank(bytes[end - 1]!)) end--;
    if (isWord(bytes, at, end, lower)) return true;
    at = next;
  }
  return false;
}

/**
 * The bytes that the content-length says; `line` is the only line that has one, or -1 when there are
 * several.
 *
 * RFC 9110 §8.6: the same number several times is that number, anything else is an attack.
 *
 * @throws {Http1Error} malformed
 */
export function contentLength(fields: Fields, line: number, subject: Subject): number {
  if (line >= 0) {
    const { bytes } = fields;
    const lines = fields.scan();
    const from = lines.valueAt(line);
    const to = lines.valueEnd(line);
    let at = from;
    let length = 0;
    while (at < to && isDigit(bytes[at]!)) length = length * 10 + bytes[at++]! - 0x30;
    if (at === to && to > from && to - from <= SAFE_DIGITS) return length;
  }
  const [first = "", ...others] = fields.get("content-length")!.split(",").map(trimmed);
  if (!DIGITS.test(first)) throw malformed(subject, "its content-length is not a number");
  if (others.some((other) => other !== first)) {
    throw malformed(subject, "it has two content-lengths");
  }
  const length = Number(first);
  if (!Number.isSafeInteger(length)) throw malformed(subject, "its content-length is too large");
  return length;
}

/** Without blanks and tabs at both ends. `trim` would also eat 0xA0, the last byte of an "à". */
function trimmed(text: string): string {
  return text.replace(/^[ \t]+|[ \t]+$/g, "");
}

/** The sentence about what `scanFields` gave instead of an offset. */
export function faultOf(code: number): string {
  switch (code) {
    case FOLDED:
      return "its head has a folded line";
    case TOO_MANY:
      return "its head has too many fields";
    case BROKEN:
    default:
      return "its head has a broken field";
  }
}
