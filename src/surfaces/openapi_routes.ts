/**
 * Every URL of weir, as `/openapi.json` and `/docs` show it, in their order. A new surface adds its
 * rows to its family's table; a test compares them all with the routes that are mounted, both ways.
 *
 * @module
 */

import type { Route } from "./openapi.ts";
import { CHAT_ROUTES } from "./openapi_chat.ts";
import { MEMORY_ROUTES } from "./openapi_memory.ts";
import { OPERATION_ROUTES } from "./openapi_operation.ts";
import { TOKEN_ROUTES } from "./openapi_tokens.ts";
import { workflowRoutes } from "./openapi_workflows.ts";

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
