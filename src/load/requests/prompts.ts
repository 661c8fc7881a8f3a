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

/** Common words, each a token of o200k and of cl100k, with a space before it and without. */
const WORDS = ("time year people way day man thing woman life child world school state family " +
  "student group country problem hand part place case week company system program question work " +
  "government number night point home water room mother area money story fact month lot right " +
  "study book eye job word business issue side kind head house service friend father power hour " +
  "game line end member law car city community name team minute idea kid body").split(
    " ",
  );

/** How often a text is made longer before its length is taken as it is. */
const TRIES = 4;

/** A prompt, and how many tokens it has. */
export interface Prompt {
  readonly text: string;
  readonly tokens: number;
}

/**
 * A prompt of `tokens` tokens, another one for other numbers by chance. It is made while others are
 * measured: where each word is a token, nothing is counted.
 */
export function promptOf(tokens: number, random: () => number, cutter: TokenCutter): Prompt {
  const pick = () => WORDS[Math.floor(random() * WORDS.length)]!;
  if (isPlain(cutter)) {
    return { text: Array.from({ length: tokens }, pick).join(" "), tokens };
  }
  let words = Array.from({ length: Math.max(1, tokens) }, pick);
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const text = words.join(" ");
    const found = cutter.count(text);
    if (found >= tokens) return counted(cutter.cut(text, tokens).text, cutter);
    words = [...words, ...Array.from({ length: tokens - found }, pick)];
  }
  return counted(cutter.cut(words.join(" "), tokens).text, cutter);
}

/** The first `tokens` tokens of `text`, which is made of prompts with a space between. */
export function cutPrompt(text: string, tokens: number, cutter: TokenCutter): Prompt {
  if (!isPlain(cutter)) return counted(cutter.cut(text, tokens).text, cutter);
  const words = text.split(" ");
  return { text: words.slice(0, tokens).join(" "), tokens: Math.min(tokens, words.length) };
}

function counted(text: string, cutter: TokenCutter): Prompt {
  return { text, tokens: cutter.count(text) };
}

const plain = new WeakMap<TokenCutter, boolean>();

/** True where each word is a token, whether or not there is a space before it. */
function isPlain(cutter: TokenCutter): boolean {
  let found = plain.get(cutter);
  if (found === undefined) {
    found = cutter.count(WORDS.join(" ")) === WORDS.length &&
      WORDS.every((word) => cutter.count(word) === 1);
    plain.set(cutter, found);
  }
  return found;
}
