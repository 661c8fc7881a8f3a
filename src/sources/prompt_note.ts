/**
 * Notes what clients ask, for `ops.log_prompts`: takes a source and gives one that also remembers
 * the beginning of the last thing a user said. Without that setting nobody makes one.
 *
 * @module
 */

import { type Message, type Source, textOf } from "../core/answer.ts";

/** Characters of a prompt in a line, in UTF-16 units. */
const PROMPT_CHARS_MAX = 500;
/** Bodies above this are not parsed just for a line. */
const BODY_BYTES_MAX = 1024 * 1024;

/** `source`, with the prompts of its turns noted in their exchanges. */
export function notePrompts(source: Source): Source {
  const noted: Source = {
    name: source.name,
    answer(turn, exchange) {
      exchange.promptText = promptOf(turn.messages);
      return source.answer(turn, exchange);
    },
  };
  if (source.pass === undefined) return noted;
  return {
    ...noted,
    pass(wire, exchange) {
      exchange.promptText = promptOf(messagesIn(wire.body));
      return source.pass!(wire, exchange);
    },
  };
}

/** The last message of a user, shortened. */
function promptOf(messages: readonly Message[]): string {
  const last = messages.findLast(({ role }) => role === "user");
  const text = last === undefined ? "" : textOf(last.content);
  return text.length > PROMPT_CHARS_MAX
    ? `${text.slice(0, PROMPT_CHARS_MAX).toWellFormed()}…`
    : text.toWellFormed();
}

/** The messages of a body that is not weir's to check: what cannot be read is left to the upstream. */
function messagesIn(body: Uint8Array | null): readonly Message[] {
  if (body === null || body.length > BODY_BYTES_MAX) return [];
  try {
    const { messages } = JSON.parse(new TextDecoder().decode(body)) as {
      readonly messages?: unknown;
    };
    return Array.isArray(messages) ? messages.filter(isMessage) : [];
  } catch {
    return [];
  }
}

function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && "role" in value;
}
