/**
 * What the mock needs of whoever counts tokens.
 *
 * @module
 */

import type { EncodingName } from "../byte_pairs.ts";
import type { TextCounter } from "../prompt_tokens.ts";

/** Counts and cuts in tokens, as one model does; `TokenCounter` is the real one. */
export interface Counter extends TextCounter {
  readonly encoding: EncodingName;
  count(text: string): number;
  cut(text: string, tokensMax: number): { readonly text: string; readonly isCut: boolean };
  /** `text` in its tokens, which joined are `text`; undefined = it is too long for that. */
  pieces(text: string): readonly string[] | undefined;
}

/** The counters of the models; `TokenCounters` is the real one. */
export interface Tokens {
  of(model: string): Counter;
  named(encoding: EncodingName): Counter;
}
