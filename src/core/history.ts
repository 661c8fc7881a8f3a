/**
 * How much of a conversation the model sees: the newest turns that fit.
 *
 * @module
 */

import type { StoredTurn } from "./memory.ts";

/** The limits of a history. 0 tokens = no limit; 0 turns = no history. */
export interface HistoryLimits {
  readonly turnsMax: number;
  readonly tokensMax: number;
}

/** Gives the number of tokens of a text. */
export type CountTokens = (text: string) => number;

/** No token of OpenAI's encodings is longer, in bytes of UTF-8. */
const BYTES_PER_TOKEN_MAX = 128;

/** Bytes of texts above which no history is within `limits`: more need not be read. */
export function historyBytesMax({ tokensMax }: HistoryLimits): number {
  return tokensMax === 0 ? Number.MAX_SAFE_INTEGER : tokensMax * BYTES_PER_TOKEN_MAX;
}

/** A token is one byte of UTF-8 at least, and a UTF-16 unit is three bytes at the most. */
const TOKENS_PER_UNIT_MAX = 3;

/**
 * The newest of `turns` (oldest first) that are within `limits`. The oldest are dropped first; a
 * turn is kept whole or dropped whole.
 *
 * Tokens are only counted when the length of the texts leaves a doubt: a count costs some 10 µs
 * per turn.
 */
export function trimHistory<T extends StoredTurn>(
  turns: readonly T[],
  { turnsMax, tokensMax }: HistoryLimits,
  countTokens: CountTokens,
): readonly T[] {
  const oldest = Math.max(0, turns.length - turnsMax);
  if (tokensMax === 0 || tokensAtMost(turns, oldest) <= tokensMax) {
    return oldest === 0 ? turns : turns.slice(oldest);
  }
  let tokens = 0;
  let from = turns.length;
  while (from > oldest) {
    const { query, answer } = turns[from - 1]!;
    tokens += countTokens(query) + countTokens(answer);
    if (tokens > tokensMax) break;
    from--;
  }
  return turns.slice(from);
}

function tokensAtMost(turns: readonly StoredTurn[], from: number): number {
  let units = 0;
  for (let i = from; i < turns.length; i++) {
    units += turns[i]!.query.length + turns[i]!.answer.length;
  }
  return units * TOKENS_PER_UNIT_MAX;
}
