/**
 * What the live API wants of one parameter when another is given (docs/facts/openai_api.md "Strict
 * schemas", "Parameters that need each other").
 *
 * @module
 */

import { isObject, type JsonObject } from "../openai/check.ts";
import { echo, type Fault, refused, undeclared, under } from "../openai/faults.ts";
import { functionFault, strictFormatFault } from "../openai/strict_schema.ts";

/** `value` is right for itself and may be null. The fault's path is relative to the parameter. */
export type JoinedRule = (value: unknown, body: JsonObject) => Fault | undefined;

/** parameter → its rule. */
export const JOINED_RULES: ReadonlyMap<string, JoinedRule> = new Map<string, JoinedRule>([
  ["tools", checkTools],
  ["tool_choice", checkToolChoice],
  ["text", checkText],
]);

/** Functions that say they are strict; those that say nothing are made so. */
function checkTools(value: unknown): Fault | undefined {
  for (const [i, tool] of toolsIn(value).entries()) {
    const fault = tool["type"] === "function" ? functionFault(tool) : undefined;
    if (fault !== undefined) return under(`[${i}]`, fault);
  }
  return undefined;
}

function checkText(value: unknown): Fault | undefined {
  const format = isObject(value) ? value["format"] : undefined;
  if (!isObject(format) || format["type"] !== "json_schema") return undefined;
  const fault = strictFormatFault(format);
  return fault === undefined ? undefined : under(".format.schema", fault);
}

/** What is chosen is declared. */
function checkToolChoice(value: unknown, body: JsonObject): Fault | undefined {
  const tools = toolsIn(body["tools"]);
  if (value === "required" && tools.length === 0) {
    return refused(
      "",
      "Invalid value for 'tool_choice': 'required' is only allowed when 'tools' are specified.",
    );
  }
  if (!isObject(value)) return undefined;
  const chosen = value["type"] === "allowed_tools" ? toolsIn(value["tools"]) : [value];
  for (const choice of chosen) {
    const what = wordsOf(choice);
    if (what === undefined || tools.some((tool) => wordsOf(tool) === what)) continue;
    return undeclared("tool_choice", what, "tools");
  }
  return undefined;
}

function toolsIn(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** Tools that the API runs by itself, by how their types begin: most have several versions. */
const HOSTED = [
  "file_search",
  "web_search",
  "computer",
  "image_generation",
  "code_interpreter",
  "mcp",
  "apply_patch",
  "shell",
] as const;

/** Which tool is meant, the same of a choice and of a declaration; undefined = of no known type. */
function wordsOf({ type, name }: JsonObject): string | undefined {
  if (type === "function") return `function named '${echo(String(name))}'`;
  if (type === "custom") return `custom tool named '${echo(String(name))}'`;
  const hosted = HOSTED.find((start) => String(type).startsWith(start));
  return hosted === undefined ? undefined : `tool of type '${hosted}'`;
}
