/**
 * Whether the server's count of tokens can be true, and whether it fits what was said.
 *
 * @module
 */

import { KIND, type RequestRecord, TOKENS, type ToldUsage } from "./record.ts";

/** Tokens that are not in the answer can be so many, hidden reasoning, and a million a second more. */
const UNSEEN_MAX = 1_000_000;
const UNSEEN_MAX_PER_MS = 1000;
/** So many more tokens than bytes are the marks around what is said. */
const MARKS_MAX = 50;
/** No text has so many bytes a token, but one of blanks. */
const TOKEN_BYTES_MAX = 100;
/** A shorter text proves nothing. */
const TEXT_BYTES_MIN = 5000;

/** What of an answer its count is held against. */
export type Answer =
  & Pick<
    RequestRecord,
    "sentMs" | "endMs" | "bodyBytes" | "textBytes" | "isTextCut"
  >
  & {
    /** All kinds of all its events. */
    readonly kinds: number;
  };

/** `usage` without what cannot be: the very same where all of it can. Undefined = nothing is left. */
export function possible(usage: ToldUsage, answer: Answer): ToldUsage | undefined {
  const { promptTokens, completionTokens } = usage;
  const isOdd = completionTokens === 0
    ? (answer.kinds & TOKENS) !== 0
    : isImpossible(completionTokens, answer);
  if (!isOdd && Object.values(usage).every((count) => !(count < 0))) return usage;
  const left = Object.entries(usage).filter(([, count]) => count >= 0);
  const known = {
    ...Object.fromEntries(left),
    promptTokens: promptTokens < 0 ? NaN : promptTokens,
    completionTokens: isOdd || completionTokens < 0 ? NaN : completionTokens,
  };
  return Number.isNaN(known.promptTokens) && Number.isNaN(known.completionTokens)
    ? undefined
    : known;
}

/** Every token that is in the body has a byte of it. */
function isImpossible(tokens: number, { bodyBytes, sentMs, endMs }: Answer): boolean {
  return tokens - bodyBytes > Math.max(UNSEEN_MAX, UNSEEN_MAX_PER_MS * (endMs - sentMs));
}

/** True of a count that is possible, and is far from what was said and from the reasoning it tells. */
export function isFar(
  { completionTokens, reasoningTokens = 0 }: ToldUsage,
  answer: Answer,
): boolean {
  const { kinds, textBytes, bodyBytes, isTextCut } = answer;
  // Names of tools, and what is seen or heard, are no text.
  const isText = !isTextCut && (kinds & (KIND.tool | KIND.other)) === 0;
  const bytes = isText ? textBytes : bodyBytes;
  return completionTokens - reasoningTokens > bytes + MARKS_MAX ||
    (textBytes > TEXT_BYTES_MIN && completionTokens * TOKEN_BYTES_MAX < textBytes);
}
