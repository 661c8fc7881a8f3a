/**
 * Notes what clients ask, for `ops.log_prompts`: takes a source and gives one that also remembers
 * the beginning of the last thing a user said. Without that setting nobody makes one.
 *
 * @module
 */

import type { Ask, Source } from "../core/answer.ts";
import { type Message, textOf } from "../core/turn.ts";

/** Characters of a prompt in a line, in UTF-16 units. */
const PROMPT_CHARS_MAX = 500;
/** Bodies above this are not parsed just for a line. */
const BODY_BYTES_MAX = 1024 * 1024;

/** `source`, with the prompts of its turns noted at their calls. */
export function notePrompts(source: Source): Source {
  return {
    name: source.name,
    answer(ask, call) {
      call.promptText = promptOf(messagesOf(ask));
      return source.answer(ask, call);
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

/** The messages of a turn; none when it is no turn: that is left to whoever answers it. */
function messagesOf(ask: Ask): readonly Message[] {
  if ((ask.wire?.body?.length ?? 0) > BODY_BYTES_MAX) return [];
  try {
    return ask.turn().messages;
  } catch {
    return [];
  }
}
