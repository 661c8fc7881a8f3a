/**
 * How deep a request may nest, on every surface: what handles it recurses, and so does whoever gets
 * it next.
 *
 * @module
 */

import { isDeeper } from "../lib/depth.ts";
import { AppError } from "./errors.ts";

/** Objects and lists inside one another: several times what a JSON Schema of a tool needs. */
export const JSON_DEPTH_MAX = 100;

/**
 * @throws {AppError} `request_invalid` when `body`, which was parsed from `source`, nests too deep.
 * `subject` begins the sentence.
 */
export function checkDepth(
  source: { readonly length: number },
  body: unknown,
  subject = "The request body",
): void {
  // A bracket opens each level and another one closes it: most requests are too short to look at.
  if (source.length <= 2 * JSON_DEPTH_MAX || !isDeeper(body, JSON_DEPTH_MAX)) return;
  throw new AppError("request_invalid", `${subject} nests deeper than ${JSON_DEPTH_MAX} levels`);
}
