/**
 * The rows of the streaming response service: `/v1/response` and the memory server.
 *
 * @module
 */

import type { Surface } from "../../core/surface.ts";
import type { MemorySurfaces } from "./memory.ts";
import { JSON_TYPE, type Route, type RouteResponse, SSE_TYPE } from "../route.ts";

/** Who a turn belongs to: any of them, or a `session_id` (docs/memory.md "Which session"). */
const SESSION_FIELDS = {
  session_id: { type: "string" },
  user_id: { type: "string" },
  role_id: { type: "string" },
  group_id: { type: "string" },
};

/** Which part of a session is shown: without them the newest turns that fit. */
const PAGE_FIELDS = {
  limit: { type: "integer", minimum: 1, maximum: 1000, description: "turns at the most" },
  before: { type: "string", description: "data.next of the page that came last: older turns" },
};

const ENVELOPE: RouteResponse = {
  description: "code, msg and data: code is 0 when all went well",
  types: [JSON_TYPE],
  example: { code: 0, msg: "success", data: {} },
};

/** One URL of the memory server. It is not there when `memory.url` names another one. */
function memoryRoute(
  method: Route["method"],
  name: string,
  serve: Surface,
  summary: string,
  fields: Readonly<Record<string, unknown>>,
): Route {
  return {
    method,
    path: `/memory/${name}`,
    serve,
    tag: "Memory",
    summary,
    auth: "bearer",
    holds: "state",
    body: {
      schema: { type: "object", properties: { ...SESSION_FIELDS, ...fields } },
      example: { session_id: "s1" },
    },
    responses: { "200": ENVELOPE, "default": ENVELOPE },
  };
}

/** `/v1/response`. */
export function responseRoutes(response: Surface): readonly Route[] {
  return [
    {
      method: "post",
      path: "/v1/response",
      serve: response,
      isStreaming: true,
      tag: "Character chat",
      summary: "Answer a question in a session that is remembered",
      auth: "bearer",
      holds: "state",
      opens: "all",
      body: {
        schema: {
          type: "object",
          properties: {
            query: { type: "string" },
            ...SESSION_FIELDS,
            role_prompt: { type: "string" },
            first_message: { type: "string" },
            stream: { type: "boolean", description: "absent: true" },
          },
          required: ["query"],
        },
        example: { query: "Hello", session_id: "s1" },
      },
      responses: {
        "200": {
          description: "Events of envelopes, or one envelope; x-session-id is the session's name",
          types: [SSE_TYPE, JSON_TYPE],
        },
        "default": ENVELOPE,
      },
    },
  ];
}

/**
 * `/memory/*`. A weir that asks a memory server is none itself: it would only pass the questions
 * on.
 */
export function memoryRoutes(surfaces: MemorySurfaces): readonly Route[] {
  const { apply, upload, messages, query } = surfaces;
  return [
    memoryRoute("post", "apply", apply, "Prepare the messages of a turn", {
      role_prompt: { type: "string" },
      query: { type: "string" },
    }),
    memoryRoute("post", "upload", upload, "Keep messages", { messages: { type: "array" } }),
    memoryRoute("post", "messages", messages, "Show what a session remembers", PAGE_FIELDS),
    memoryRoute("post", "query", query, "Ask what a session remembers", PAGE_FIELDS),
    memoryRoute(
      "delete",
      "delete",
      surfaces.delete,
      "Forget every session that has all of these ids",
      {},
    ),
  ];
}
