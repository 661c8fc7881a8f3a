/**
 * `GET /api/workflows` and `GET /api/workflows/{id}/schema`: what can be run, and with what.
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
  jsonResponse,
  methodNotAllowed,
  notFound,
} from "../../dialects/detail/errors.ts";

const PATH = /^\/workflows(?:\/([^/]+)\/schema)?$/;

/** What the surface needs. */
export interface WorkflowListDeps {
  readonly engine: Engine;
  readonly workflows: Workflows;
  readonly authorize: Authorize;
}

/** Makes the handler; `path` is the URL's path from "/workflows" on. */
export function workflowSchemas(
  { engine, workflows, authorize }: WorkflowListDeps,
): (request: Request, path: string) => Response {
  const list = workflows.schemas.map(({ workflow_id, title, default: isDefault }) => ({
    workflow_id,
    ...(title === undefined ? {} : { title }),
    ...(isDefault === undefined ? {} : { default: isDefault }),
  }));

  function handle(request: Request, path: string, exchange: Exchange): Response {
    if (path === "/workflows/runs") throw methodNotAllowed("POST");
    const match = PATH.exec(path);
    if (match === null) throw notFound();
    if (request.method !== "GET" && request.method !== "HEAD") throw methodNotAllowed("GET, HEAD");
    checkToken(authorize, request, exchange);
    const [, id] = match;
    if (id === undefined) {
      const wants = new URL(request.url).searchParams.get("include_schema") ?? "";
      return jsonResponse(/^(true|1|yes|on)$/i.test(wants) ? workflows.schemas : list);
    }
    const workflowId = decodedSegment(id);
    const schema = workflows.schemas.find(({ workflow_id }) => workflow_id === workflowId);
    if (schema === undefined) throw new AppError("not_found", "Workflow not found.");
    return jsonResponse(schema);
  }

  return (request, path) => {
    const exchange = new Exchange(engine, "api_workflows", request);
    try {
      return answered(exchange, handle(request, path, exchange));
    } catch (error) {
      return detailResponse(exchange.refuse(error));
    }
  };
}
