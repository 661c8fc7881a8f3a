/**
 * `GET /api/tasks/{id}`: how a run is doing, or with `?output_only=true` what it gave.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import { type Authorize, type Engine, Exchange } from "../../core/exchange.ts";
import type { Workflows } from "../../core/workflow.ts";
import {
  answered,
  checkToken,
  decodedSegment,
  detailResponse,
  methodNotAllowed,
  notFound,
} from "../../dialects/detail/errors.ts";
import { outputResponse, stateResponse } from "./answer.ts";

const PATH = /^\/tasks\/([^/]+)$/;

/** What the surface needs. */
export interface TasksDeps {
  readonly engine: Engine;
  readonly workflows: Workflows;
  readonly authorize: Authorize;
}

/** Makes the handler; `path` is the URL's path from "/tasks" on. */
export function tasks(
  { engine, workflows, authorize }: TasksDeps,
): (request: Request, path: string) => Response {
  return (request, path) => {
    const exchange = new Exchange(engine, "api_tasks", request);
    try {
      const match = PATH.exec(path);
      if (match === null) throw notFound();
      if (request.method !== "GET" && request.method !== "HEAD") {
        throw methodNotAllowed("GET, HEAD");
      }
      checkToken(authorize, request, exchange);
      const state = workflows.task(decodedSegment(match[1]!));
      if (state === undefined) throw new AppError("not_found", "Task not found.");
      const wants = new URL(request.url).searchParams.get("output_only") ?? "";
      const isOutputOnly = /^(true|1|yes|on)$/i.test(wants);
      return answered(exchange, isOutputOnly ? outputResponse(state) : stateResponse(state));
    } catch (error) {
      return detailResponse(exchange.refuse(error));
    }
  };
}
