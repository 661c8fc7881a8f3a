/**
 * What the live API wants of one parameter when another is given (docs/facts/openai_api.md
 * "Parameters that need each other", "Parts that a model does not take").
 *
 * A rule may meet a neighbour of any type: the neighbour's own fault is reported elsewhere.
 *
 * @module
 */

import { isObject, type JsonObject } from "../openai/check.ts";
import { familyOf, isOpenaiModel } from "../openai/families.ts";
import { echo, type Fault, refused, undeclared, under } from "../openai/faults.ts";
import { functionFault, strictFormatFault } from "../openai/strict_schema.ts";
import { checkAbilities } from "./messages.ts";

/** `value` is right for itself and may be null. The fault's path is relative to the parameter. */
export type JoinedRule = (value: unknown, body: JsonObject) => Fault | undefined;

/** parameter → its rule. */
export const JOINED_RULES: ReadonlyMap<string, JoinedRule> = new Map<string, JoinedRule>([
  ["messages", (value, body) => checkAbilities(value as readonly JsonObject[], body["model"])],
  ["function_call", checkFunctionCall],
  ["tools", checkTools],
  ["tool_choice", checkToolChoice],
  ["parallel_tool_calls", (_, body) => needsTools("parallel_tool_calls", body)],
  ["top_logprobs", (value, body) => needsTrue("top_logprobs", "logprobs", value, body)],
  ["stream_options", (value, body) => needsTrue("stream_options", "stream", value, body)],
  ["response_format", checkFormat],
  ["audio", checkAudio],
  ["web_search_options", checkSearch],
]);

/** What functions take is an object; strict ones are within what strict schemas may say. */
function checkTools(value: unknown): Fault | undefined {
  const tools = value as readonly JsonObject[];
  for (let i = 0; i < tools.length; i++) {
    const { type, function: declared } = tools[i]!;
    const fault = type === "function" ? functionFault(declared as JsonObject) : undefined;
    if (fault !== undefined) return under(`[${i}].function`, fault);
  }
  return undefined;
}

/** So is a strict schema of the answer. */
function checkFormat(value: unknown): Fault | undefined {
  const { type, json_schema: format } = value as JsonObject;
  return type === "json_schema" ? strictFormatFault(format as JsonObject) : undefined;
}

/** Sound is streamed as bare samples. */
function checkAudio(value: unknown, body: JsonObject): Fault | undefined {
  if (body["stream"] !== true || !isObject(value) || value["format"] === "pcm16") return undefined;
  const format = echo(String(value["format"]));
  const say = () =>
    `Unsupported value: 'audio.format' does not support '${format}' when stream=true. ` +
    "Supported values are: 'pcm16'.";
  return { code: "value_unsupported", path: ".format", say };
}

/** Few models search. */
function checkSearch(value: unknown, { model }: JsonObject): Fault | undefined {
  if (value === null || typeof model !== "string") return undefined;
  if (!isOpenaiModel(model) || familyOf(model).isSearching) return undefined;
  return refused("", "Web search options not supported with this model.");
}

function needsTrue(
  name: string,
  other: string,
  value: unknown,
  body: JsonObject,
): Fault | undefined {
  if (value === null || body[other] === true) return undefined;
  return refused("", `The '${name}' parameter is only allowed when '${other}' is enabled.`);
}

function needsTools(name: string, body: JsonObject): Fault | undefined {
  if (body["tools"] !== undefined) return undefined;
  return refused(
    "",
    `Invalid value for '${name}': '${name}' is only allowed when 'tools' are specified.`,
  );
}

function checkFunctionCall(value: unknown, body: JsonObject): Fault | undefined {
  if (!isObject(value)) return undefined;
  const name = value["name"] as string;
  return isNamed(name, body["functions"]) ? undefined : undeclared(
    "function_call",
    `function named '${echo(name)}'`,
    "functions",
  );
}

function checkToolChoice(value: unknown, body: JsonObject): Fault | undefined {
  const fault = needsTools("tool_choice", body);
  if (fault !== undefined || !isObject(value)) return fault;
  const chosen = value["function"];
  if (value["type"] !== "function" || !isObject(chosen)) return undefined;
  const name = chosen["name"] as string;
  const tools = body["tools"];
  const functions = Array.isArray(tools)
    ? tools.map((tool) => isObject(tool) ? tool["function"] : undefined)
    : [];
  return isNamed(name, functions) ? undefined : undeclared(
    "tool_choice",
    `function named '${echo(name)}'`,
    "tools",
  );
}

function isNamed(name: string, functions: unknown): boolean {
  if (!Array.isArray(functions)) return false;
  return functions.some((declared) => isObject(declared) && declared["name"] === name);
}
