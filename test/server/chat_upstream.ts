/**
 * An upstream that knows the chat API alone, and always says the same.
 *
 * @module
 */

import { tellUpstream, type ToldUpstream } from "./told_upstream.ts";

/** What it says. */
export const SAID = "晴 🌊 21°, nice and warm";

/** Starts it. Every URL but that of chat completions is 404. */
export function chatOnlyUpstream(): ToldUpstream {
  const deltas = (SAID.match(/.{1,4}/gu) ?? []).map((content) => ({ content }));
  return tellUpstream(({ path }) =>
    path === "/v1/chat/completions"
      ? new Response(answer(deltas, "stop"), { headers: { "content-type": "text/event-stream" } })
      : Response.json({ error: { message: "no such URL" } }, { status: 404 })
  );
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
