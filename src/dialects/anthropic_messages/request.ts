/**
 * The body of `POST /v1/messages`, read into a turn (docs/facts/anthropic.md "Request"). Fields that
 * it does not know are accepted: every beta brings some.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Turn } from "../../core/turn.ts";
import { checkFields, type Fields, isObject, type JsonObject } from "../openai/check.ts";
import { brokenJson, errorOf, invalid, noThreads } from "./errors.ts";
import { chatMessages } from "./messages.ts";
import { COUNT_FIELDS, MESSAGES_FIELDS } from "./rules.ts";

/** What is shown of how the model reasons: words, that there was some, or nothing. */
export type Thinking = "words" | "omitted" | "none";

/** A turn, and what only this dialect knows. */
export interface MessagesRequest extends Turn {
  readonly thinking: Thinking;
}

/**
 * The turn in `body`, a parsed JSON value. `wantsUsage` is true: every answer tells it.
 *
 * @throws {AppError} 400 with what is wrong with it, in Anthropic's words.
 */
export function parseMessagesRequest(body: unknown): MessagesRequest {
  return turnOf(body, MESSAGES_FIELDS);
}

/**
 * The turn in the body of `POST /v1/messages/count_tokens`, which is no stream.
 *
 * @throws {AppError} 400 with what is wrong with it, in Anthropic's words.
 */
export function parseCountRequest(body: unknown): MessagesRequest {
  return { ...turnOf(body, COUNT_FIELDS), isStream: false };
}

function turnOf(body: unknown, fields: Fields): MessagesRequest {
  if (!isObject(body)) throw brokenJson();
  const fault = checkFields(body, fields, "live");
  if (fault !== undefined) throw errorOf({ ...fault, path: fault.path.slice(1) });
  const model = body["model"] as string;
  if (model === "") throw invalid("model", "String should have at least 1 character");
  // What stands in such a request is not all of its conversation.
  if (body["thread"] !== undefined && body["thread"] !== null) throw noThreads();
  const messages = chatMessages(body["system"], body["messages"] as readonly JsonObject[]);
  checkWhole(body);
  const thinking = (body["thinking"] ?? { type: "disabled" }) as JsonObject;
  const shown = thinking["type"] === "disabled"
    ? "none"
    : thinking["display"] === "omitted"
    ? "omitted"
    : "words";
  const tokensMax = body["max_tokens"];
  return {
    model,
    messages,
    isStream: body["stream"] === true,
    wantsUsage: true,
    choiceCount: 1,
    tokensMax: typeof tokensMax === "number" ? tokensMax : undefined,
    wantsReasoning: shown === "words",
    thinking: shown,
    stop: (body["stop_sequences"] ?? []) as readonly string[],
    params: paramsOf(body, model, thinking),
    spelled: SPELLED,
  };
}

/** The rules that join fields. */
function checkWhole(body: JsonObject): void {
  const stop = (body["stop_sequences"] ?? []) as readonly string[];
  if (stop.some((text) => text.trim() === "")) {
    throw invalid("stop_sequences", "each stop sequence must contain non-whitespace");
  }
  const tools = (body["tools"] ?? []) as readonly JsonObject[];
  const names = tools.map(({ name }) => name).filter((name) => typeof name === "string");
  if (new Set(names).size < names.length) throw invalid("tools", "Tool names must be unique.");
  for (const [i, tool] of tools.entries()) {
    if (!isOwn(tool)) continue;
    for (const key of ["name", "input_schema"]) {
      if (tool[key] === undefined) throw invalid(`tools.${i}.custom.${key}`, "Field required");
    }
  }
  const choice = body["tool_choice"] as JsonObject | null | undefined;
  const forces = choice?.["type"] === "any" || choice?.["type"] === "tool";
  if (forces && tools.length === 0) {
    throw invalid("tool_choice", "may only be specified while providing `tools`.");
  }
  if (choice?.["type"] === "tool" && !names.includes(choice["name"] as string)) {
    throw invalid("", `Tool '${choice["name"]}' not found in provided tools`);
  }
  const thinking = body["thinking"] as JsonObject | null | undefined;
  const isThinking = thinking?.["type"] === "enabled";
  if (isThinking && forces) {
    throw invalid("", "Thinking may not be enabled when tool_choice forces tool use.");
  }
  const budget = thinking?.["budget_tokens"] as number;
  if (isThinking && typeof body["max_tokens"] === "number" && body["max_tokens"] <= budget) {
    throw invalid("", "`max_tokens` must be greater than `thinking.budget_tokens`.");
  }
}

