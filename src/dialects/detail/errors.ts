/**
 * Errors as `{"detail": …}`: the dialect of the workflow API and of `/api/chat`.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import { outcomeOf } from "../../core/events.ts";
import type { Authorize, Exchange } from "../../core/exchange.ts";
import type { BodyErrors } from "../../core/body.ts";

/** What every JSON answer of this API carries. */
const HEADERS = { "content-type": "application/json", "access-control-allow-origin": "*" } as const;

/** `value` as compact JSON. */
export function jsonResponse(value: unknown, status = 200, headers: HeaderMap = {}): Response {
  return new Response(JSON.stringify(value), { status, headers: { ...HEADERS, ...headers } });
}

type HeaderMap = Readonly<Record<string, string>>;

/** The answer that says `error`. */
export function detailResponse(error: AppError): Response {
  return jsonResponse({ detail: error.message }, error.status, error.headers);
}

/** A path below the API that is none. */
export function notFound(): AppError {
  return new AppError("path_unknown", "Not Found");
}

/** A method that the path does not take; `allow` lists those it does. */
export function methodNotAllowed(allow: string): AppError {
  return new AppError("method_wrong", "Method Not Allowed", { headers: { allow } });
}

/** Ends `exchange` with a response that leaves whole. `failure`: what it tells of is a failure. */
export function answered(exchange: Exchange, response: Response, failure?: AppError): Response {
  const hasLeft = exchange.signal.aborted;
  exchange.begin(response.status);
  const outcome = failure === undefined ? "completed" : outcomeOf(failure);
  exchange.end(hasLeft ? "client_left" : outcome, failure);
  return response;
}

/** One segment of a path, percent-decoded; as it is when it cannot be. */
export function decodedSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** @throws {AppError} unless the header carries the token. */
export function checkToken(
  authorize: Authorize,
  request: Request,
  exchange: Exchange,
): void {
  const verdict = authorize(request.headers, exchange);
  if (verdict === "ok") return;
  const headers = { "www-authenticate": "Bearer" };
  if (verdict === "wrong") throw new AppError("auth_wrong", "Invalid token", { headers });
  throw new AppError(`auth_${verdict}`, "Send the header Authorization: Bearer <auth.token>", {
    headers,
  });
}

/** How reading a body fails; `broken` makes the error for what is no JSON. */
export function detailBodyErrors(bodyBytesMax: number, broken: () => AppError): BodyErrors {
  return {
    tooLarge: () =>
      new AppError(
        "body_too_large",
        `The request body is larger than ${bodyBytesMax} bytes (server.body_max_bytes)`,
      ),
    broken,
  };
}
