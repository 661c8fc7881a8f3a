/**
 * The rows of what is kept between requests: responses, conversations, stored completions.
 *
 * @module
 */

import type { Surface } from "../../core/surface.ts";
import { objectSchema } from "../../dialects/openai/check_schema.ts";
import { RESPONSE_RULES } from "../../dialects/openai_responses/rules.ts";
import { JSON_TYPE, type Route, type RouteHolds, type RouteParameter, SSE_TYPE } from "../route.ts";
import type { Conversations } from "./conversations.ts";
import type { KeptResponses } from "./kept_responses.ts";
import { OPENAI_ERROR } from "./routes.ts";
import type { StoredCompletions } from "./stored_completions.ts";

/** The surfaces of all of them. */
export interface KeptSurfaces {
  readonly responses: KeptResponses["surfaces"];
  readonly conversations: Conversations["surfaces"];
  readonly completions: StoredCompletions["surfaces"];
}

type Row = Pick<Route, "method" | "path" | "summary"> & {
  readonly serve: Surface;
  readonly query?: readonly RouteParameter[];
  readonly body?: Route["body"];
  readonly streams?: true;
  /** Absent = "state". */
  readonly holds?: RouteHolds;
};

const EXAMPLES: Readonly<Record<string, string>> = {
  id: "resp_68e5",
  item: "msg_68e5",
};

function query(name: string, description: string): RouteParameter {
  return { name, in: "query", description };
}

const PAGE = [
  query("limit", "how many at most: 1 to 100, 20 unless said"),
  query("order", "asc or desc"),
  query("after", "the id behind which the page begins"),
];

const ANY_OBJECT = { type: "object" } as const;
const METADATA = {
  schema: { ...ANY_OBJECT, required: ["metadata"] },
  example: { metadata: { topic: "weir" } },
};
const ITEMS = [{ type: "message", role: "user", content: "Hello" }];
const ASKED = {
  schema: objectSchema(RESPONSE_RULES),
  example: { model: "gpt-4o", input: "Hello" },
};

/** Their rows. */
export function keptRoutes(
  { responses, conversations, completions }: KeptSurfaces,
): readonly Route[] {
  const rows: readonly Row[] = [
    {
      method: "get",
      path: "/v1/responses/{id}",
      serve: responses.get,
      summary: "Show a kept response",
      query: [
        query("stream", "true: its events, those to come when they are due"),
        query("starting_after", "only events with a higher sequence_number"),
        query("include_obfuscation", "false: events without their pad"),
      ],
      streams: true,
    },
    {
      method: "delete",
      path: "/v1/responses/{id}",
      serve: responses.remove,
      summary: "Forget a response",
    },
    {
      method: "post",
      path: "/v1/responses/{id}/cancel",
      serve: responses.cancel,
      summary: "Cancel a background response",
    },
    {
      method: "get",
      path: "/v1/responses/{id}/input_items",
      serve: responses.inputItems,
      summary: "List what a response was made from",
      query: PAGE,
    },
    {
      method: "post",
      path: "/v1/responses/input_tokens",
      serve: responses.inputTokens,
      summary: "Count what a request would cost",
      body: ASKED,
      holds: "model",
    },
    {
      method: "post",
      path: "/v1/responses/compact",
      serve: responses.compact,
      summary: "Compact a talk",
      body: ASKED,
      holds: "model",
    },
    {
      method: "post",
      path: "/v1/conversations",
      serve: conversations.create,
      summary: "Begin a conversation",
      body: { schema: ANY_OBJECT, example: { items: ITEMS } },
    },
    {
      method: "get",
      path: "/v1/conversations/{id}",
      serve: conversations.get,
      summary: "Show a conversation",
    },
    {
      method: "post",
      path: "/v1/conversations/{id}",
      serve: conversations.update,
      summary: "Change a conversation's metadata",
      body: METADATA,
    },
    {
      method: "delete",
      path: "/v1/conversations/{id}",
      serve: conversations.remove,
      summary: "Forget a conversation",
    },
    {
      method: "get",
      path: "/v1/conversations/{id}/items",
      serve: conversations.listItems,
      summary: "List a conversation's items",
      query: PAGE,
    },
    {
      method: "post",
      path: "/v1/conversations/{id}/items",
      serve: conversations.addItems,
      summary: "Add items to a conversation",
      body: {
        schema: { ...ANY_OBJECT, required: ["items"] },
        example: { items: ITEMS },
      },
    },
    {
      method: "get",
      path: "/v1/conversations/{id}/items/{item}",
      serve: conversations.getItem,
      summary: "Show an item of a conversation",
    },
    {
      method: "delete",
      path: "/v1/conversations/{id}/items/{item}",
      serve: conversations.removeItem,
      summary: "Take an item out of a conversation",
    },
    {
      method: "get",
      path: "/v1/chat/completions",
      serve: completions.list,
      summary: "List the stored completions",
      query: [
        query("model", "only those of this model"),
        query("metadata[key]", "only those with this value at key"),
        ...PAGE,
      ],
    },
    {
      method: "get",
      path: "/v1/chat/completions/{id}",
      serve: completions.get,
      summary: "Show a stored completion",
    },
    {
      method: "post",
      path: "/v1/chat/completions/{id}",
      serve: completions.update,
      summary: "Change a stored completion's metadata",
      body: METADATA,
    },
    {
      method: "delete",
      path: "/v1/chat/completions/{id}",
      serve: completions.remove,
      summary: "Forget a stored completion",
    },
    {
      method: "get",
      path: "/v1/chat/completions/{id}/messages",
      serve: completions.messages,
      summary: "List what a stored completion answers",
      query: PAGE,
    },
  ];
  return rows.map((
    { method, path, serve, summary, query = [], body, streams, holds = "state" },
  ) => ({
    method,
    path,
    serve,
    tag: "OpenAI API",
    summary,
    auth: "bearer",
    holds,
    parameters: [
      ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name]): RouteParameter => ({
        name: name!,
        in: "path",
        description: "its id",
        example: EXAMPLES[name!]!,
      })),
      ...query,
    ],
    ...(body === undefined ? {} : { body }),
    responses: {
      "200": {
        description: "What the API answers",
        types: streams ? [JSON_TYPE, SSE_TYPE] : [JSON_TYPE],
      },
      "default": OPENAI_ERROR,
    },
  }));
}
