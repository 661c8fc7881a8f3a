/**
 * What nobody serves: unknown URLs (404) and known ones with another method (405), in the dialect
 * of the URLs around them.
 *
 * @module
 */

import type { AppError } from "../core/errors.ts";
import type { Stamps } from "../core/stamp.ts";
import type { Surface } from "../core/surface.ts";
import { errorAnswer as anthropicAnswer } from "../dialects/anthropic_messages/errors.ts";
import { requestIdOf } from "../dialects/anthropic_messages/request_id.ts";
import {
  detailAnswer,
  detailTooLarge,
  methodNotAllowed,
  notFound,
} from "../dialects/detail/errors.ts";
import { envelope, envelopeAnswer } from "../dialects/envelope/envelope.ts";
import { errorAnswer, invalidUrl, methodRefused, onlyPost } from "../dialects/openai/errors.ts";
import { plainPathOf, type Router } from "./router.ts";

/** URLs of the streaming response service, which are turned away with an envelope. */
const ENVELOPED = /^\/(?:v1\/response|memory\/(?:apply|upload))$/;

/** What it needs. */
export interface UnservedDeps {
  readonly router: Router;
  readonly stamps: Stamps;
  /** Beneath which paths the workflow API lies, which says its refusals itself: "/api", "". */
  readonly workflowBases: readonly string[];
}

/** A request that no route takes, or that was turned away with `error` before any could. */
export interface Unserved {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly error?: AppError | undefined;
  /** True: it says Anthropic's version. */
  readonly isAnthropic: boolean;
}

/** `surface`, which refuses whatever comes with `error` and its status, also where it says 200 to all. */
export function turningAway(surface: Surface, error: AppError): Surface {
  return {
    name: surface.name,
    source: "",
    takes: "nothing",
    isSpared: true,
    ...(surface.isUnnoted ? { isUnnoted: true } : {}),
    admit() {
      throw error;
    },
    answer() {
      throw error;
    },
    tooLarge: (bytesMax) => surface.tooLarge(bytesMax),
    refuse: (error, exchange) => ({
      ...surface.refuse(error, exchange, undefined),
      status: error.status,
    }),
  };
}

/** Makes the surface of every such request. */
export function unserved(deps: UnservedDeps): (request: Unserved) => Surface {
  const { router, stamps, workflowBases } = deps;
  const workflowPaths = workflowBases.flatMap((base) => [`${base}/workflows`, `${base}/tasks`]);

  function isDetailed(path: string): boolean {
    return path.startsWith("/api/") ||
      workflowPaths.some((below) => path === below || path.startsWith(`${below}/`));
  }

  /** What is wrong. */
  function fault({ method, path }: Unserved): AppError {
    const methods = router.methods(path);
    if (isDetailed(plainPathOf(path))) {
      const allow = methods.map((one) => one === "GET" ? "GET, HEAD" : one).join(", ");
      return methods.length === 0 ? notFound() : methodNotAllowed(allow);
    }
    // A row may take the path and have nothing there, as the page's files do.
    const isOfOthers = methods.length > 0 && !methods.includes(method === "HEAD" ? "GET" : method);
    if (!isOfOthers) return invalidUrl(method, path);
    if (methods.join() === "POST") return onlyPost();
    return methodRefused(method, path, methods.join(", "));
  }

  return (request) => ({
    name: "no_surface",
    source: "",
    takes: "nothing",
    isSpared: true,
    // Whoever asks what came does not come.
    ...(request.path.startsWith("/__weir/") ? { isUnnoted: true } : {}),
    answer(_inbound, exchange) {
      exchange.path = request.path;
      throw request.error ?? fault(request);
    },
    tooLarge: detailTooLarge,
    refuse(error, exchange) {
      const path = plainPathOf(request.path);
      if (isDetailed(path)) return detailAnswer(error);
      if (request.error !== undefined && ENVELOPED.test(path)) {
        return envelopeAnswer(envelope(-1, error.message), error.status, error.headers);
      }
      if (request.isAnthropic || path.startsWith("/v1/messages")) {
        exchange.requestId = requestIdOf(stamps);
        return anthropicAnswer(error, exchange.requestId);
      }
      exchange.requestId = `req_${stamps.hex(32)}`;
      return errorAnswer(error, exchange.requestId);
    },
  });
}
