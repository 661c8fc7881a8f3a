/**
 * How deep a request may nest and how many fields its objects may have, on every surface: what handles
 * it recurses and looks at each field, and so does whoever gets it next.
 *
 * @module
 */

import { isDeeper } from "../lib/depth.ts";
import { excessOf } from "../lib/json_excess.ts";
import { AppError } from "./errors.ts";

/** Objects and lists inside one another: several times what a JSON Schema of a tool needs. */
export const JSON_DEPTH_MAX = 100;
/** Fields of one object: twice what OpenAI lets a JSON Schema of a tool have. */
export const JSON_FIELDS_MAX = 10_000;

/** A text of up to so many characters has no more fields than that, or hardly. */
const SMALL_CHARS_MAX = 65_536;

/**
 * Of the text of a body, before it is parsed: merely to list the names of millions of fields takes
 * seconds. A small text is not looked at.
 *
 * @throws {AppError} `object_too_large` when an object in it has too many fields, `request_invalid`
 * when it nests too deep. `subject` begins the sentence.
 */
export function checkSize(text: string, subject = "The request body"): void {
  if (text.length <= SMALL_CHARS_MAX) return;
  const excess = excessOf(text, JSON_DEPTH_MAX, JSON_FIELDS_MAX);
  if (excess === "depth") throw tooDeep(subject);
  if (excess === undefined) return;
  throw new AppError(
    "object_too_large",
    `${subject} has an object of more than ${JSON_FIELDS_MAX} fields: send fewer`,
  );
}

/**
 * @throws {AppError} `request_invalid` when `body`, which was parsed from `text`, nests too deep: a
 * small text, as `checkSize` has looked at any other. `subject` begins the sentence.
 */
export function checkDepth(text: string, body: unknown, subject = "The request body"): void {
  // A bracket opens each level and another one closes it: most requests are too short to look at.
  if (text.length <= 2 * JSON_DEPTH_MAX || text.length > SMALL_CHARS_MAX) return;
  if (isDeeper(body, JSON_DEPTH_MAX)) throw tooDeep(subject);
}

function tooDeep(subject: string): AppError {
  return new AppError("request_invalid", `${subject} nests deeper than ${JSON_DEPTH_MAX} levels`);
}
