/**
 * What texts are cut into when they are streamed.
 *
 * @module
 */

import type { Ask } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { EncodingName } from "../byte_pairs.ts";
import type { Tokens } from "./counter.ts";
import type { Cutter } from "./script.ts";
import { words } from "./words.ts";

/** UTF-16 units of one answer, over all of its choices, and pieces of them: each becomes an event. */
const ANSWER_CHARS_MAX = 1_048_576;
export const ANSWER_PIECES_MAX = 65_536;

/** How a text is cut: into words, or into tokens, told by the name of their encoding. */
export type Cutting = "blank before" | "blank after" | EncodingName;

/** How an answer to `ask` is cut, where `mock.chunks` says `chunks`. */
export function cuttingOf(
  { cutsAfterBlank }: Ask,
  model: string,
  chunks: "word" | "token",
  tokens: Tokens,
): Cutting {
  if (cutsAfterBlank) return "blank after";
  return chunks === "word" ? "blank before" : tokens.of(model).encoding;
}

/** Cuts as `cutting` says it; tokens are those of `encoding`. */
export function cutterOf(cutting: Cutting, encoding: EncodingName, tokens: Tokens): Cutter {
  const inTokens = (encoding: EncodingName) => (text: string) => {
    const pieces = tokens.named(encoding).pieces(text);
    const isFew = pieces !== undefined && pieces.length <= ANSWER_PIECES_MAX;
    return isFew ? pieces : words(text, "before");
  };
  const pieces = cutting === "blank before" || cutting === "blank after"
    ? (text: string) => words(text, cutting === "blank before" ? "before" : "after")
    : inTokens(cutting);
  return { pieces, tokens: inTokens(encoding) };
}

/**
 * Before anything is made of it: 128 choices of a long text would fill the memory.
 *
 * @throws {AppError} `integer_too_large` when so many choices are too long together.
 */
export function checkChoices(chars: number, pieceCount: number, choiceCount: number): void {
  const choicesMax = Math.floor(
    Math.min(ANSWER_CHARS_MAX / chars, ANSWER_PIECES_MAX / pieceCount),
  );
  if (choiceCount <= choicesMax) return;
  throw new AppError(
    "integer_too_large",
    `Invalid 'n': integer above maximum value. Expected a value <= ${choicesMax}, but got ` +
      `${choiceCount} instead: so many choices of the mock's reply are too long together. Ask for ` +
      "fewer, or set 'max_completion_tokens'.",
    { param: "n" },
  );
}
