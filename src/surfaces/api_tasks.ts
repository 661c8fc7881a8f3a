/**
 * `GET /api/tasks/{id}`: how a run is doing, or with `?output_only=true` what it gave.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import type { Workflows } from "../core/workflow.ts";
import { checkToken, detailResponse } from "./detail_errors.ts";
import { outputResponse, stateResponse } from "./workflow_answer.ts";

/** What the surface needs. */
export interface TasksDeps {
  readonly workflows: Workflows;
  readonly authorize: (header: string | null) => "ok" | "missing" | "malformed" | "wrong";
}

/** Makes the handler. */
export function tasks(
  { workflows, authorize }: TasksDeps,
): (request: Request, taskId: string) => Response {
  return (request, taskId) => {
    try {
      checkToken(authorize, request);
      const state = workflows.task(taskId);
      if (state === undefined) throw new AppError("not_found", "Task not found.");
      const wants = new URL(request.url).searchParams.get("output_only") ?? "";
      return /^(true|1|yes|on)$/i.test(wants) ? outputResponse(state) : stateResponse(state);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return detailResponse(error);
    }
  };
}
