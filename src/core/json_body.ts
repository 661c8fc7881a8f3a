/**
 * A request's JSON, read within the limits that keep one body from blocking all others.
 *
 * @module
 */

import { checkDepth, checkSize } from "./depth.ts";
import type { AppError } from "./errors.ts";

/**
 * The value in `text`.
 *
 * @throws {AppError} what `broken` makes when it is no JSON; `object_too_large` or `request_invalid`
 * when it has too many fields or nests too deep.
 */
export function parseJsonBody(text: string, broken: () => AppError): unknown {
  checkSize(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw broken();
  }
  checkDepth(text, value);
  return value;
}
