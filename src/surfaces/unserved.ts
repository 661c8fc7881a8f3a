/**
 * What nobody serves: unknown URLs (404) and known ones with another method (405), in the dialect of
 * the URLs around them.
 *
 * @module
 */

import type { AppError } from "../core/errors.ts";
import { type Engine, Exchange } from "../core/exchange.ts";
import type { Stamps } from "../core/stamp.ts";
import { detailResponse, methodNotAllowed, notFound } from "../dialects/detail/errors.ts";
import { envelope, envelopeResponse } from "../dialects/envelope/envelope.ts";
import { errorResponse, invalidUrl, methodRefused, onlyPost } from "../dialects/openai/errors.ts";

/** URLs of system 000, which are turned away with an envelope. */
const ENVELOPED = /^\/(?:v1\/response|memory\/(?:apply|upload))$/;

/** A route that is mounted. */
export interface MountedRoute {
  readonly method: string;
  readonly path: string;
}

/** What it needs. */
export interface UnservedDeps {
  readonly engine: Engine;
  readonly stamps: Stamps;
  readonly routes: readonly MountedRoute[];
}

/**
 * Makes the answer to every request that no route took, or that was turned away with `error` before
 * any could. `path` comes without its query.
 */
export function unserved(
  deps: UnservedDeps,
): (request: Request, path: string, error?: AppError) => Response {
  const methods = new Map<string, string>();
  for (const { method, path } of deps.routes) {
    const known = methods.get(path);
    methods.set(path, known === undefined ? method : `${known}, ${method}`);
  }

  /** What is wrong; `allow` lists the methods that the path has. */
  function fault(method: string, path: string, allow: string | undefined): AppError {
    if (path.startsWith("/api/")) return allow === undefined ? notFound() : methodNotAllowed(allow);
    if (allow === undefined) return invalidUrl(method, path);
    return allow === "POST" ? onlyPost() : methodRefused(method, path, allow);
  }

  return (request, path, known) => {
    const exchange = new Exchange(deps.engine, "no_surface", request);
    const error = exchange.refuse(known ?? fault(request.method, path, methods.get(path)));
    if (path.startsWith("/api/")) return detailResponse(error);
    if (known !== undefined && ENVELOPED.test(path)) {
      return envelopeResponse(envelope(-1, error.message), error.status, error.headers);
    }
    exchange.requestId = `req_${deps.stamps.hex(32)}`;
    return errorResponse(error, exchange.requestId);
  };
}
