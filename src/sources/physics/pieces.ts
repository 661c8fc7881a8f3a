/**
 * A script in the pieces that a profile wants: tokens, some of them together in one event. The same few
 * ways of putting them together for every request, so that their bytes are laid a few times and shared.
 *
 * @module
 */

import type { Script, Step, TimedStep } from "../../core/answer.ts";
import type { EncodingName } from "../byte_pairs.ts";
import { chooser } from "../mock/choose.ts";
import type { Tokens } from "../mock/counter.ts";
import { cutterOf } from "../mock/cutting.ts";

/** Ways to put the tokens of one script together. */
export const VARIANTS = 8;

/** A script, and how many tokens each of its steps takes. */
export interface Pieces {
  readonly script: Script;
  /** By step; 0 = it leaves with the one before it. */
  readonly tokens: Uint32Array;
}

/** How many tokens an event holds, at the least and at the most. */
export interface EventTokens {
  readonly event_tokens_min: number;
  readonly event_tokens_max: number;
}

/** A delta, or a piece of arguments: what can be cut anew. */
type Cuttable = Extract<Step, { readonly kind: "delta" | "arguments" }>;

/** Cuts scripts, and remembers what it has cut as long as they are there. */
export class PiecesMaker {
  readonly #sizes: EventTokens;
  readonly #tokens: Tokens;
  readonly #made = new WeakMap<Script, Map<string, Pieces>>();

  constructor(sizes: EventTokens, tokens: Tokens) {
    this.#sizes = sizes;
    this.#tokens = tokens;
  }

  /** How many ways there are. */
  get variants(): number {
    const { event_tokens_min, event_tokens_max } = this.#sizes;
    return event_tokens_min === event_tokens_max ? 1 : VARIANTS;
  }

  /**
   * `script` in its `variant`-th way, 0 to `variants` − 1. `isKept`: its pieces stay as they are, and
   * only their tokens are counted.
   */
  of(script: Script, encoding: EncodingName, variant: number, isKept: boolean): Pieces {
    let made = this.#made.get(script);
    if (made === undefined) this.#made.set(script, made = new Map());
    const key = isKept ? `kept ${encoding}` : `${encoding} ${variant}`;
    let pieces = made.get(key);
    if (pieces === undefined) {
      pieces = isKept ? this.#counted(script, encoding) : this.#cut(script, encoding, variant, key);
      made.set(key, pieces);
    }
    return pieces;
  }

  #counted(script: Script, encoding: EncodingName): Pieces {
    const counter = this.#tokens.named(encoding);
    const tokens = script.steps.map((step, i) => {
      if (isSilent(script, i)) return 0;
      return isCuttable(step) ? Math.max(1, counter.count(step.text)) : 1;
    });
    return { script, tokens: Uint32Array.from(tokens) };
  }

  #cut(script: Script, encoding: EncodingName, variant: number, key: string): Pieces {
    const choose = chooser(variant);
    const { event_tokens_min: min, event_tokens_max: max } = this.#sizes;
    const nextSize = () => min + choose(max - min + 1);
    const cutter = cutterOf(encoding, encoding, this.#tokens);
    const steps: TimedStep[] = [];
    const tokens: number[] = [];
    for (const { from, to } of runsOf(script.steps)) {
      const first = script.steps[from]!;
      if (!isCuttable(first)) {
        steps.push(first);
        tokens.push(isSilent(script, from) ? 0 : 1);
        continue;
      }
      const run = script.steps.slice(from, to) as readonly (TimedStep & Cuttable)[];
      for (const event of eventsOf(run, cutter.tokens, nextSize)) {
        for (const [i, { step, count }] of event.entries()) {
          steps.push(step);
          // Choices are made side by side: those behind the first one take no time of their own.
          tokens.push(i === 0 ? count : 0);
        }
      }
    }
    return {
      script: { name: `${script.name} ${key}`, steps },
      tokens: Uint32Array.from(tokens),
    };
  }
}

/** A piece of one choice, and how many tokens it has. */
interface Piece {
  readonly step: TimedStep & Cuttable;
  readonly count: number;
}

/** The pieces of `run`, those that leave together in one list. */
function* eventsOf(
  run: readonly (TimedStep & Cuttable)[],
  tokensOf: (text: string) => readonly string[],
  nextSize: () => number,
): Generator<readonly Piece[]> {
  const byChoice = Map.groupBy(run, ({ choice }) => choice);
  const rests = [...byChoice.values()].map((steps) => {
    const [first] = steps as [TimedStep & Cuttable];
    const logprobs = steps.flatMap((step) => step.kind === "delta" ? step.logprobs ?? [] : []);
    const text = steps.map((step) => step.text).join("");
    const texts = logprobs.length > 0 ? logprobs.map(({ token }) => token) : tokensOf(text);
    return { first, logprobs, texts, at: 0 };
  });
  // What says nothing is said once.
  if (rests.every(({ texts }) => texts.length === 0)) {
    yield rests.map(({ first }) => ({ step: first, count: 0 }));
    return;
  }
  while (rests.some(({ at, texts }) => at < texts.length)) {
    const size = nextSize();
    const event: Piece[] = [];
    for (const rest of rests) {
      const { first, logprobs, texts, at } = rest;
      if (at >= texts.length) continue;
      rest.at = Math.min(texts.length, at + size);
      const text = texts.slice(at, rest.at).join("");
      const told = logprobs.length > 0 ? { logprobs: logprobs.slice(at, rest.at) } : {};
      event.push({ step: { ...first, text, ...told }, count: rest.at - at });
    }
    yield event;
  }
}

/** Steps that follow each other and say the same thing on, in whichever choices; all others alone. */
function* runsOf(
  steps: readonly TimedStep[],
): Generator<{ readonly from: number; readonly to: number }> {
  for (let from = 0; from < steps.length;) {
    const first = steps[from]!;
    let to = from + 1;
    if (isCuttable(first)) { while (to < steps.length && goesOn(first, steps[to]!)) to++; }
    yield { from, to };
    from = to;
  }
}

function isCuttable(step: Step): step is Cuttable {
  return step.kind === "delta" || step.kind === "arguments";
}

function goesOn(first: Cuttable, next: Step): boolean {
  if (first.kind === "delta") return next.kind === "delta" && next.block === first.block;
  return next.kind === "arguments" && next.index === first.index;
}

/** True when a step leaves with the one before it: another choice's, or one that takes no token. */
function isSilent({ steps }: Script, index: number): boolean {
  const step = steps[index]!;
  switch (step.kind) {
    case "signature":
    case "redacted":
    case "citation":
    case "moderation":
    case "usage":
      return true;
    case "delta":
      if (step.text === "") return true;
  }
  return step.choice > 0 && steps[index - 1]?.kind === step.kind;
}
