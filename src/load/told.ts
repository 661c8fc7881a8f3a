/**
 * What somebody else said, as it may stand in a report: on one line, short, and without what a
 * terminal would obey.
 *
 * @module
 */

/** Characters that are told. */
const CHARS_MAX = 160;
/** Characters that are looked at: a secret that is cut in two is not found. */
const CHARS_SEEN = 4096;
/** Texts that are remembered: of a thousand failures most say the same. */
const TEXTS_MAX = 256;

/**
 * Controls, and marks that turn the direction of a line around. What joins emoji or letters of a
 * script is none of them.
 */
const UNSEEN = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/gu;

/** Such characters as they are written in programs: `\x1b`, `\u202e`. */
export function visible(text: string): string {
  return text.toWellFormed().replace(UNSEEN, (char) => {
    const code = char.charCodeAt(0);
    const hex = code.toString(16);
    return code < 0x100 ? `\\x${hex.padStart(2, "0")}` : `\\u${hex.padStart(4, "0")}`;
  });
}

/** `clean` takes secrets out. */
export function teller(clean: (text: string) => string): (text: string) => string {
  const known = new Map<string, string>();
  return (text) => {
    const before = known.get(text);
    if (before !== undefined) return before;
    const line = visible(clean(text.slice(0, CHARS_SEEN)).replace(/\s+/g, " ").trim());
    const said = line.length > CHARS_MAX ? `${line.slice(0, CHARS_MAX).toWellFormed()}…` : line;
    if (known.size >= TEXTS_MAX) known.clear();
    if (text.length <= CHARS_SEEN) known.set(text, said);
    return said;
  };
}

/** What an error says: its message, if it is an object that has one. */
export function firstWords(body: string): string {
  try {
    const value = JSON.parse(body) as { readonly error?: unknown; readonly message?: unknown };
    const error = value.error as { readonly message?: unknown } | string | undefined;
    const message = typeof error === "string" ? error : error?.message ?? value.message;
    if (typeof message === "string") return message;
  } catch {
    // It is told as it is.
  }
  return body;
}
