/**
 * `GET /api/workflows` and `GET /api/workflows/{id}/schema`: what can be run, and with what.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import type { Workflows } from "../core/workflow.ts";
import { checkToken, detailResponse, jsonResponse } from "./detail_errors.ts";

/** What the surface needs. */
export interface WorkflowListDeps {
  readonly workflows: Workflows;
  readonly authorize: (header: string | null) => "ok" | "missing" | "malformed" | "wrong";
}

/** Makes the handler; `workflowId` undefined = the list. */
export function workflowSchemas(
  { workflows, authorize }: WorkflowListDeps,
): (request: Request, workflowId?: string) => Response {
  const list = workflows.schemas.map(({ workflow_id, title, default: isDefault }) => ({
    workflow_id,
    ...(title === undefined ? {} : { title }),
    ...(isDefault === undefined ? {} : { default: isDefault }),
  }));

  function handle(request: Request, workflowId: string | undefined): Response {
    checkToken(authorize, request);
    if (workflowId === undefined) {
      const wants = new URL(request.url).searchParams.get("include_schema") ?? "";
      return jsonResponse(/^(true|1|yes|on)$/i.test(wants) ? workflows.schemas : list);
    }
    const schema = workflows.schemas.find(({ workflow_id }) => workflow_id === workflowId);
    if (schema === undefined) throw new AppError("not_found", "Workflow not found.");
    return jsonResponse(schema);
  }

  return (request, workflowId) => {
    try {
      return handle(request, workflowId);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return detailResponse(error);
    }
  };
}
