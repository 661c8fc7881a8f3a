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
  web_search_call: "ws",
  file_search_call: "fs",
  code_interpreter_call: "ci",
  image_generation_call: "ig",
  computer_call: "cu",
  computer_call_output: "cuo",
  local_shell_call: "lsh",
  local_shell_call_output: "lsho",
  shell_call: "sh",
  shell_call_output: "sho",
  apply_patch_call: "apc",
  apply_patch_call_output: "apco",
  mcp_call: "mcp",
  mcp_list_tools: "mcpl",
  mcp_approval_request: "mcpr",
  mcp_approval_response: "mcpa",
  tool_search_call: "tsc",
  tool_search_output: "tso",
};

/** Items that are never under way, and have no status (OpenAI's schema). */
const STATELESS: ReadonlySet<string> = new Set([
  "reasoning",
  "compaction",
  "item_reference",
  "mcp_list_tools",
  "mcp_approval_request",
  "mcp_approval_response",
  "additional_tools",
]);

/** `item` as it is kept; `idOf` makes an id that begins with a prefix. It keeps one that it has. */
export function keptItem(item: JsonObject, idOf: (prefix: string) => string): KeptItem {
  const { id: own, type: named, role, content, ...rest } = item;
  const type = String(named ?? (role === undefined ? "item_reference" : "message"));
  const id = typeof own === "string" && own !== ""
    ? own
    : idOf(Object.hasOwn(PREFIXES, type) ? PREFIXES[type]! : "msg");
  if (type !== "message") {
    return {
      id,
      type,
      ...(STATELESS.has(type) ? {} : { status: "completed" }),
      ...rest,
      ...(content === undefined ? {} : { content }),
      ...(role === undefined ? {} : { role }),
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
