/**
 * A text as far as a turn lets it go.
 *
 * @module
 */

import type { EndReason } from "../../core/answer.ts";
import type { Counter } from "./counter.ts";

/** As much of a text as is said, and why it ends there. */
export interface Fit {
  readonly text: string;
  readonly reason: EndReason;
  /** The text of `stop` that ended it; undefined = none did. */
  readonly stopSequence: string | undefined;
}

/** `text` as far as `stop` and `tokensMax` let it go: whichever comes first. */
export function fit(
  text: string,
  stop: readonly string[],
  tokensMax: number | undefined,
  counter: Counter,
): Fit {
  let end = text.length;
  let stopSequence: string | undefined;
  for (const sequence of stop) {
    const at = text.indexOf(sequence);
    if (at < 0 || at >= end) continue;
    end = at;
    stopSequence = sequence;
  }
  const said = text.slice(0, end);
  if (tokensMax === undefined) return { text: said, reason: "stop", stopSequence };
  const cut = counter.cut(said, tokensMax);
  if (cut.isCut) return { text: cut.text, reason: "length", stopSequence: undefined };
  return { text: said, reason: "stop", stopSequence };
}
