/**
 * The rows of model-compose: the workflow API, wherever it lies.
 *
 * @module
 */

import type { Surface } from "../../core/surface.ts";
import { JSON_TYPE, type Page, type Route, type RouteResponse, SSE_TYPE } from "../route.ts";

const DETAIL: RouteResponse = {
  description: "What is wrong",
  types: [JSON_TYPE],
  example: { detail: "Not Found" },
};

/** The surfaces of the workflow API. */
export interface WorkflowSurfaces {
  readonly runs: Surface;
  readonly list: Surface;
  readonly schema: Surface;
  readonly task: Surface;
  /** Says whether this process is ready, as that system does. */
  readonly health: Page;
}

/** The workflow API beneath `base`. */
export function workflowRoutes(base: string, surfaces: WorkflowSurfaces): readonly Route[] {
  const health: Route = {
    method: "get",
    path: `${base}/health`,
    serve: surfaces.health,
    tag: "Operation",
    summary: "Is this process ready for workflows?",
    auth: "none",
    holds: "nothing",
    responses: {
      "200": { description: "Yes", types: [JSON_TYPE], example: { status: "ok" } },
      "503": { description: "It is starting, or it is draining", types: [JSON_TYPE] },
    },
  };
  return [
    {
      method: "post",
      path: `${base}/workflows/runs`,
      serve: surfaces.runs,
      isStreaming: true,
      tag: "Workflows",
      summary: "Run a workflow",
      description: "A workflow that streams answers with events, unless output_only is false.",
      auth: "bearer",
      holds: "state",
      body: {
        schema: {
          type: "object",
          properties: {
            workflow_id: { type: "string", description: "absent: the one there is" },
            input: { description: "what the workflow asks for" },
            wait_for_completion: { type: "boolean" },
            output_only: { type: "boolean" },
          },
        },
        example: { input: { prompt: "Hello" } },
      },
      responses: {
        "200": { description: "The output, as events or whole", types: [SSE_TYPE, JSON_TYPE] },
        "default": DETAIL,
      },
    },
    {
      method: "get",
      path: `${base}/workflows`,
      serve: surfaces.list,
      tag: "Workflows",
      summary: "List the workflows",
      auth: "bearer",
      holds: "state",
      responses: { "200": { description: "The list", types: [JSON_TYPE] }, "default": DETAIL },
    },
    {
      method: "get",
      path: `${base}/workflows/{id}/schema`,
      serve: surfaces.schema,
      tag: "Workflows",
      summary: "Show what a workflow takes and gives",
      auth: "bearer",
      holds: "state",
      parameters: [{ name: "id", in: "path", description: "its id" }],
      responses: { "200": { description: "The schema", types: [JSON_TYPE] }, "default": DETAIL },
    },
    {
      method: "get",
      path: `${base}/tasks/{id}`,
      serve: surfaces.task,
      tag: "Workflows",
      summary: "Show how a run stands",
      auth: "bearer",
      holds: "state",
      parameters: [{ name: "id", in: "path", description: "the task_id of the run" }],
      responses: { "200": { description: "The run", types: [JSON_TYPE] }, "default": DETAIL },
    },
    ...(base === "" ? [] : [health]),
  ];
}
