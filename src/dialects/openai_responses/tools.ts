/**
 * Tools, their choice and the format of a text: as the Responses API spells them, as the chat API
 * does, and as an answer says them again.
 *
 * @module
 */

import { isObject, type JsonObject } from "../openai/check.ts";

/** What the chat API has no words for. */
type Unsaid = undefined;

/** A flat tool as the chat API spells it; undefined = it is none that a client runs by itself. */
export function chatTool(tool: unknown): JsonObject | Unsaid {
  if (!isObject(tool)) return undefined;
  const { type, name, description, parameters, strict, format } = tool;
  if (type === "function") {
    return {
      type,
      function: {
        name,
        ...present({ description, parameters, strict }),
      },
    };
  }
  if (type !== "custom") return undefined;
  const { type: kind, ...grammar } = isObject(format) ? format : {};
  return {
    type,
    custom: {
      name,
      ...present({ description }),
      ...(kind === undefined
        ? {}
        : { format: kind === "grammar" ? { type: kind, grammar } : { type: kind } }),
    },
  };
}

/** The fields of `value` that say something. */
function present(value: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(value).filter(([, field]) => field !== undefined && field !== null),
  );
}

/** What a request says of its tools. */
export interface Tooling {
  /** As the chat API spells them: those that may be called. */
  readonly tools: readonly JsonObject[];
  /** undefined = it does not say. */
  readonly choice: unknown;
}

/** `tools` and `tool_choice` of a request. Of `allowed_tools` only those are left that may be called. */
export function chatTooling(tools: unknown, choice: unknown): Tooling {
  const all = (Array.isArray(tools) ? tools : [])
    .map(chatTool).filter((tool) => tool !== undefined);
  if (!isObject(choice)) return { tools: all, choice: choice ?? undefined };
  const { type, name, mode, tools: allowed } = choice;
  if (type === "allowed_tools") {
    const names = new Set(
      (Array.isArray(allowed) ? allowed : []).map((tool) => isObject(tool) ? tool["name"] : tool),
    );
    return { tools: all.filter((tool) => names.has(nameOf(tool))), choice: mode };
  }
  // A tool that the API runs by itself is not called by any other.
  if (type !== "function" && type !== "custom") return { tools: all, choice: undefined };
  return { tools: all, choice: { type, [type]: { name } } };
}

/** The name of a tool in the chat API's spelling. */
function nameOf(tool: JsonObject): unknown {
  const called = tool["function"] ?? tool["custom"];
  return isObject(called) ? called["name"] : undefined;
}

/** `text.format` as the chat API's `response_format`; undefined = any text. */
export function chatFormat(format: unknown): JsonObject | undefined {
  if (!isObject(format) || format["type"] === "text") return undefined;
  const { type, name, schema, strict, description } = format;
  if (type !== "json_schema") return { type };
  return { type, json_schema: { name, schema, ...present({ strict, description }) } };
}

/** The custom tools among `tools`, by name. */
export function customToolsOf(tools: unknown): ReadonlySet<string> {
  const names = (Array.isArray(tools) ? tools : [])
    .filter((tool) => isObject(tool) && tool["type"] === "custom")
    .map((tool) => String((tool as JsonObject)["name"]));
  return names.length === 0 ? NO_NAMES : new Set(names);
}

const NO_NAMES: ReadonlySet<string> = new Set();

/** `tools` as an answer repeats them: with what they left out. */
export function echoedTools(tools: unknown): readonly unknown[] {
  if (!Array.isArray(tools)) return [];
  return tools.map((tool: unknown) => {
    if (!isObject(tool)) return tool;
    const { type, ...hosted } = tool;
    if (type === "web_search") return { type, ...WEB_SEARCH, ...hosted };
    if (type !== "function") return { type, ...hosted };
    const { name, description, parameters, strict, ...more } = hosted;
    return {
      type,
      description: description ?? null,
      name,
      output_schema: null,
      parameters: strict === false ? parameters ?? null : closed(parameters ?? null),
      strict: strict ?? true,
      ...more,
    };
  });
}

/** What a web search says unasked. */
const WEB_SEARCH = {
  filters: null,
  search_context_size: "medium",
  user_location: {
    type: "approximate",
    city: null,
    country: "US",
    region: null,
    timezone: null,
  },
};

/** A schema is made strict where nobody said that it is not: nothing else may stand in an object. */
function closed(schema: unknown): unknown {
  if (!isObject(schema) || schema["type"] !== "object") return schema;
  return "additionalProperties" in schema ? schema : { ...schema, additionalProperties: false };
}

/** `text.format` as an answer repeats it. */
export function echoedFormat(format: unknown): unknown {
  if (!isObject(format)) return { type: "text" };
  const { type, name, description, schema, strict } = format;
  if (type !== "json_schema") return { type };
  return { type, description: description ?? null, name, schema, strict: strict ?? false };
}
