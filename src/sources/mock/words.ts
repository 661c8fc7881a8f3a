/**
 * A text in the pieces that it is streamed in.
 *
 * @module
 */

/** A word, or one character of a script that is written without blanks. */
const WORD = String.raw`(?:[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]\p{P}*|` +
  String.raw`[^\s\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]+)`;

/**
 * The blank before a word is its own, a line break is of the word before, and what is left at the
 * end stands alone: as the tokens of OpenAI's models (docs/facts/openai_api.md "Pieces of text").
 */
const BLANK_BEFORE = new RegExp(String.raw`\s*${WORD}(?:\s*[\r\n])?|\s+$`, "gu");
const BLANK_AFTER = new RegExp(String.raw`\s*${WORD}\s*|^\s+$`, "gu");

/**
 * `text` in the words that are streamed, each with the blank before it, or after. Joined they are
 * `text`.
 */
export function words(text: string, blank: "before" | "after"): readonly string[] {
  return text.match(blank === "before" ? BLANK_BEFORE : BLANK_AFTER) ?? [];
}
