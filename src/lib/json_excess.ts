/**
 * What a JSON text has too much of, found without parsing it.
 *
 * @module
 */

const QUOTE = 34;
const COLON = 58;
const BACKSLASH = 92;
/** `[` and `{`, and their ends, differ in this bit alone. */
const BRACE_BIT = 32;
const OPEN = 91 | BRACE_BIT;
const CLOSE = 93 | BRACE_BIT;

/**
 * "depth" = objects and lists of `text` stand more than `depthMax` inside one another; "fields" = an
 * object has more than `fieldsMax`, those of one name counted one by one. Whichever comes first. Time is
 * the length of the text, memory is `depthMax`. Of a text that is no JSON anything may be said.
 */
export function excessOf(
  text: string,
  depthMax: number,
  fieldsMax: number,
): "depth" | "fields" | undefined {
  /** Of the objects and lists that are open, the outermost at 1. */
  const fields = new Float64Array(depthMax + 1);
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) {
      at = endOfString(text, at);
      if (at < 0) return undefined;
    } else if (unit === COLON) {
      // Outside of texts there is one in each field.
      if (++fields[depth]! > fieldsMax) return "fields";
    } else if ((unit | BRACE_BIT) === OPEN) {
      if (++depth > depthMax) return "depth";
      fields[depth] = 0;
    } else if ((unit | BRACE_BIT) === CLOSE && depth > 0) {
      depth--;
    }
  }
  return undefined;
}

/** Where the string ends that begins at `at`; -1 = nowhere. */
function endOfString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let before = end;
    while (text.charCodeAt(before - 1) === BACKSLASH) before--;
    if ((end - before) % 2 === 0) return end;
  }
  return -1;
}
