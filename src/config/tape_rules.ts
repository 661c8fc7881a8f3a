/**
 * What settings of tapes may be.
 *
 * @module
 */

import { z } from "zod";
import { linearExpression } from "../lib/linear_expression.ts";
import { type Kind, kind } from "./rules.ts";

/** What is done with tapes. */
export const TAPE_MODES = ["off", "record", "replay", "auto", "strict"] as const;

/** One of them. */
export type TapeMode = typeof TAPE_MODES[number];

/** True: tapes answer, also without any upstream. */
export function replays(mode: TapeMode): boolean {
  return mode !== "off" && mode !== "record";
}

/** Each is looked for in each body. */
const PATTERNS_MAX = 100;
const PATHS_MAX = 100;
/** A minute becomes 60 µs. */
const SPEED_MAX = 1_000_000;

/** How often as fast as it was; 0 = at once. */
export const speed: Kind<number> = (() => {
  const must = `a number from 0 to ${SPEED_MAX}: 2 = twice as fast, 0 = at once`;
  return kind(z.number(must).min(0, must).max(SPEED_MAX, must), 1);
})();

/** Regular expressions that run in linear time. */
export const patterns: Kind<readonly string[]> = (() => {
  const must = `a list of at most ${PATTERNS_MAX} regular expressions, such as ["ticket-[0-9]+"]`;
  const pattern = z.string("a regular expression").superRefine((source, context) => {
    try {
      if (!linearExpression(source, "").test("")) return;
      context.addIssue({ code: "custom", message: "an expression that needs some text to match" });
    } catch (error) {
      const { message } = error as SyntaxError;
      context.addIssue({ code: "custom", message: `a regular expression of RE2: ${message}` });
    }
  });
  return kind(z.array(pattern, must).max(PATTERNS_MAX, must), []);
})();

/** Places in JSON: keys with dots between them, where `*` is any key or any item of a list. */
export const jsonPaths: Kind<readonly string[]> = (() => {
  const must = `a list of at most ${PATHS_MAX} fields, such as [user, metadata.*, messages.*.id]`;
  const mustItem = "keys with dots between them, such as metadata.run";
  const path = z.string(mustItem).regex(/^[^.\s]+(?:\.[^.\s]+)*$/, mustItem);
  return kind(z.array(path, must).max(PATHS_MAX, must), []);
})();
