/**
 * Items as they are handed out again: each with an id, a status, and its content in parts
 * (docs/facts/openai_api.md "Responses: request").
 *
 * @module
 */

import type { JsonObject } from "../openai/check.ts";

/** An item with its id. */
export type KeptItem = JsonObject & { readonly id: string };

/** What the ids of items begin with, by their type; others are messages. */
const PREFIXES: Readonly<Record<string, string>> = {
  function_call: "fc",
  function_call_output: "fco",
  custom_tool_call: "ctc",
  custom_tool_call_output: "ctco",
  reasoning: "rs",
  compaction: "cmp",
};

/** `item` as it is kept; `idOf` makes an id that begins with a prefix. It keeps one that it has. */
export function keptItem(item: JsonObject, idOf: (prefix: string) => string): KeptItem {
  const { id: own, type = "message", role, content, ...rest } = item;
  const id = typeof own === "string" && own !== "" ? own : idOf(PREFIXES[String(type)] ?? "msg");
  if (type !== "message") {
    return {
      id,
      type,
      status: "completed",
      ...rest,
      ...(content === undefined ? {} : { content }),
    };
  }
  return { id, type, status: "completed", content: partsOf(role, content), role, ...rest };
}

function partsOf(role: unknown, content: unknown): unknown {
  if (typeof content !== "string") return content ?? [];
  return role === "assistant"
    ? [{ type: "output_text", annotations: [], logprobs: [], text: content }]
    : [{ type: "input_text", text: content }];
}
