/**
 * Asks an upstream for a turn: the body of `POST /responses`, always streamed and never stored there.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { Message, Turn } from "../../core/turn.ts";
import { isObject, type JsonObject } from "../openai/check.ts";
import { SAME_AS_CHAT } from "./rules.ts";

/** Parameters that both APIs spell alike. */
const SAME = [...SAME_AS_CHAT, "metadata"] as const;

/** Parameters of the chat API that decide what the answer is, and that the Responses API lacks. */
const UNSAID = ["logit_bias", "prediction", "web_search_options", "audio"] as const;

/** Those that change nothing when they are 0. */
const PENALTIES = ["presence_penalty", "frequency_penalty"] as const;

/**
 * The body that asks for `turn`.
 *
 * @throws {AppError} 400 when it wants what the Responses API cannot be asked for.
 */
export function writeRequest(turn: Turn): string {
  const { model, messages, tokensMax, params } = turn;
  refuseUnsaid(turn);
  const same = SAME.filter((key) => isPresent(params[key])).map((key) => [key, params[key]]);
  const { verbosity } = params;
  const format = flatFormat(params["response_format"]);
  const text = { ...format, ...(isPresent(verbosity) ? { verbosity } : {}) };
  const effort = params["reasoning_effort"];
  const reasoning = {
    ...(isPresent(effort) ? { effort } : {}),
    ...(turn.wantsReasoning ? { summary: "auto" } : {}),
  };
  return JSON.stringify({
    model,
    input: messages.flatMap(itemsOf),
    ...toolsOf(params),
    ...Object.fromEntries(same),
    ...(tokensMax === undefined ? {} : { max_output_tokens: tokensMax }),
    ...(Object.keys(text).length === 0 ? {} : { text }),
    ...(Object.keys(reasoning).length === 0 ? {} : { reasoning }),
    ...(params["logprobs"] === true
      ? { include: ["message.output_text.logprobs"], top_logprobs: params["top_logprobs"] ?? 0 }
      : {}),
    store: false,
    stream: true,
  });
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function refuseUnsaid({ choiceCount, stop, params }: Turn): void {
  if (choiceCount > 1) throw unsaid("n", "has one answer to a request");
  if (stop.length > 0) throw unsaid("stop", "has no stop sequences");
  for (const key of UNSAID) if (isPresent(params[key])) throw unsaid(key, `has no '${key}'`);
  for (const key of PENALTIES) if (params[key]) throw unsaid(key, `has no '${key}'`);
  const { modalities } = params;
  if (Array.isArray(modalities) && modalities.includes("audio")) {
    throw unsaid("modalities", "has no sound");
  }
}

function unsaid(param: string, why: string): AppError {
  return new AppError(
    "request_invalid",
    `'${param}' cannot be passed on: the upstream speaks OpenAI's Responses API, which ${why}. ` +
      `Leave it out, or add openai_chat to 'speaks' of an upstream that knows the chat API.`,
    { param },
  );
}

/** A message as items. */
function itemsOf(message: Message): readonly JsonObject[] {
  const { role, content, tool_calls, function_call, refusal } = message;
  if (role === "tool" || role === "function") {
    const id = message["tool_call_id"] ?? message["name"];
    return [{ type: "function_call_output", call_id: id, output: outputOf(content) }];
  }
  if (isPresent(message["audio"])) throw unsaid("audio", "has no sound of earlier answers");
  const isAssistant = role === "assistant";
  const parts = typeof content === "string" ? content : partsOf(content, isAssistant);
  const items: JsonObject[] = [];
  if (parts.length > 0) items.push({ type: "message", role, content: parts });
  if (typeof refusal === "string" && refusal !== "") {
    items.push({ type: "message", role, content: [{ type: "refusal", refusal }] });
  }
  for (const call of Array.isArray(tool_calls) ? tool_calls : []) items.push(callOf(call));
  if (isObject(function_call)) {
    items.push(callOf({ id: function_call["name"], function: function_call }));
  }
  return items;
}

function callOf(call: unknown): JsonObject {
  const { id, function: called, custom } = isObject(call) ? call : {};
  if (isObject(custom)) {
    return { type: "custom_tool_call", call_id: id, name: custom["name"], input: custom["input"] };
  }
  const { name, arguments: text } = isObject(called) ? called : {};
  return { type: "function_call", call_id: id, name, arguments: text };
}

function outputOf(content: unknown): unknown {
  return typeof content === "string" ? content : partsOf(content, false);
}

function partsOf(content: unknown, isAssistant: boolean): readonly unknown[] {
  return (Array.isArray(content) ? content : []).map((part: unknown) => {
    if (!isObject(part)) return part;
    switch (part["type"]) {
      case "text":
        return { type: isAssistant ? "output_text" : "input_text", text: part["text"] };
      case "image_url": {
        const { url, detail, file_id } = isObject(part["image_url"]) ? part["image_url"] : {};
        return {
          type: "input_image",
          ...(url === undefined ? { file_id } : { image_url: url }),
          ...(detail === undefined ? {} : { detail }),
        };
      }
      case "file":
        return { type: "input_file", ...(isObject(part["file"]) ? part["file"] : {}) };
      default:
        return part;
    }
  });
}

/** Tools without their inner object, the older `functions` among them. */
function toolsOf(params: Turn["params"]): JsonObject {
  const { tools, functions, tool_choice, function_call } = params;
  const flat = [
    ...(Array.isArray(tools) ? tools : []).map(flatTool),
    ...(Array.isArray(functions) ? functions : []).map((one) => ({
      type: "function",
      strict: false,
      ...one,
    })),
  ];
  if (flat.length === 0) return {};
  const choice = tool_choice ?? function_call;
  return {
    tools: flat,
    ...(isPresent(choice) ? { tool_choice: flatChoice(choice) } : {}),
    // An answer has one place for the older `function_call`.
    ...(isPresent(functions) && !isPresent(tools) ? { parallel_tool_calls: false } : {}),
  };
}

/** `strict` is false where the chat API takes that for granted. */
function flatTool(tool: unknown): unknown {
  if (!isObject(tool)) return tool;
  const { type, function: called, custom } = tool;
  if (isObject(custom)) {
    const { format, ...rest } = custom;
    const { type: kind, grammar } = isObject(format) ? format : {};
    return {
      type,
      ...rest,
      ...(kind === undefined
        ? {}
        : { format: { type: kind, ...(isObject(grammar) ? grammar : {}) } }),
    };
  }
  return isObject(called) ? { type: "function", strict: false, ...called } : tool;
}

function flatChoice(choice: unknown): unknown {
  if (!isObject(choice)) return choice;
  const { type, function: called, custom, name, allowed_tools: allowed } = choice;
  if (isObject(allowed)) {
    const { mode, tools } = allowed;
    const flat = (Array.isArray(tools) ? tools : []).map((tool) => flatChoice(tool));
    return { type, mode, tools: flat };
  }
  const named = isObject(called) ? called : isObject(custom) ? custom : { name };
  return { type: type ?? "function", name: named["name"] };
}

/** `response_format` as `format` of `text`. */
function flatFormat(format: unknown): JsonObject {
  if (!isObject(format)) return {};
  const { type, json_schema } = format;
  return { format: { type, ...(isObject(json_schema) ? json_schema : {}) } };
}
