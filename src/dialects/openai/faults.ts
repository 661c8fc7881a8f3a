/**
 * What is wrong with a request, worded as the OpenAI API words it (docs/facts/openai_api.md "Faults
 * and their words").
 *
 * @module
 */

import { AppError, type ErrorCode } from "../../core/errors.ts";
import { editDistance } from "../../lib/nearest.ts";

/** What is wrong, before it is an error: its path grows from the inside out. */
export interface Fault {
  readonly code: ErrorCode;
  /** Relative to the value that was checked: ".role", "[0].type"; "" = the value itself. */
  readonly path: string;
  /** The sentence, given the whole path. */
  readonly say: (path: string) => string;
  /** What the value should be, for dialects with words of their own: "a string", "'a' or 'b'". */
  readonly should?: string;
}

/** Longest piece of a client's text that an error repeats, in UTF-16 units. */
const ECHO_CHARS_MAX = 200;
/** What `value` is, as the API names it: "a string", "an integer", "null", … */
export function gotWord(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  switch (typeof value) {
    case "string":
      return "a string";
    case "boolean":
      return "a boolean";
    case "number":
      return Number.isInteger(value) ? "an integer" : "a decimal number";
    default:
      return "an object";
  }
}

/** `text` as an error may repeat it: whole up to 200 characters, else its two ends. */
export function echo(text: string): string {
  if (text.length <= ECHO_CHARS_MAX) return text.toWellFormed();
  const half = ECHO_CHARS_MAX / 2;
  return `${text.slice(0, half)}...${text.slice(-half)}`.toWellFormed();
}

/** `'low', 'medium', and 'high'`; `'a' and 'b'`. */
export function quotedList(words: readonly string[], joiner: "and" | "or"): string {
  const quoted = words.map((word) => `'${word}'`);
  if (quoted.length < 3) return quoted.join(` ${joiner} `);
  return `${quoted.slice(0, -1).join(", ")}, ${joiner} ${quoted.at(-1)}`;
}

/** `fault`, seen from one step further out. */
export function under(step: string, fault: Fault): Fault {
  return { ...fault, path: step + fault.path };
}

/** The error of `fault`. An empty path is no `param`. */
export function errorOf(fault: Fault): AppError {
  const path = fault.path;
  return new AppError(fault.code, fault.say(path), path === "" ? {} : { param: path });
}

/** "Invalid type for 'n': expected an integer, but got a string instead." */
export function wrongType(expected: string, value: unknown): Fault {
  const say = (path: string) =>
    `Invalid type for '${path}': expected ${expected}, but got ${gotWord(value)} instead.`;
  return { code: "param_type", path: "", say, should: expected };
}

/** "Missing required parameter: 'messages[0].role'." */
export function missing(path: string): Fault {
  return {
    code: "param_missing",
    path,
    say: (path) => `Missing required parameter: '${path}'.`,
  };
}

/** Behind the live API's own sentence: servers that are like it take more parameters. */
export const UNKNOWN_HELP = " (mock.validate: spec lets unknown parameters through.)";

/** "Unknown parameter: 'stor'. Did you mean 'stop' or 'store'?" */
export function unknownKey(key: string, known: Iterable<string>): Fault {
  const near = nearestKeys(key, known);
  const help = near.length === 0 ? "" : ` Did you mean ${quotedList(near, "or")}?`;
  return {
    code: "param_unknown",
    path: echo(key),
    say: (path) => `Unknown parameter: '${path}'.${help}${UNKNOWN_HELP}`,
  };
}

/** "Invalid value: 'bogus'. Supported values are: 'low', 'medium', and 'high'." */
export function wrongChoice(value: string, values: readonly string[]): Fault {
  const say = () =>
    `Invalid value: '${echo(value)}'. Supported values are: ${quotedList(values, "and")}.`;
  return { code: "param_value", path: "", say, should: quotedList(values, "or") };
}

/** A sentence of its own, with no code: the rules that join two parameters. */
export function refused(path: string, sentence: string): Fault {
  return { code: "request_invalid", path, say: () => sentence };
}

/** What `parameter` names, as "function named 'x'", is not among those that `declaredIn` declares. */
export function undeclared(parameter: string, what: string, declaredIn: string): Fault {
  return refused(
    "",
    `Invalid value for '${parameter}': no ${what} was specified in the '${declaredIn}' parameter.`,
  );
}

/** Spelling help reaches this far, in edits (docs/facts/openai_api.md "Spelling help"). */
const EDITS_MAX = 2;
/** No known key is longer than this less two: a longer key has no near one. */
const NEAR_CHARS_MAX = 32;

/** The known keys at most two edits from `key`, nearest first, then by name. */
function nearestKeys(key: string, known: Iterable<string>): string[] {
  if (key.length > NEAR_CHARS_MAX) return [];
  const near: { word: string; edits: number }[] = [];
  for (const word of known) {
    const edits = editDistance(key, word);
    if (edits <= EDITS_MAX) near.push({ word, edits });
  }
  near.sort((a, b) => a.edits - b.edits || (a.word < b.word ? -1 : 1));
  return near.map(({ word }) => word);
}
