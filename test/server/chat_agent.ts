/**
 * An upstream that knows the chat API alone, and answers as a model in a tool loop does: it calls
 * the first tool, and says something once it has a result.
 *
 * @module
 */

import { tellUpstream, type ToldUpstream } from "./told_upstream.ts";

/** What it calls a tool with, and what it says of a schema: valid for `{city, degrees}`. */
export const CALLED = { city: "杭州" };
export const STRUCTURED = { city: "杭州", degrees: 21 };
export const SAID = "晴 🌊 21°, nice and warm";

interface ChatBody {
  readonly stream?: boolean;
  readonly messages: readonly { readonly role: string }[];
  readonly tools?: readonly { readonly function: { readonly name: string } }[];
  readonly tool_choice?: unknown;
  readonly response_format?: { readonly type: string };
}

/** Starts it. Every URL but that of chat completions is 404. */
export function chatAgent(): ToldUpstream {
  return tellUpstream(({ path, body }) =>
    path === "/v1/chat/completions"
      ? new Response(streamOf(JSON.parse(body)), {
        headers: { "content-type": "text/event-stream" },
      })
      : Response.json({ error: { message: "no such URL" } }, { status: 404 })
  );
}

function streamOf({ messages, tools, tool_choice, response_format }: ChatBody): string {
  const hasResult = messages.at(-1)!.role === "tool";
  if (tools !== undefined && !hasResult && tool_choice !== "none") {
    const { name } = tools[0]!.function;
    const json = JSON.stringify(CALLED);
    return answer([
      {
        tool_calls: [{
          index: 0,
          id: "call_1",
          type: "function",
          function: { name, arguments: "" },
        }],
      },
      { tool_calls: [{ index: 0, function: { arguments: json.slice(0, 5) } }] },
      { tool_calls: [{ index: 0, function: { arguments: json.slice(5) } }] },
    ], "tool_calls");
  }
  const text = response_format?.type === "json_schema" ? JSON.stringify(STRUCTURED) : SAID;
  return answer((text.match(/.{1,4}/gu) ?? []).map((content) => ({ content })), "stop");
}

/** Events that say `deltas`. */
export function answer(deltas: readonly object[], reason: string): string {
  const usage = { prompt_tokens: 9, completion_tokens: 7, total_tokens: 16 };
  return [
    ...deltas.map((delta) => ({ choices: [{ index: 0, delta, finish_reason: null }] })),
    { choices: [{ index: 0, delta: {}, finish_reason: reason }] },
    { choices: [], usage },
  ].map((chunk) =>
    `data: ${
      JSON.stringify({
        id: "chatcmpl-1",
        object: "chat.completion.chunk",
        created: 1_700_000_000,
        model: "agent",
        ...chunk,
      })
    }\n\n`
  ).join("") + "data: [DONE]\n\n";
}
