/**
 * Flags in the query of a URL, in the words that FastAPI takes for true.
 *
 * @module
 */

import { URLSearchParams } from "node:url";
import { queryOf } from "../../core/body.ts";

/** Is the query's `name` true? */
export function isFlagSet(url: string, name: string): boolean {
  const value = new URLSearchParams(queryOf(url)).get(name) ?? "";
  return /^(true|1|yes|on)$/i.test(value);
}
