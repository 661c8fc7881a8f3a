/**
 * `GET /api/tasks/{id}`: how a run is doing, or with `?output_only=true` what it gave.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { Authorize } from "../../core/exchange.ts";
import type { Surface } from "../../core/surface.ts";
import type { Workflows } from "../../core/workflow.ts";
import { checkToken, detailAnswer, detailTooLarge } from "../../dialects/detail/errors.ts";
import { outputAnswer, stateAnswer } from "./answer.ts";
import { isFlagSet } from "./flag.ts";

/** What the surface needs. */
export interface TasksDeps {
  readonly workflows: Workflows;
  readonly authorize: Authorize;
}

/** Makes the surface; the path names an `id`. */
export function tasks({ workflows, authorize }: TasksDeps): Surface {
  return {
    name: "api_tasks",
    source: "",
    takes: "nothing",
    admit: (head, exchange) => checkToken(authorize, head, exchange),
    answer({ head, params }) {
      const state = workflows.task(params["id"]!);
      if (state === undefined) throw new AppError("not_found", "Task not found.");
      return isFlagSet(head.target, "output_only") ? outputAnswer(state) : stateAnswer(state);
    },
    tooLarge: detailTooLarge,
    refuse: detailAnswer,
  };
}
