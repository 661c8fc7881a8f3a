/**
 * Judges texts by lists of words, without a model.
 *
 * @module
 */

import { MODERATION_CATEGORIES, type ModerationCategory } from "../config/moderation.ts";
import type { Judgement } from "../dialects/openai/moderations.ts";

/** The words that flag a text, by category; `mock.moderation` of the config. */
export type WordLists = { readonly [category in ModerationCategory]?: readonly string[] };

/** A letter of a script that has blanks between its words: in the others no word has ends. */
const LETTER = String
  .raw`[[\p{L}\p{M}\p{N}]--[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]]`;
const WORDS = new RegExp(`${LETTER}+`, "gv");
const ONE_WORD = new RegExp(`^${LETTER}+$`, "v");
const LETTER_FIRST = new RegExp(`^${LETTER}`, "v");
const LETTER_LAST = new RegExp(`${LETTER}$`, "v");

/** Scores of what is flagged, and of what is harmless: powers of ten. */
const FLAGGED_SCORE_MIN = 0.9;
const HARMLESS_POWERS = { min: -7, max: -2.3 } as const;

/**
 * Makes the judge of `words`. They are found as whole words, in any case; in scripts without blanks
 * wherever they stand. A text is judged the same each time.
 */
export function moderator(words: WordLists): (text: string) => Judgement {
  const lists = MODERATION_CATEGORIES.map((name) => {
    const list = (words[name] ?? []).map(folded);
    return {
      name,
      words: list.filter((word) => ONE_WORD.test(word)),
      phrases: list.filter((word) => !ONE_WORD.test(word)),
    };
  });
  const hasWords = lists.some((list) => list.words.length > 0);
  return (text) => {
    const plain = folded(text);
    const said = new Set(hasWords ? plain.match(WORDS) : []);
    const flagged = lists.filter(({ words, phrases }) =>
      words.some((word) => said.has(word)) || phrases.some((phrase) => holds(plain, phrase))
    ).map(({ name }) => name);
    const hash = hashOf(plain, 0x811c_9dc5);
    const scores = Object.fromEntries(
      MODERATION_CATEGORIES.map((
        name,
      ) => [name, scoreOf(hashOf(name, hash), flagged.includes(name))]),
    ) as Judgement["scores"];
    return { isFlagged: flagged.length > 0, scores, flagged };
  };
}

function folded(text: string): string {
  return text.normalize("NFKC").toLowerCase();
}

/** Whether `phrase` stands in `text`, and not in the middle of a word. */
function holds(text: string, phrase: string): boolean {
  const [isOpen, isClosed] = [LETTER_FIRST.test(phrase), LETTER_LAST.test(phrase)];
  for (let at = text.indexOf(phrase); at >= 0; at = text.indexOf(phrase, at + 1)) {
    const end = at + phrase.length;
    const isInside = (isOpen && LETTER_LAST.test(text.slice(Math.max(0, at - 2), at))) ||
      (isClosed && LETTER_FIRST.test(text.slice(end, end + 2)));
    if (!isInside) return true;
  }
  return false;
}

function scoreOf(hash: number, isFlagged: boolean): number {
  const part = hash / 2 ** 32;
  if (isFlagged) return FLAGGED_SCORE_MIN + (1 - FLAGGED_SCORE_MIN) * part;
  const { min, max } = HARMLESS_POWERS;
  return 10 ** (min + (max - min) * part);
}

/** FNV-1a, and its bits mixed. */
function hashOf(text: string, seed: number): number {
  let hash = seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
