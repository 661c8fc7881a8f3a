/**
 * Refusals of go-gpt-server (docs/facts/systems.md "Refusals"): a status and an empty body. The
 * reason stands in a header, where a person with a network tab finds it and no client of that
 * system trips over it.
 *
 * @module
 */

import type { AppError } from "../../core/errors.ts";
import type { Whole } from "../../core/surface.ts";

/** The header with the reason. */
export const REASON_HEADER = "weir-error";

/** Longest reason in a header, in characters. */
const REASON_CHARS_MAX = 500;

/** `error` as a status without a body. */
export function bareRefusal(error: AppError): Whole {
  return {
    kind: "whole",
    status: error.status,
    headers: {
      "access-control-allow-origin": "*",
      "access-control-expose-headers": REASON_HEADER,
      [REASON_HEADER]: headerText(error.message),
      ...error.headers,
    },
    body: null,
  };
}

/** `text` as a header value: printable ASCII on one line. */
function headerText(text: string): string {
  return text.slice(0, REASON_CHARS_MAX).replaceAll(/[^\x20-\x7e]+/g, "?").trim();
}
