/**
 * The rows of go-gpt-server: `/token`, `/event`, `/chat` and `/conv`.
 *
 * @module
 */

import { CONV_BODY } from "../../dialects/chatgpt_web/request.ts";
import {
  JSON_TYPE,
  type Route,
  type RouteParameter,
  type RouteResponse,
  SSE_TYPE,
  TEXT_TYPE,
} from "../route.ts";
import type { Surface } from "../../core/surface.ts";
import { CHAT_ANSWER, CHAT_BODY, OPENAI_ERROR } from "../openai/routes.ts";

const TOKEN: Omit<Route, "method" | "serve"> = {
  path: "/token",
  tag: "Tokens and /chat",
  summary: "Make a token for /chat and /conv",
  description: "It is signed with the key that is given: only auth.secret_key makes a valid one.",
  auth: "none",
  holds: "nothing",
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

const EVENT: Omit<Route, "method" | "serve"> = {
  path: "/event",
  tag: "Tokens and /chat",
  summary: "Two messages, two seconds apart, and a close event",
  auth: "none",
  holds: "nothing",
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

/**
 * What only an upstream (conv.unofficial_proxy) answers: weir's own conversations do not change.
 */
const CONV_PASSED: Pick<Route, "path" | "tag" | "auth" | "holds" | "parameters" | "responses"> = {
  path: "/conv",
  tag: "/conv",
  auth: "token",
  holds: "state",
  parameters: [CHAT_TYPE],
  responses: {
    "200": { description: "The upstream's answer" },
    ...CONV_REFUSALS,
    "405": { description: "There is no upstream", types: [JSON_TYPE] },
  },
};

/** The surfaces of that system. */
export interface GptServerSurfaces {
  readonly token: Surface;
  readonly event: Surface;
  readonly chat: Surface;
  readonly conv: Surface;
}

/** `/token`, `/event`, `/chat` and `/conv`. */
export function gptServerRoutes(surfaces: GptServerSurfaces): readonly Route[] {
  const { token, event, chat, conv } = surfaces;
  return [
    { ...TOKEN, method: "get", serve: token },
    { ...TOKEN, method: "post", serve: token },
    { ...EVENT, method: "get", serve: event },
    { ...EVENT, method: "post", serve: event },
    {
      method: "post",
      path: "/chat",
      serve: chat,
      isStreaming: true,
      tag: "Tokens and /chat",
      summary: "Answer a conversation in OpenAI's chunks",
      description:
        "The token never goes upstream. Its upstream is chat.api_proxy, else llm.base_url.",
      auth: "token",
      holds: "model",
      opens: "all",
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
      serve: conv,
      tag: "/conv",
      summary: "List conversations, or show where one stands",
      auth: "token",
      holds: "state",
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
      serve: conv,
      isStreaming: true,
      tag: "/conv",
      summary: "Say something in a conversation",
      description: "Each event carries the whole text so far in message.content.parts[0].",
      auth: "token",
      holds: "state",
      parameters: [{ ...CHAT_TYPE, example: "conversation" }],
      body: { schema: CONV_BODY, example: { content: "Hello" } },
      responses: {
        "200": { description: "Events, the last of which is [DONE]", types: [SSE_TYPE] },
        ...CONV_REFUSALS,
        "409": { description: "The conversation is being answered: no body" },
      },
    },
    { ...CONV_PASSED, serve: conv, method: "patch", summary: "Pass a change to the upstream" },
    { ...CONV_PASSED, serve: conv, method: "put", summary: "Pass a change to the upstream" },
    { ...CONV_PASSED, serve: conv, method: "delete", summary: "Pass a removal to the upstream" },
  ];
}
