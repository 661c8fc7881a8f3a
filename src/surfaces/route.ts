/**
 * What a row of the table of routes says, and the OpenAPI 3.1 document of `/openapi.json` made of
 * it.
 *
 * @module
 */

import { z } from "zod";
import type { RowOpens } from "../core/keys.ts";
import type { Surface } from "../core/surface.ts";
import type { JsonSchema } from "../dialects/openai/check_schema.ts";

/** The media types of bodies. */
export const JSON_TYPE = "application/json";
export const SSE_TYPE = "text/event-stream";
export const TEXT_TYPE = "text/plain";

/** The systems, in the order of the page. */
export const TAGS = {
  "OpenAI API": "What an OpenAI client calls: chat completions, models, embeddings and more.",
  "Anthropic API": "What an Anthropic client calls: messages, and models with its version header.",
  "Character chat": "The streaming response service: one request with a memory.",
  "Memory": "The memory server that /v1/response uses, for other weirs and clients.",
  "Workflows": "model-compose workflows.",
  "/api/chat": 'Streams of {"content": …} events, as the FastAPI LLM service sends them.',
  "Tokens and /chat":
    "Time-limited tokens, timed events, OpenAI's chunks, as go-gpt-server has them.",
  "/conv": "Conversations in ChatGPT's own dialect, as go-gpt-server passes them.",
  "Fixtures": "Answers for tests, added while weir runs, and the requests that came.",
  "Operation": "Health, metrics, and these pages.",
} as const;

/** How a request is let in. */
export type RouteAuth =
  /** By everybody. */
  | "none"
  /** `Authorization: Bearer <auth.token>`, when that is set. */
  | "bearer"
  /** The same; without `auth.token`, from this machine alone. */
  | "admin"
  /** As "bearer", or `x-api-key: <auth.token>`. */
  | "apiKey"
  /** `Authorization: <token of /token>`, when `auth.secret_key` is set. */
  | "token";

/**
 * What a page of another site would gain here while no token is asked for. Such a page is turned away
 * from a row that holds state, and from one that asks a model once the answers cost weir's own key.
 */
export type RouteHolds =
  /** What everybody may know. */
  | "nothing"
  /** Answers of a model. */
  | "model"
  /** What others have said, or what runs for them. */
  | "state";

/** A parameter of the path, the query or the headers. All are texts. */
export interface RouteParameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly description: string;
  readonly isRequired?: boolean;
  readonly example?: string;
}

/** One kind of answer. */
export interface RouteResponse {
  readonly description: string;
  /** Media types it may have. None = it has no body. */
  readonly types?: readonly string[];
  readonly example?: unknown;
}

/** A page: what needs no driver, since it is no exchange. null = there is nothing here. */
export type Page = (
  request: Request,
  params: Readonly<Record<string, string>>,
) => Response | null | Promise<Response | null>;

/** One URL and method: mounted, documented, and refused from this. */
export interface Route {
  readonly method: "get" | "post" | "put" | "patch" | "delete";
  /** As OpenAPI spells it: "/v1/models/{id}". */
  readonly path: string;
  /** True: its last parameter takes the rest of the path, slashes included. */
  readonly isOpenEnded?: true;
  /** True: it takes what no other row takes, and no other method of a path that is weir's own. */
  readonly isRest?: true;
  readonly serve: Surface | Page;
  /** Serves clients of Anthropic's API, who say its version in every request; absent = as others. */
  readonly serveAnthropic?: Surface | undefined;
  /**
   * True: it may answer with a model's stream: the list of black-box tests over streams has it
   * (`test/server/streaming_surfaces.ts`).
   */
  readonly isStreaming?: true;
  readonly tag: keyof typeof TAGS;
  readonly summary: string;
  readonly description?: string;
  readonly auth: RouteAuth;
  readonly holds: RouteHolds;
  /**
   * Which keys open it: all, where weir knows what model is asked and what that says, or asks none;
   * absent = those without limits.
   */
  readonly opens?: Exclude<RowOpens, "unlimited">;
  readonly parameters?: readonly RouteParameter[];
  /** The schema that checks the body, and a body that works. */
  readonly body?: {
    readonly schema: z.ZodType | JsonSchema;
    readonly example: unknown;
    readonly type?: string;
  };
  /** By status: "200", "4XX", "default". */
  readonly responses: Readonly<Record<string, RouteResponse>>;
}

/** The document as a JSON value. */
export function openapiDocument(routes: readonly Route[], version: string): JsonSchema {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method] = operationOf(route);
  return {
    openapi: "3.1.0",
    info: {
      title: "weir",
      version,
      description: "Mocks the OpenAI streaming API, proxies it, and gives it a memory.",
      license: { name: "MIT", identifier: "MIT" },
    },
    // Relative, so that "try it" calls the server that the page came from.
    servers: [{ url: "/" }],
    tags: Object.entries(TAGS).filter(([name]) => routes.some(({ tag }) => tag === name))
      .map(([name, description]) => ({ name, description })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "auth.token" },
        apiKey: { type: "apiKey", in: "header", name: "x-api-key", description: "auth.token" },
        token: {
          type: "apiKey",
          in: "header",
          name: "Authorization",
          description: "A token of /token, without Bearer",
        },
      },
    },
  };
}

/** Each of them opens the door. */
const SCHEMES = {
  bearer: ["bearer"],
  admin: ["bearer"],
  apiKey: ["apiKey", "bearer"],
  token: ["token"],
} as const satisfies Record<Exclude<RouteAuth, "none">, readonly string[]>;

function operationOf(route: Route): JsonSchema {
  const { method, path, tag, summary, description, auth, parameters, body, responses } = route;
  return {
    operationId: `${method}${path.replaceAll(/[^A-Za-z0-9]+/g, "_")}`.replace(/_$/, ""),
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    security: auth === "none" ? [] : SCHEMES[auth].map((scheme) => ({ [scheme]: [] })),
    ...(parameters === undefined ? {} : { parameters: parameters.map(parameterOf) }),
    ...(body === undefined ? {} : {
      requestBody: {
        required: true,
        content: {
          [body.type ?? "application/json"]: {
            schema: schemaOf(body.schema),
            example: body.example,
          },
        },
      },
    }),
    responses: Object.fromEntries(
      Object.entries(responses).map(([status, response]) => [status, responseOf(response)]),
    ),
  };
}

function parameterOf({ isRequired, example, ...parameter }: RouteParameter): JsonSchema {
  return {
    ...parameter,
    required: isRequired === true || parameter.in === "path",
    schema: { type: "string" },
    ...(example === undefined ? {} : { example }),
  };
}

function responseOf({ description, types, example }: RouteResponse): JsonSchema {
  if (types === undefined) return { description };
  const media = example === undefined ? {} : { example };
  return { description, content: Object.fromEntries(types.map((type) => [type, media])) };
}

function schemaOf(schema: z.ZodType | JsonSchema): JsonSchema {
  if (!(schema instanceof z.ZodType)) return schema;
  const { $schema: _, ...plain } = z.toJSONSchema(schema, { io: "input" });
  return plain;
}
