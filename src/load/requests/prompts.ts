/**
 * Prompts of a wanted length in tokens.
 *
 * @module
 */

/** Counts tokens and cuts texts at them. */
export interface TokenCutter {
  count(text: string): number;
  cut(text: string, tokensMax: number): { readonly text: string };
}

/** Common words, so that a word is about a token. */
const WORDS = ("time year people way day man thing woman life child world school state family " +
  "student group country problem hand part place case week company system program question work " +
  "government number night point home water room mother area money story fact month lot right " +
  "study book eye job word business issue side kind head house service friend father power hour " +
  "game line end member law car city community name president team minute idea kid body").split(
    " ",
  );

/** How often a text is made longer before its length is taken as it is. */
const TRIES = 4;

/** A prompt of `tokens` tokens, another one for other numbers by chance. */
export function promptOf(tokens: number, random: () => number, cutter: TokenCutter): string {
  const pick = () => WORDS[Math.floor(random() * WORDS.length)]!;
  let words = Array.from({ length: Math.max(1, tokens) }, pick);
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const text = words.join(" ");
    const found = cutter.count(text);
    if (found >= tokens) return cutter.cut(text, tokens).text;
    words = [...words, ...Array.from({ length: tokens - found }, pick)];
  }
  return cutter.cut(words.join(" "), tokens).text;
}
