/**
 * The ids of Anthropic's answers.
 *
 * @module
 */

import type { Stamps } from "../../core/stamp.ts";

/** Characters of a `request-id`. */
export const REQUEST_ID_CHARS = 28;

/** A `request-id`: "req_011C" and 20 of [A-Za-z0-9] (docs/facts/anthropic.md "Errors"). */
export function requestIdOf(stamps: Pick<Stamps, "fillId">): string {
  return `req_011C${String.fromCharCode(...stamps.fillId(new Uint8Array(20)))}`;
}
