/**
 * JSON whose numbers keep all of their digits: 12345678901234567890 is no double, and as one it
 * would come out as 12345678901234567000.
 *
 * @module
 */

/** A number that no double holds. Written as JSON it is the digits that were read. */
export class ExactNumber {
  readonly digits: string;

  /** `digits` must be a number as JSON spells it. */
  constructor(digits: string) {
    this.digits = digits;
  }

  toJSON(): unknown {
    return rawJSON?.(this.digits) ?? Number(this.digits);
  }

  toString(): string {
    return this.digits;
  }
}

/** Newer than the types of the language, and than some browsers. */
const { rawJSON } = JSON as unknown as { readonly rawJSON?: (text: string) => unknown };

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
/** Significant digits that a double keeps, whatever they are. */
const DIGITS_SAFE = 15;
/** Before the digits of a long number, which is a text until the whole is parsed. */
const MARK = "\u0000exact number ";
const ESCAPED_MARK = "\\u0000exact number ";

/**
 * The number that `text` spells, as a double where that keeps it, else with its digits; undefined =
 * it spells none.
 */
export function exactNumber(text: string): number | ExactNumber | undefined {
  if (!NUMBER.test(text)) return undefined;
  const number = Number(text);
  if (String(number) === text) return number;
  if (/^-?\d{16,}$/.test(text)) return new ExactNumber(text);
  const digits = text.replace(/[eE].*$/, "").replace(/[-.]/g, "").replace(/^0+/, "").length;
  const isKept = Number.isFinite(number) && digits <= DIGITS_SAFE && (number !== 0 || digits === 0);
  return isKept ? number : new ExactNumber(text);
}

/**
 * Like `JSON.parse`, but numbers that a double would round are `ExactNumber`s.
 *
 * @throws {SyntaxError}
 */
export function parseExactJson(text: string): unknown {
  const marked = markLong(text);
  return marked === text ? JSON.parse(text) : unmarked(JSON.parse(marked));
}

/** `text` with a text in place of each such number. One pass, however the numbers look. */
function markLong(text: string): string {
  let out = "";
  let copied = 0;
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfText(text, at);
      continue;
    }
    const start = at++;
    if (code !== MINUS && !isDigit(code)) continue;
    let hasExponent = false;
    for (; at < text.length; at++) {
      const next = text.charCodeAt(at);
      if (isDigit(next) || next === DOT || next === PLUS || next === MINUS) continue;
      if (next !== UPPER_E && next !== LOWER_E) break;
      hasExponent = true;
    }
    if (at - start <= DIGITS_SAFE && !hasExponent) continue;
    const digits = text.slice(start, at);
    // In the place of a key a text would make JSON of what is none.
    if (!(exactNumber(digits) instanceof ExactNumber) || isKey(text, at)) continue;
    out += `${text.slice(copied, start)}"${ESCAPED_MARK}${digits}"`;
    copied = at;
  }
  return out + text.slice(copied);
}

/** True when only blanks stand between `at` and a colon. */
function isKey(text: string, at: number): boolean {
  while (" \t\r\n".includes(text[at] ?? "x")) at++;
  return text[at] === ":";
}

const QUOTE = 0x22;
const PLUS = 0x2b;
const MINUS = 0x2d;
const DOT = 0x2e;
const UPPER_E = 0x45;
const LOWER_E = 0x65;

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** The index behind the text that begins with the quote at `open`. */
function endOfText(text: string, open: number): number {
  for (let close = text.indexOf('"', open + 1); close >= 0; close = text.indexOf('"', close + 1)) {
    let slashes = 0;
    while (text[close - 1 - slashes] === "\\") slashes++;
    if (slashes % 2 === 0) return close + 1;
  }
  return text.length;
}

/** `root`, which is changed, with numbers in place of the texts of `markLong`. */
function unmarked(root: unknown): unknown {
  const holder = [root];
  const rest: object[] = [holder];
  for (let parent = rest.pop(); parent !== undefined; parent = rest.pop()) {
    const values = parent as Record<PropertyKey, unknown>;
    const keys: Iterable<PropertyKey> = Array.isArray(parent) ? parent.keys() : Object.keys(parent);
    for (const key of keys) {
      const value = values[key];
      if (typeof value === "object") {
        if (value !== null) rest.push(value);
      } else if (typeof value === "string" && value.startsWith(MARK)) {
        const digits = value.slice(MARK.length);
        if (NUMBER.test(digits)) values[key] = new ExactNumber(digits);
      }
    }
  }
  return holder[0];
}