/** A tool of the client's own. The others are Anthropic's, whose models know what they take. */
function isOwn({ type }: JsonObject): boolean {
  return type === undefined || type === null || type === "custom";
}

/** The rest in the chat API's spelling. */
function paramsOf(body: JsonObject, model: string, thinking: JsonObject): Turn["params"] {
  const params: Record<string, unknown> = Object.create(null);
  for (const name of ["temperature", "top_p", "top_k"]) {
    if (typeof body[name] === "number") params[name] = body[name];
  }
  const user = isObject(body["metadata"]) ? body["metadata"]["user_id"] : undefined;
  if (typeof user === "string" && user !== "") params["user"] = userOf(user);
  const tools = ((body["tools"] ?? []) as readonly JsonObject[]).filter(isOwn);
  if (tools.length > 0) {
    params["tools"] = tools.map(functionOf);
    addChoice(params, body["tool_choice"], tools);
  }
  const config = body["output_config"] as JsonObject | null | undefined;
  const format = (config?.["format"] ?? body["output_format"]) as JsonObject | null | undefined;
  if (format) {
    const schema = format["schema"];
    params["response_format"] = {
      type: "json_schema",
      json_schema: { name: "answer", schema, ...(isStrict(schema) ? { strict: true } : {}) },
    };
  }
  const effort = effortOf(thinking, config?.["effort"]);
  if (effort !== undefined && TAKES_EFFORT.test(model)) params["reasoning_effort"] = effort;
  return params;
}

/** OpenAI takes so many characters for who asks; Claude Code says more. */
const USER_CHARS_MAX = 64;

/** Who asks, told apart by the hash of a long name. */
function userOf(name: string): string {
  return name.length <= USER_CHARS_MAX ? name : createHash("sha256").update(name).digest("hex");
}

function functionOf({ name, description, input_schema, strict }: JsonObject) {
  return {
    type: "function",
    function: {
      name,
      ...(description ? { description } : {}),
      parameters: input_schema,
      ...(strict === true ? { strict } : {}),
    },
  };
}

function addChoice(
  params: Record<string, unknown>,
  given: unknown,
  tools: readonly JsonObject[],
): void {
  if (!isObject(given)) return;
  const { type, name, disable_parallel_tool_use } = given;
  if (disable_parallel_tool_use === true) params["parallel_tool_calls"] = false;
  if (type === "any") params["tool_choice"] = "required";
  else if (type !== "tool") params["tool_choice"] = type;
  else if (tools.some((tool) => tool["name"] === name)) {
    params["tool_choice"] = { type: "function", function: { name } };
  }
}

/** What this API has another name for. */
const SPELLED = { stop: "stop_sequences" };

/**
 * The models that take an effort: OpenAI's reasoning ones, and Claude itself, which the mock answers
 * for. To others a client's wish to think would be a fault.
 */
const TAKES_EFFORT = /^(?:ft:)?(?:o\d|gpt-(?:[5-9]|oss)|claude)/;

/** Budgets below these, in tokens, are an effort's. */
const LOW_TOKENS = 4096;
const MEDIUM_TOKENS = 16_384;

/** The chat API's word for how much is to be thought; undefined = as much as is usual. */
function effortOf({ type, budget_tokens }: JsonObject, effort: unknown): string | undefined {
  if (typeof effort === "string") return EFFORTS[effort] ?? effort;
  if (type !== "enabled") return undefined;
  const budget = budget_tokens as number;
  return budget < LOW_TOKENS ? "low" : budget < MEDIUM_TOKENS ? "medium" : "high";
}

/** Efforts that only some models of the chat API know. */
const EFFORTS: Readonly<Record<string, string>> = { xhigh: "high", max: "high" };

/**
 * True when OpenAI's strict mode takes `schema`: each object names all of its properties as required
 * and allows no others. Its depth is bounded.
 */
function isStrict(schema: unknown): boolean {
  if (Array.isArray(schema)) return schema.every(isStrict);
  if (!isObject(schema)) return true;
  const { properties, required, additionalProperties } = schema;
  if (isObject(properties)) {
    const names: readonly unknown[] = Array.isArray(required) ? required : [];
    const isClosed = additionalProperties === false &&
      Object.keys(properties).every((name) => names.includes(name));
    if (!isClosed) return false;
  }
  return Object.values(schema).every(isStrict);
}
