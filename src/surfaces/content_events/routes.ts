/**
 * The row of the FastAPI LLM service.
 *
 * @module
 */

import type { Surface } from "../../core/surface.ts";
import { API_CHAT_BODY } from "../../dialects/content_events/request.ts";
import { JSON_TYPE, type Route, SSE_TYPE } from "../route.ts";

/** `/api/chat`. */
export function contentEventsRoutes(chat: Surface): readonly Route[] {
  return [
    {
      method: "post",
      path: "/api/chat",
      serve: chat,
      isStreaming: true,
      tag: "/api/chat",
      summary: "Answer a conversation, one content event per piece",
      description: 'An error of the model is an event too: {"error": "…"}, and then [DONE].',
      auth: "bearer",
      holds: "model",
      opens: "all",
      body: {
        schema: API_CHAT_BODY,
        example: {
          messages: [{ role: "user", content: "你好，请介绍一下自己" }],
          model: "gpt-3.5-turbo",
          temperature: 0.7,
        },
      },
      responses: {
        "200": {
          description: "Events, the last of which is [DONE]",
          types: [SSE_TYPE],
          example: 'data: {"content":"powered "}\n\ndata: [DONE]\n\n',
        },
        "401": { description: "No valid bearer token", types: [JSON_TYPE] },
        "422": {
          description: "What is wrong with the body",
          types: [JSON_TYPE],
          example: {
            detail: [{
              type: "missing",
              loc: ["body", "messages"],
              msg: "Field required",
              input: {},
            }],
          },
        },
      },
    },
  ];
}
