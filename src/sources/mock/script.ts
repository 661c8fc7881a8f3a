/**
 * What a plan is, step by step.
 *
 * @module
 */

import type { Step, TimedStep, UrlCitation } from "../../core/answer.ts";
import { soundOf } from "./audio.ts";
import { logprobOf } from "./logprobs.ts";
import type { Plan } from "./plan.ts";

/** When things are said. */
export interface Pace {
  /** Milliseconds from the request to the first piece. */
  readonly first_token_ms: number;
  /** Milliseconds after each piece. */
  readonly delay_ms: number;
}

/** Cuts texts into the pieces that are streamed. */
export interface Cutter {
  /** As the config says it. */
  pieces(text: string): readonly string[];
  /** In tokens. */
  tokens(text: string): readonly string[];
}

/** Where the mock has found what it says. */
const SOURCE: Pick<UrlCitation, "url" | "title"> = {
  url: "https://example.com/",
  title: "Example Domain",
};

/** One thing that every choice says. */
interface Moment {
  readonly step: Exclude<Step, { readonly kind: "usage" }>;
  /** True: it takes no time. */
  readonly isSilent?: true;
}

/** Says `plan` in each of `choiceCount` choices, one piece for every choice at a time. */
export function stepsOf(plan: Plan, choiceCount: number, cutter: Cutter, pace: Pace): TimedStep[] {
  const steps: TimedStep[] = [];
  let nextMs = pace.first_token_ms;
  for (const { step, isSilent } of momentsOf(plan, choiceCount, cutter)) {
    for (let choice = 0; choice < choiceCount; choice++) {
      steps.push({ ...step, choice, afterMs: isSilent || choice > 0 ? 0 : nextMs });
    }
    if (!isSilent) nextMs = pace.delay_ms;
  }
  return steps;
}

function* momentsOf(plan: Plan, choiceCount: number, cutter: Cutter): Generator<Moment> {
  const { reasoning, calls, text, reason, stopSequence } = plan;
  const choice = 0;
  if (reasoning !== undefined) {
    if (reasoning === "") {
      yield { step: { kind: "delta", choice, block: "reasoning", text: "" }, isSilent: true };
    }
    for (const piece of cutter.pieces(reasoning)) {
      yield { step: { kind: "delta", choice, block: "reasoning", text: piece } };
    }
    yield { step: { kind: "signature", choice, text: "" }, isSilent: true };
  }
  yield* textMoments(plan, choiceCount, cutter);
  if (plan.isCited) {
    const citation = { ...SOURCE, startChars: 0, endChars: text.length };
    yield { step: { kind: "citation", choice, citation }, isSilent: true };
  }
  const parallel = calls.length > 1 ? { isParallel: true } as const : {};
  for (const [index, { name, kind, text }] of calls.entries()) {
    const tool = kind === undefined ? {} : { tool: kind };
    yield { step: { kind: "call", choice, index, id: "", name, ...tool, ...parallel } };
    for (const piece of cutter.tokens(text)) {
      yield { step: { kind: "arguments", choice, index, text: piece } };
    }
  }
  const { moderation } = plan;
  if (moderation !== undefined) {
    yield { step: { kind: "moderation", choice, moderation }, isSilent: true };
  }
  const stopped = stopSequence === undefined ? {} : { stopSequence };
  yield { step: { kind: "end", choice, reason, ...stopped } };
}

function* textMoments(
  { text, topLogprobs, audio }: Plan,
  choiceCount: number,
  cutter: Cutter,
): Generator<Moment> {
  const choice = 0;
  if (audio !== undefined) {
    const pieces = cutter.pieces(text);
    const spoken = pieces.length === 0 ? [""] : pieces;
    const sound = soundOf(audio, spoken.length, choiceCount);
    for (const [i, transcript] of spoken.entries()) {
      yield { step: { kind: "audio", choice, data: sound[i]!, transcript } };
    }
    return;
  }
  const pieces = topLogprobs === undefined ? cutter.pieces(text) : cutter.tokens(text);
  for (const [i, piece] of pieces.entries()) {
    const told = topLogprobs === undefined ? {} : { logprobs: [logprobOf(piece, i, topLogprobs)] };
    yield { step: { kind: "delta", choice, block: "text", text: piece, ...told } };
  }
}
