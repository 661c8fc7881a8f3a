/**
 * Asks an upstream for a turn: the body of `POST /chat/completions`, always streamed, so that there
 * is one way to read the answer.
 *
 * @module
 */

import type { Turn } from "../../core/turn.ts";

/** The body that asks for `turn`. What the client gave and weir does not know goes up as it is. */
export function writeRequest(
  { model, messages, tokensMax, stop, choiceCount, params }: Turn,
  asksUsage: boolean,
): string {
  return JSON.stringify({
    ...params,
    model,
    messages,
    ...(choiceCount === 1 ? {} : { n: choiceCount }),
    ...(tokensMax === undefined ? {} : { max_tokens: tokensMax }),
    ...(stop.length === 0 ? {} : { stop }),
    stream: true,
    ...(asksUsage ? { stream_options: { include_usage: true } } : {}),
  });
}
