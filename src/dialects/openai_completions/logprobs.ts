/**
 * `logprobs` as completions tell them (docs/facts/openai_endpoints.md "Answer of completions").
 *
 * @module
 */

import type { TokenLogprob } from "../../core/answer.ts";

/**
 * How likely each of `tokens` was. Their text begins `offset` characters behind the beginning of the
 * prompt. `count`: how many likely tokens are told, at the most. `isFirst`: nothing stands before the
 * first token, so nobody can say how likely it was.
 */
export function logprobsObject(
  tokens: readonly TokenLogprob[],
  offset: number,
  count: number,
  isFirst = false,
) {
  let at = offset;
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logprob }, i) => isFirst && i === 0 ? null : logprob),
    top_logprobs: count === 0
      ? null
      : tokens.map(({ token, logprob, top }, i) =>
        isFirst && i === 0 ? null : {
          ...Object.fromEntries(top.slice(0, count).map((other) => [other.token, other.logprob])),
          [token]: logprob,
        }
      ),
    text_offset: tokens.map(({ token }) => {
      const from = at;
      at += charsOf(token);
      return from;
    }),
  };
}

/** Characters of `text`, as the API counts them: each pair of UTF-16 is one. */
export function charsOf(text: string): number {
  let count = text.length;
  for (let i = 1; i < text.length; i++) {
    if ((text.charCodeAt(i) & 0xfc00) === 0xdc00 && (text.charCodeAt(i - 1) & 0xfc00) === 0xd800) {
      count--;
    }
  }
  return count;
}
