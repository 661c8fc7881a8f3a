/**
 * What can be wrong with a body that is coming, besides its size: that is said in the words of a
 * dialect.
 *
 * @module
 */

import type { Http1Error } from "../lib/http1/error.ts";
import { AppError } from "./errors.ts";

/** A body that did not come in time: 408. The connection closes with the answer. */
export function bodySlow(timeoutMs: number): AppError {
  return new AppError(
    "body_slow",
    `The request body was not complete after ${timeoutMs} ms (server.body_timeout_ms).`,
    { headers: { connection: "close" } },
  );
}

/** There is no room for what is here of all bodies together: 503. */
export function bodiesFull(bytesMax: number): AppError {
  return new AppError(
    "bodies_full",
    `The server is reading ${bytesMax} bytes of request bodies already ` +
      "(server.bodies_max_bytes): try again",
    { headers: { "retry-after": "1" } },
  );
}

/** A body that broke off: whoever sent it has left, or does not speak HTTP. */
export function bodyBroken(error: Http1Error | undefined): AppError {
  return new AppError(
    "body_broken",
    error?.message ?? "The request body broke off before its end",
  );
}
