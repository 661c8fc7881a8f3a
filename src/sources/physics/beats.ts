/**
 * What an answer says, beat by beat: everything that leaves at one time, and the tokens that are made
 * for it. A model thinks between its first beat and its text.
 *
 * @module
 */

import type { Usage } from "../../core/answer.ts";
import type { Gaps } from "./draw.ts";
import type { Pieces } from "./pieces.ts";

/** One beat. */
export interface Beat {
  readonly kind: "first" | "thought" | "event";
  /** Steps of the script that are said when it is over. */
  readonly stepEnd: number;
  /** Tokens that it takes; of the first one, whose time is drawn as a whole, 1. */
  readonly tokens: number;
}

/** The beats of `pieces`, of which at least one says something. */
export function beatsOf({ script, tokens }: Pieces, thoughtTokens: number): readonly Beat[] {
  const count = tokens.length;
  const beats: Beat[] = [];
  const wordsEnd = script.steps.findIndex((step) =>
    !(step.kind === "delta" && step.block === "reasoning") && step.kind !== "redacted"
  );
  let shown = 0;
  for (let i = 0; i < wordsEnd; i++) shown += tokens[i]!;
  let unseen = Math.max(0, thoughtTokens - shown);
  /** The first step from `from` on that takes a token, or has to wait for a thought. */
  const silentEnd = (from: number) => {
    let at = from;
    while (at < count && tokens[at] === 0 && !(unseen > 0 && at === wordsEnd)) at++;
    return at;
  };
  let at = silentEnd(0);
  const beginsWithThought = unseen > 0 && at === wordsEnd;
  if (!beginsWithThought && at < count) at = silentEnd(at + 1);
  beats.push({ kind: "first", stepEnd: at, tokens: 1 });
  while (at < count) {
    if (unseen > 0 && at === wordsEnd) {
      const thought = unseen;
      unseen = 0;
      at = silentEnd(at);
      beats.push({ kind: "thought", stepEnd: at, tokens: thought });
      continue;
    }
    const made = tokens[at]!;
    at = silentEnd(at + 1);
    beats.push({ kind: "event", stepEnd: at, tokens: made });
  }
  return beats;
}

/** Tokens behind the first beat. */
export function laterTokens(beats: readonly Beat[]): number {
  return beats.reduce((sum, { kind, tokens }) => sum + (kind === "first" ? 0 : tokens), 0);
}

/** Tokens of reasoning, as an answer or its usage has them. */
export function thoughtTokensOf(
  { usage, thoughtTokens = 0 }: { readonly usage?: Usage; readonly thoughtTokens?: number },
): number {
  return Math.max(thoughtTokens, usage?.reasoningTokens ?? 0);
}

/** When each step is due, with the first beat at `firstMs`. */
export function dueOf(
  beats: readonly Beat[],
  stepCount: number,
  firstMs: number,
  gaps: Gaps,
): Float64Array {
  const dueMs = new Float64Array(stepCount);
  let atMs = firstMs;
  let from = 0;
  for (const { kind, stepEnd, tokens } of beats) {
    if (kind === "thought") atMs += gaps.thought(tokens);
    if (kind === "event") {
      atMs += gaps.pause();
      for (let i = 0; i < tokens; i++) atMs += gaps.token();
    }
    dueMs.fill(atMs, from, stepEnd);
    from = stepEnd;
  }
  return dueMs;
}
