/**
 * The rows of OpenAI's own API and of `/api/chat`.
 *
 * @module
 */

import { API_CHAT_BODY } from "../../dialects/content_events/request.ts";
import { CHAT_PARAMS } from "../../dialects/openai_chat/params.ts";
import { objectSchema } from "../../dialects/openai/check_schema.ts";
import { JSON_TYPE, type Route, type RouteResponse, SSE_TYPE } from "../openapi.ts";

const HELLO = [{ role: "user", content: "Hello" }];

/** An error of every surface that speaks OpenAI's API. */
export const OPENAI_ERROR: RouteResponse = {
  description: "OpenAI's error object",
  types: [JSON_TYPE],
  example: {
    error: {
      message: "you must provide a model parameter",
      type: "invalid_request_error",
      param: null,
      code: null,
    },
  },
};

/** A chat completion's body. */
export const CHAT_BODY = {
  schema: {
    ...objectSchema([...CHAT_PARAMS].map(([name, { rule }]) => [name, rule])),
    required: ["model", "messages"],
  },
  example: { model: "gpt-4o", messages: HELLO, stream: true },
};

/** A chat completion's answer. */
export const CHAT_ANSWER: RouteResponse = {
  description: "chat.completion.chunk events and [DONE]; without stream, one chat.completion",
  types: [SSE_TYPE, JSON_TYPE],
};

/** `/v1/*` without a memory, and `/api/chat`. */
export const CHAT_ROUTES: readonly Route[] = [
  {
    method: "post",
    path: "/v1/chat/completions",
    tag: "OpenAI API",
    summary: "Answer a conversation",
    auth: "bearer",
    body: CHAT_BODY,
    responses: { "200": CHAT_ANSWER, "default": OPENAI_ERROR },
  },
  {
    method: "get",
    path: "/v1/models",
    tag: "OpenAI API",
    summary: "List the models",
    auth: "bearer",
    responses: {
      "200": { description: "The list", types: [JSON_TYPE] },
      "default": OPENAI_ERROR,
    },
  },
  {
    method: "get",
    path: "/v1/models/{id}",
    tag: "OpenAI API",
    summary: "Show one model",
    auth: "bearer",
    parameters: [{ name: "id", in: "path", description: "its name", example: "gpt-4o" }],
    responses: {
      "200": { description: "The model", types: [JSON_TYPE] },
      "default": OPENAI_ERROR,
    },
  },
  {
    method: "post",
    path: "/api/chat",
    tag: "/api/chat",
    summary: "Answer a conversation, one content event per piece",
    description: 'An error of the model is an event too: {"error": "…"}, and then [DONE].',
    auth: "bearer",
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
