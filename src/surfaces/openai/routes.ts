/**
 * The rows of OpenAI's own API.
 *
 * @module
 */

import type { BodyRules } from "../../dialects/openai/checked_body.ts";
import { EMBEDDING_RULES } from "../../dialects/openai/embeddings.ts";
import { MODERATION_RULES } from "../../dialects/openai/moderations.ts";
import { CHAT_PARAMS } from "../../dialects/openai_chat/params.ts";
import { COMPLETION_RULES } from "../../dialects/openai_completions/request.ts";
import { RESPONSE_RULES } from "../../dialects/openai_responses/rules.ts";
import { objectSchema } from "../../dialects/openai/check_schema.ts";
import type { Surface } from "../../core/surface.ts";
import { JSON_TYPE, type Route, type RouteResponse, SSE_TYPE } from "../route.ts";

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

const RESPONSES_BODY = {
  schema: { ...objectSchema(RESPONSE_RULES), required: ["model", "input"] },
  example: { model: "gpt-4o", input: "Hello", stream: true },
};

/** The surfaces of OpenAI's own API. */
export interface OpenaiSurfaces {
  readonly chatCompletions: Surface;
  readonly completions: Surface;
  readonly responses: Surface;
  readonly models: Surface;
  readonly deletedModel: Surface;
  readonly embeddings: Surface;
  readonly moderations: Surface;
  /** Every other path; undefined = nobody takes them. */
  readonly passed: Surface | undefined;
  /** The same for clients of Anthropic's API. */
  readonly forAnthropic: { readonly models: Surface; readonly passed: Surface | undefined };
}

/** OpenAI's own API. */
export function openaiRoutes(
  {
    chatCompletions,
    completions,
    responses,
    models,
    deletedModel,
    embeddings,
    moderations,
    passed,
    forAnthropic,
  }: OpenaiSurfaces,
): readonly Route[] {
  return [
    {
      method: "post",
      path: "/v1/chat/completions",
      serve: chatCompletions,
      isStreaming: true,
      tag: "OpenAI API",
      summary: "Answer a conversation",
      auth: "bearer",
      holds: "model",
      opens: "all",
      body: CHAT_BODY,
      responses: { "200": CHAT_ANSWER, "default": OPENAI_ERROR },
    },
    {
      method: "post",
      path: "/v1/completions",
      serve: completions,
      isStreaming: true,
      tag: "OpenAI API",
      summary: "Go on from a text",
      description: "OpenAI's older API, of models that take no conversation.",
      auth: "bearer",
      holds: "model",
      opens: "all",
      body: {
        schema: schemaOfBody(COMPLETION_RULES),
        example: { model: "gpt-3.5-turbo-instruct", prompt: "Hello", stream: true },
      },
      responses: {
        "200": {
          description: "text_completion events and [DONE]; without stream, one text_completion",
          types: [SSE_TYPE, JSON_TYPE],
        },
        "default": OPENAI_ERROR,
      },
    },
    jsonRoute({
      path: "/v1/embeddings",
      serve: embeddings,
      summary: "Turn texts into vectors",
      description: "Texts or cl100k tokens; the mock's vectors are near where texts share words.",
      rules: EMBEDDING_RULES,
      example: { model: "text-embedding-3-small", input: "Hello", dimensions: 8 },
      answer: "The vectors, as numbers or as base64",
    }),
    jsonRoute({
      path: "/v1/moderations",
      serve: moderations,
      summary: "Look for what is not wanted in texts",
      description: "The mock flags the words of `mock.moderation`.",
      rules: MODERATION_RULES,
      example: { input: "Hello" },
      answer: "A result for each text",
    }),
    {
      method: "post",
      path: "/v1/responses",
      serve: responses,
      isStreaming: true,
      tag: "OpenAI API",
      summary: "Answer as a response of items",
      auth: "bearer",
      holds: "model",
      opens: "all",
      body: RESPONSES_BODY,
      responses: {
        "200": {
          description:
            "events from response.created to response.completed; without stream, one response",
          types: [SSE_TYPE, JSON_TYPE],
        },
        "default": OPENAI_ERROR,
      },
    },
    {
      method: "get",
      path: "/v1/models",
      serve: models,
      serveAnthropic: forAnthropic.models,
      tag: "OpenAI API",
      summary: "List the models",
      auth: "bearer",
      holds: "model",
      opens: "all",
      responses: {
        "200": { description: "The list", types: [JSON_TYPE] },
        "default": OPENAI_ERROR,
      },
    },
    {
      method: "get",
      path: "/v1/models/{id}",
      isOpenEnded: true,
      serve: models,
      serveAnthropic: forAnthropic.models,
      tag: "OpenAI API",
      summary: "Show one model",
      auth: "bearer",
      holds: "model",
      opens: "all",
      parameters: [{ name: "id", in: "path", description: "its name", example: "gpt-4o" }],
      responses: {
        "200": { description: "The model", types: [JSON_TYPE] },
        "default": OPENAI_ERROR,
      },
    },
    {
      method: "delete",
      path: "/v1/models/{id}",
      isOpenEnded: true,
      serve: deletedModel,
      tag: "OpenAI API",
      summary: "Delete a fine-tuned model",
      auth: "bearer",
      holds: "model",
      parameters: [{ name: "id", in: "path", description: "its name", example: "ft:gpt-4o:a::b" }],
      responses: {
        "200": { description: "That it is deleted", types: [JSON_TYPE] },
        "default": OPENAI_ERROR,
      },
    },
    ...(passed === undefined ? [] : PASSED_METHODS.map((method) => ({
      ...passedRoute(method, passed),
      serveAnthropic: forAnthropic.passed,
    }))),
  ];
}

/** An endpoint with one JSON body in and one out. */
interface JsonEndpoint {
  readonly path: string;
  readonly serve: Surface;
  readonly summary: string;
  readonly description: string;
  readonly rules: BodyRules;
  readonly example: unknown;
  readonly answer: string;
}

function jsonRoute(
  { path, serve, summary, description, rules, example, answer }: JsonEndpoint,
): Route {
  return {
    method: "post",
    path,
    serve,
    tag: "OpenAI API",
    summary,
    description,
    auth: "bearer",
    holds: "model",
    opens: "all",
    body: { schema: schemaOfBody(rules), example },
    responses: {
      "200": { description: answer, types: [JSON_TYPE] },
      "default": OPENAI_ERROR,
    },
  };
}

function schemaOfBody({ fields, needsModel }: BodyRules) {
  return objectSchema([
    ["model", { kind: "string", ...(needsModel && { isRequired: true }) }],
    ...fields,
  ]);
}

const PASSED_METHODS = ["get", "post", "put", "patch", "delete"] as const;

function passedRoute(method: Route["method"], passed: Surface): Route {
  return {
    method,
    path: "/v1/{path}",
    isOpenEnded: true,
    isRest: true,
    serve: passed,
    tag: "OpenAI API",
    summary: "Pass on to an upstream",
    description: "Every path that has no row of its own, with its body and its answer as they are.",
    auth: "bearer",
    holds: "model",
    parameters: [{ name: "path", in: "path", description: "the path", example: "files" }],
    responses: {
      "default": { description: "What the upstream answers", types: [JSON_TYPE, SSE_TYPE] },
    },
  };
}
