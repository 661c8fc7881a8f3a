/**
 * `GET /api/workflows` and `GET /api/workflows/{id}/schema`: what can be run, and with what.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { Authorize } from "../../core/exchange.ts";
import type { Inbound, Surface, Whole } from "../../core/surface.ts";
import type { Workflows } from "../../core/workflow.ts";
import {
  checkToken,
  detailAnswer,
  detailTooLarge,
  jsonAnswer,
} from "../../dialects/detail/errors.ts";
import { isFlagSet } from "./flag.ts";

/** What the surfaces need. */
export interface WorkflowListDeps {
  readonly workflows: Workflows;
  readonly authorize: Authorize;
}

/** Makes the surfaces: the list, and the schema of the workflow whose `id` the path names. */
export function workflowSchemas(
  { workflows, authorize }: WorkflowListDeps,
): { readonly list: Surface; readonly schema: Surface } {
  const brief = workflows.schemas.map(({ workflow_id, title, default: isDefault }) => ({
    workflow_id,
    ...(title === undefined ? {} : { title }),
    ...(isDefault === undefined ? {} : { default: isDefault }),
  }));

  function surface(answer: (inbound: Inbound) => Whole): Surface {
    return {
      name: "api_workflows",
      source: "",
      takes: "nothing",
      admit: (head, exchange) => checkToken(authorize, head, exchange),
      answer,
      tooLarge: detailTooLarge,
      refuse: detailAnswer,
    };
  }

  return {
    list: surface(({ head }) =>
      jsonAnswer(isFlagSet(head.target, "include_schema") ? workflows.schemas : brief)
    ),
    schema: surface(({ params }) => {
      const schema = workflows.schemas.find(({ workflow_id }) => workflow_id === params["id"]);
      if (schema === undefined) throw new AppError("not_found", "Workflow not found.");
      return jsonAnswer(schema);
    }),
  };
}
