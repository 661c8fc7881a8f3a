/**
 * Regular expressions that run in linear time (RE2), whatever they are: what only a backtracking
 * engine can do (back references, looking ahead and behind) is refused.
 *
 * @module
 */

import { RE2JS, RE2JSException } from "re2js";

/** A longer expression, in UTF-16 units, is refused. */
const SOURCE_CHARS_MAX = 2000;

/** A JavaScript escape of a character outside the first plane, which RE2 would read as two. */
const PAIR = /\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})/gi;

/** A back reference by name, which RE2JS would read as letters. Before it all backslashes are pairs. */
const NAMED_BACK_REFERENCE = /(?<!\\)(?:\\\\)*\\k</;
const NO_BACK_REFERENCES = "back references take too long";

const FLAGS: Readonly<Record<string, number>> = {
  i: RE2JS.CASE_INSENSITIVE,
  m: RE2JS.MULTILINE,
  s: RE2JS.DOTALL,
  u: 0,
};

/**
 * Makes the expression `source`, as JavaScript writes it. `flags`: some of i, m, s, u.
 *
 * @throws {SyntaxError} with what is wrong with it.
 */
export function linearExpression(source: string, flags: string): RE2JS {
  if (source.length > SOURCE_CHARS_MAX) {
    throw new SyntaxError(`it has more than ${SOURCE_CHARS_MAX} characters`);
  }
  if (NAMED_BACK_REFERENCE.test(source)) throw new SyntaxError(NO_BACK_REFERENCES);
  try {
    const whole = source.replace(
      PAIR,
      (_, high, low) => String.fromCharCode(parseInt(high, 16), parseInt(low, 16)),
    );
    const bits = [...flags].reduce((bits, flag) => bits | FLAGS[flag]!, 0);
    return RE2JS.compile(RE2JS.translateRegExp(whole), bits);
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw new SyntaxError(sentenceOf(error.message));
  }
}

function sentenceOf(message: string): string {
  const what = message.replace(/^error parsing regexp: /, "");
  if (/: `\(\?<?[=!]/.test(what)) return "looking ahead and behind takes too long";
  if (/invalid escape sequence: `\\(?:[1-9k])/.test(what)) return NO_BACK_REFERENCES;
  return what;
}
