/**
 * The rows of Anthropic's API.
 *
 * @module
 */

import type { Surface } from "../../core/surface.ts";
import { COUNT_FIELDS, MESSAGES_FIELDS } from "../../dialects/anthropic_messages/rules.ts";
import { objectSchema } from "../../dialects/openai/check_schema.ts";
import { JSON_TYPE, type Route, type RouteResponse, SSE_TYPE } from "../route.ts";

const HELLO = [{ role: "user", content: "Hello" }];

const ANTHROPIC_ERROR: RouteResponse = {
  description: "Anthropic's error object",
  types: [JSON_TYPE],
  example: {
    type: "error",
    error: { type: "invalid_request_error", message: "max_tokens: Field required" },
    request_id: "req_011CSHoEeqs5C35K2UUqR7Fy",
  },
};

/** The surfaces of Anthropic's API. */
export interface AnthropicSurfaces {
  readonly messages: Surface;
  readonly countTokens: Surface;
}

/** Anthropic's API. Its lists of models are those of OpenAI's URLs, for other clients. */
export function anthropicRoutes(
  { messages, countTokens }: AnthropicSurfaces,
): readonly Route[] {
  return [
    {
      method: "post",
      path: "/v1/messages",
      serve: messages,
      isStreaming: true,
      tag: "Anthropic API",
      summary: "Answer a conversation",
      auth: "apiKey",
      holds: "model",
      opens: "all",
      body: {
        schema: objectSchema(MESSAGES_FIELDS),
        example: { model: "claude-sonnet-4-5", max_tokens: 1024, messages: HELLO, stream: true },
      },
      responses: {
        "200": {
          description: "message_start, blocks, and message_stop; without stream, one message",
          types: [SSE_TYPE, JSON_TYPE],
        },
        "default": ANTHROPIC_ERROR,
      },
    },
    {
      method: "post",
      path: "/v1/messages/count_tokens",
      serve: countTokens,
      tag: "Anthropic API",
      summary: "Count what a prompt costs",
      auth: "apiKey",
      holds: "model",
      opens: "all",
      body: {
        schema: objectSchema(COUNT_FIELDS),
        example: { model: "claude-sonnet-4-5", messages: HELLO },
      },
      responses: {
        "200": { description: "Its tokens", types: [JSON_TYPE], example: { input_tokens: 8 } },
        "default": ANTHROPIC_ERROR,
      },
    },
  ];
}
