/**
 * How many tokens a request is taken for before it is answered (docs/facts/openai_api.md "Rate limits"):
 * an estimate from its characters, as the live API makes it.
 *
 * @module
 */

import { textOf, type Turn } from "../../core/turn.ts";

/** Characters of a token, roughly. */
const TOKEN_CHARS = 4;
/** Tokens that a conversation has besides its texts: recorded ones have 2 to 5 of them. */
const CONVERSATION_TOKENS = 2;

/** What a request is taken for: parts of tokens count, as recorded resets show. */
export interface Charge {
  /** Tokens of the question. */
  readonly input: number;
  /** The most tokens that the answer may have, as far as the request says it. */
  readonly output: number;
}

/** What `turn` is taken for. */
export function chargeOf(turn: Turn): Charge {
  const { prompts, tokensMax = 0, choiceCount, madeCount = choiceCount } = turn;
  return {
    input: prompts === undefined ? conversationTokens(turn) : promptTokens(prompts, turn),
    output: turn.isDefaultTokensMax ? 0 : tokensMax * madeCount,
  };
}

function conversationTokens({ messages }: Turn): number {
  let chars = 0;
  for (const { content } of messages) chars += textOf(content).length;
  return tokensOf(chars) + CONVERSATION_TOKENS;
}

function promptTokens(prompts: readonly string[], { promptCounts }: Turn): number {
  return prompts.reduce((sum, text, i) => sum + (promptCounts?.get(i) ?? tokensOf(text.length)), 0);
}

function tokensOf(chars: number): number {
  return chars / TOKEN_CHARS;
}

/** Tokens of the `input` of an endpoint that holds no conversation: texts, or tokens. */
export function inputTokens(input: unknown): number {
  if (typeof input === "string") return tokensOf(input.length);
  if (typeof input === "number") return 1;
  if (!Array.isArray(input)) return tokensOf(textOf([input]).length);
  return input.reduce<number>((sum, one) => sum + inputTokens(one), 0);
}
