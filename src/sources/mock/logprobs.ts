/**
 * How likely the tokens of an answer were: made up, plausible, and the same for the same answer.
 *
 * @module
 */

import type { TokenLogprob } from "../../core/answer.ts";
import { chooser, hashOf } from "./choose.ts";

/** What else a model might say: more than the 20 that may be asked for. */
const OTHERS: readonly string[] = [
  ...[" the", ",", ".", " a", " and", " of", " to", " in", " is", " it", "The", "I"],
  ...["\n", " that", " for", " on", "!", " with", "?", " you", " as", " this", ":", " be"],
];

/** Chances are told in so many parts. */
const PARTS = 1_000_000;

/**
 * How likely `token` was at the place `index`, and the `topCount` likeliest there, itself first.
 * All chances together stay below 1.
 */
export function logprobOf(token: string, index: number, topCount: number): TokenLogprob {
  const choose = chooser(hashOf(`${index} ${token}`));
  const own = 0.6 + 0.399 * choose(PARTS) / PARTS;
  const top = [{ token, logprob: logOf(own) }];
  let rest = 1 - own;
  const from = choose(OTHERS.length);
  for (let i = 0; top.length < topCount; i++) {
    const other = OTHERS[(from + i) % OTHERS.length]!;
    if (other === token) continue;
    const chance = rest * (0.4 + 0.2 * choose(PARTS) / PARTS);
    rest -= chance;
    top.push({ token: other, logprob: logOf(chance) });
  }
  return { token, logprob: top[0]!.logprob, top: top.slice(0, topCount) };
}

/** With eight digits behind the point, as the API tells it. */
function logOf(chance: number): number {
  return Number(Math.log(chance).toFixed(8));
}
