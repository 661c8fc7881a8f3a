/**
 * Every URL of weir, as `/openapi.json` and `/docs` show it. A new surface adds its rows here; a test
 * compares this table with the routes that are mounted, both ways.
 *
 * @module
 */

import { API_CHAT_BODY } from "./api_chat_request.ts";
import { CONV_BODY } from "./conv_request.ts";
import { CHAT_PARAMS } from "./openai_chat_params.ts";
import { objectSchema } from "./openai_check_schema.ts";
import type { Route, RouteParameter, RouteResponse } from "./openapi.ts";

const JSON_TYPE = "application/json";
const SSE_TYPE = "text/event-stream";
const TEXT_TYPE = "text/plain";

const HELLO = [{ role: "user", content: "Hello" }];

const OPENAI_ERROR: RouteResponse = {
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

const CHAT_BODY = {
  schema: {
    ...objectSchema([...CHAT_PARAMS].map(([name, { rule }]) => [name, rule])),
    required: ["model", "messages"],
  },
  example: { model: "gpt-4o", messages: HELLO, stream: true },
};

const CHAT_ANSWER: RouteResponse = {
  description: "chat.completion.chunk events and [DONE]; without stream, one chat.completion",
  types: [SSE_TYPE, JSON_TYPE],
};

const CHAT_TYPE: RouteParameter = {
  name: "Chat-Type",
  in: "header",
  description: "conversations, conversation/<id>, or conversation for a message",
  isRequired: true,
  example: "conversations",
};

const CONV_REFUSALS: Readonly<Record<string, RouteResponse>> = {
  "400": { description: "Chat-Type is missing: no body, the reason stands in weir-error" },
  "403": { description: "No valid token: no body" },
  "404": {
    description: "There is no such conversation or message",
    types: [JSON_TYPE],
    example: { detail: "Can't load conversation 1" },
  },
  "502": { description: "The upstream cannot be reached: no body" },
};

/** What only an upstream (conv.unofficial_proxy) answers: weir's own conversations do not change. */
const CONV_PASSED: Pick<Route, "path" | "tag" | "auth" | "parameters" | "responses"> = {
  path: "/conv",
  tag: "/conv",
  auth: "token",
  parameters: [CHAT_TYPE],
  responses: {
    "200": { description: "The upstream's answer" },
    ...CONV_REFUSALS,
    "405": { description: "There is no upstream", types: [JSON_TYPE] },
  },
};

const TOKEN: Omit<Route, "method"> = {
  path: "/token",
  tag: "Tokens and /chat",
  summary: "Make a token for /chat and /conv",
  description: "It is signed with the key that is given: only auth.secret_key makes a valid one.",
  auth: "none",
  parameters: [
    {
      name: "id",
      in: "query",
      description: "who it is for; may be empty",
      isRequired: true,
      example: "1000",
    },
    {
      name: "hour",
      in: "query",
      description: "hours it is valid",
      isRequired: true,
      example: "10",
    },
    { name: "key", in: "query", description: "auth.secret_key", isRequired: true },
  ],
  responses: {
    "200": { description: "The token", types: [JSON_TYPE], example: { token: "eyJhbGciOi…" } },
    "400": { description: "A parameter is missing or wrong", types: [TEXT_TYPE] },
    "503": { description: "auth.secret_key is not set", types: [TEXT_TYPE] },
  },
};

const EVENT: Omit<Route, "method"> = {
  path: "/event",
  tag: "Tokens and /chat",
  summary: "Two messages, two seconds apart, and a close event",
  auth: "none",
  parameters: ["appId", "page", "pageSize"].map((name, i): RouteParameter => ({
    name,
    in: "query",
    description: "repeated in the messages",
    isRequired: true,
    example: ["1", "4", "5"][i]!,
  })),
  responses: {
    "200": {
      description: "The events",
      types: [SSE_TYPE],
      example: "data: 0145\n\ndata: 1145\n\nevent: close\ndata: close\n\n",
    },
    "400": { description: "A parameter is missing", types: [TEXT_TYPE] },
  },
};

const DETAIL: RouteResponse = {
  description: "What is wrong",
  types: [JSON_TYPE],
  example: { detail: "Not Found" },
};

/**
 * Routes that take every method and path below theirs, by the end of their path: what they serve
 * there with GET.
 */
export const WILDCARDS: Readonly<Record<string, readonly string[]>> = {
  "/workflows/*": ["/workflows", "/workflows/{id}/schema"],
  "/tasks/*": ["/tasks/{id}"],
};

/** The workflow API beneath `base`. */
function workflowRoutes(base: string): readonly Route[] {
  const health: Route = {
    method: "get",
    path: `${base}/health`,
    tag: "Operation",
    summary: "Is this process ready for workflows?",
    auth: "none",
    responses: {
      "200": { description: "Yes", types: [JSON_TYPE], example: { status: "ok" } },
      "503": { description: "It is starting, or it is draining", types: [JSON_TYPE] },
    },
  };
  return [
    {
      method: "post",
      path: `${base}/workflows/runs`,
      tag: "Workflows",
      summary: "Run a workflow",
      description: "A workflow that streams answers with events, unless output_only is false.",
      auth: "bearer",
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
      tag: "Workflows",
      summary: "List the workflows",
      auth: "bearer",
      responses: { "200": { description: "The list", types: [JSON_TYPE] }, "default": DETAIL },
    },
    {
      method: "get",
      path: `${base}/workflows/{id}/schema`,
      tag: "Workflows",
      summary: "Show what a workflow takes and gives",
      auth: "bearer",
      parameters: [{ name: "id", in: "path", description: "its id" }],
      responses: { "200": { description: "The schema", types: [JSON_TYPE] }, "default": DETAIL },
    },
    {
      method: "get",
      path: `${base}/tasks/{id}`,
      tag: "Workflows",
      summary: "Show how a run stands",
      auth: "bearer",
      parameters: [{ name: "id", in: "path", description: "the task_id of the run" }],
      responses: { "200": { description: "The run", types: [JSON_TYPE] }, "default": DETAIL },
    },
    ...(base === "" ? [] : [health]),
  ];
}

/** The table, with workflows beneath `/api` and beneath the workflow file's own base path. */
export function openapiRoutes(basePath: string): readonly Route[] {
  return [...FIXED, ...[...new Set(["/api", basePath])].flatMap(workflowRoutes)];
}

/** Who a turn belongs to: any of them, or the `session_id` that names all of them at once. */
const SESSION_FIELDS = {
  session_id: { type: "string" },
  user_id: { type: "string" },
  role_id: { type: "string" },
  group_id: { type: "string" },
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
  summary: string,
  fields: Readonly<Record<string, unknown>>,
): Route {
  return {
    method,
    path: `/memory/${name}`,
    tag: "Memory",
    summary,
    auth: "bearer",
    body: {
      schema: { type: "object", properties: { ...SESSION_FIELDS, ...fields } },
      example: { session_id: "s1" },
    },
    responses: { "200": ENVELOPE, "default": ENVELOPE },
  };
}

/** What is there whatever the workflow file says. */
const FIXED: readonly Route[] = [
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
  {
    method: "post",
    path: "/v1/response",
    tag: "Character chat",
    summary: "Answer a question in a session that is remembered",
    auth: "bearer",
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
      "200": { description: "Events of envelopes, or one envelope", types: [SSE_TYPE, JSON_TYPE] },
      "default": ENVELOPE,
    },
  },
  memoryRoute("post", "apply", "Prepare the messages of a turn", {
    role_prompt: { type: "string" },
    query: { type: "string" },
  }),
  memoryRoute("post", "upload", "Keep messages", { messages: { type: "array" } }),
  memoryRoute("post", "messages", "Show what a session remembers", {}),
  memoryRoute("post", "query", "Ask what a session remembers", {}),
  memoryRoute("delete", "delete", "Forget a session", {}),
  { ...TOKEN, method: "get" },
  { ...TOKEN, method: "post" },
  { ...EVENT, method: "get" },
  { ...EVENT, method: "post" },
  {
    method: "post",
    path: "/chat",
    tag: "Tokens and /chat",
    summary: "Answer a conversation in OpenAI's chunks",
    description:
      "The token never goes upstream. Its upstream is chat.api_proxy, else llm.base_url.",
    auth: "token",
    body: CHAT_BODY,
    responses: {
      "200": CHAT_ANSWER,
      "403": { description: "No valid token: no body" },
      "502": { description: "The upstream cannot be reached: no body" },
      "default": OPENAI_ERROR,
    },
  },
  {
    method: "get",
    path: "/conv",
    tag: "/conv",
    summary: "List conversations, or show where one stands",
    auth: "token",
    parameters: [
      CHAT_TYPE,
      { name: "offset", in: "query", description: "of the list", example: "0" },
      { name: "limit", in: "query", description: "of the list: 5 unless given", example: "1" },
    ],
    responses: {
      "200": {
        description: "The list; or current_node, title and update_time of one",
        types: [JSON_TYPE],
      },
      ...CONV_REFUSALS,
    },
  },
  {
    method: "post",
    path: "/conv",
    tag: "/conv",
    summary: "Say something in a conversation",
    description: "Each event carries the whole text so far in message.content.parts[0].",
    auth: "token",
    parameters: [{ ...CHAT_TYPE, example: "conversation" }],
    body: { schema: CONV_BODY, example: { content: "Hello" } },
    responses: {
      "200": { description: "Events, the last of which is [DONE]", types: [SSE_TYPE] },
      ...CONV_REFUSALS,
      "409": { description: "The conversation is being answered: no body" },
    },
  },
  { ...CONV_PASSED, method: "patch", summary: "Pass a change to the upstream" },
  { ...CONV_PASSED, method: "put", summary: "Pass a change to the upstream" },
  { ...CONV_PASSED, method: "delete", summary: "Pass a removal to the upstream" },
  {
    method: "get",
    path: "/health",
    tag: "Operation",
    summary: "Is this process ready for traffic?",
    auth: "none",
    responses: {
      "200": { description: "Yes; OK as plain text on request", types: [JSON_TYPE, TEXT_TYPE] },
      "503": { description: "It is starting, or it is draining", types: [JSON_TYPE, TEXT_TYPE] },
    },
  },
  {
    method: "get",
    path: "/metrics",
    tag: "Operation",
    summary: "What weir counts, for Prometheus; not here when ops.metrics_port is set",
    auth: "token",
    responses: {
      "200": { description: "Prometheus' text format, version 0.0.4", types: [TEXT_TYPE] },
      "401": { description: "No valid bearer token", types: [JSON_TYPE] },
    },
  },
  {
    method: "get",
    path: "/",
    tag: "Operation",
    summary: "The web page: workflows and a chat playground",
    auth: "none",
    responses: { "200": { description: "The page", types: ["text/html"] } },
  },
  {
    method: "get",
    path: "/ui/{file}",
    tag: "Operation",
    summary: "A file of the web page",
    auth: "none",
    parameters: [{ name: "file", in: "path", description: "its name" }],
    responses: {
      "200": { description: "The file", types: ["text/javascript", "text/css"] },
      "404": { description: "There is no such file", types: [JSON_TYPE] },
    },
  },
  {
    method: "get",
    path: "/openapi.json",
    tag: "Operation",
    summary: "This document",
    auth: "none",
    responses: { "200": { description: "OpenAPI 3.1", types: [JSON_TYPE] } },
  },
  {
    method: "get",
    path: "/docs",
    tag: "Operation",
    summary: "This page",
    auth: "none",
    responses: { "200": { description: "The page", types: ["text/html"] } },
  },
  {
    method: "get",
    path: "/docs/{file}",
    tag: "Operation",
    summary: "A file of this page",
    auth: "none",
    parameters: [{ name: "file", in: "path", description: "its name", example: "start.js" }],
    responses: {
      "200": { description: "The file", types: ["text/javascript", "text/css", TEXT_TYPE] },
      "404": { description: "There is no such file", types: [TEXT_TYPE] },
    },
  },
  {
    method: "get",
    path: "/redoc",
    tag: "Operation",
    summary: "Go to /docs",
    auth: "none",
    responses: { "307": { description: "To /docs" } },
  },
];
