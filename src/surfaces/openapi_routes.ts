/**
 * Every URL of weir, as `/openapi.json` and `/docs` show it, in their order. A new surface adds its
 * rows to its family's table; a test compares them all with the routes that are mounted, both ways.
 *
 * @module
 */

import type { Route } from "./openapi.ts";
import { CHAT_ROUTES } from "./openai/routes.ts";
import { MEMORY_ROUTES } from "./character_chat/routes.ts";
import { OPERATION_ROUTES } from "./admin/routes.ts";
import { TOKEN_ROUTES } from "./gpt_server/routes.ts";
import { workflowRoutes } from "./model_compose/routes.ts";

/** The table, with workflows beneath `/api` and beneath the workflow file's own base path. */
export function openapiRoutes(basePath: string): readonly Route[] {
  return [
    ...CHAT_ROUTES,
    ...MEMORY_ROUTES,
    ...TOKEN_ROUTES,
    ...OPERATION_ROUTES,
    ...[...new Set(["/api", basePath])].flatMap(workflowRoutes),
  ];
}
