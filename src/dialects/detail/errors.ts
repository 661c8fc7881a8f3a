/**
 * Errors as `{"detail": …}`: the dialect of the workflow API and of `/api/chat`.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { Authorize, Exchange } from "../../core/exchange.ts";
import type { Whole } from "../../core/surface.ts";
import type { RequestHead } from "../../lib/http1/request_head.ts";

/** What every JSON answer of this API carries. */
const HEADERS = { "content-type": "application/json", "access-control-allow-origin": "*" } as const;

/** `value` as compact JSON. */
export function jsonAnswer(value: unknown, status = 200, headers: HeaderMap = {}): Whole {
  return {
    kind: "whole",
    status,
    headers: { ...HEADERS, ...headers },
    body: JSON.stringify(value),
  };
}

type HeaderMap = Readonly<Record<string, string>>;

/** The answer that says `error`. */
export function detailAnswer(error: AppError): Whole {
  return jsonAnswer({ detail: error.message }, error.status, error.headers);
}

/** A path below the API that is none. */
export function notFound(): AppError {
  return new AppError("path_unknown", "Not Found");
}

/** A method that the path does not take; `allow` lists those it does. */
export function methodNotAllowed(allow: string): AppError {
  return new AppError("method_wrong", "Method Not Allowed", { headers: { allow } });
}

/** @throws {AppError} unless the header carries the token. */
export function checkToken(
  authorize: Authorize,
  head: Pick<RequestHead, "fields">,
  exchange: Exchange,
): void {
  const verdict = authorize(head.fields, exchange);
  if (verdict === "ok") return;
  const headers = { "www-authenticate": "Bearer" };
  if (verdict === "wrong") throw new AppError("auth_wrong", "Invalid token", { headers });
  throw new AppError(`auth_${verdict}`, "Send the header Authorization: Bearer <auth.token>", {
    headers,
  });
}

/** A body of more than `bytesMax` bytes. */
export function detailTooLarge(bytesMax: number): AppError {
  return new AppError(
    "body_too_large",
    `The request body is larger than ${bytesMax} bytes (server.body_max_bytes)`,
  );
}
