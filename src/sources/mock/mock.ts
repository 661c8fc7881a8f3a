/**
 * The mock: one reply to everything, known beforehand. No network, no chance, the same every time.
 *
 * @module
 */

import type { Answer, Ask, EndReason, Script, Source, TimedStep } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { Turn } from "../../core/turn.ts";
import type { EncodingName } from "../byte_pairs.ts";
import { type Prompt, promptTokens, type TextCounter } from "../prompt_tokens.ts";

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

/** How the mock answers; the `mock` section of the config. */
export interface MockOptions {
  readonly reply: string;
  /** Milliseconds from the request to the first text. */
  readonly first_token_ms: number;
  /** Milliseconds after each piece. */
  readonly delay_ms: number;
  /** What the reply is cut into, where it is said as OpenAI's API says it. */
  readonly chunks: "word" | "token";
  /** The models it answers for; empty = any. */
  readonly models: readonly string[];
}

/** Scripts kept: one per place that the reply can end at, and per way of cutting it. */
const SCRIPTS_MAX = 256;
/** Steps of all that are kept, some 80 bytes each. */
const STEPS_MAX = 524_288;
/** UTF-16 units of one answer, over all of its choices, and pieces of them: each becomes an event. */
const ANSWER_CHARS_MAX = 1_048_576;
const ANSWER_PIECES_MAX = 65_536;

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

/** How a reply is cut: into words, or into tokens, told by the name of their encoding. */
type Cutting = "blank before" | "blank after" | EncodingName;

/** A prompt's tokens, and what they depend on besides its messages. */
type CountedPrompt = Omit<Prompt, "messages"> & { readonly tokens: number };

/** What a reply has become for one turn. */
interface Fitted {
  readonly text: string;
  readonly reason: EndReason;
  readonly choiceCount: number;
  readonly cutting: Cutting;
}

/** Answers every turn with the same words, at the same pace. */
export class Mock implements Source {
  readonly name = "mock";
  readonly #options: MockOptions;
  readonly #tokens: Tokens;
  readonly #models: ReadonlySet<string>;
  /** The whole reply, for one answer. */
  readonly #wholes: { [cutting in Cutting]?: Script } = {};
  /** Any other: cut short, or several answers side by side. */
  readonly #scripts = new Map<string, Script>();
  #stepCount = 0;
  /** By their messages, of prompts that are still at hand: who tests under load asks the same again. */
  readonly #counted = new WeakMap<Prompt["messages"], CountedPrompt>();
  readonly #replyTokens: { [encoding in EncodingName]?: number } = {};

  constructor(options: MockOptions, tokens: Tokens) {
    this.#options = options;
    this.#tokens = tokens;
    this.#models = new Set(options.models);
  }

  /**
   * @throws {AppError} `model_unknown` when `mock.models` does not list the model, `integer_too_large`
   * when so many choices are too long together.
   */
  answer(ask: Ask): Answer {
    const turn = ask.turn();
    const { model } = turn;
    if (this.#models.size > 0 && !this.#models.has(model)) throw modelUnknown(model);
    const isPlain = turn.tokensMax === undefined && turn.stop.length === 0 &&
      turn.choiceCount === 1;
    const cutting = this.#cuttingOf(ask, model);
    if (isPlain && !turn.wantsUsage) return { kind: "script", script: this.#whole(cutting), model };
    return this.#fitted(turn, cutting);
  }

  #cuttingOf({ cutsAfterBlank }: Ask, model: string): Cutting {
    if (cutsAfterBlank) return "blank after";
    return this.#options.chunks === "word" ? "blank before" : this.#tokens.of(model).encoding;
  }

  #fitted(turn: Turn, cutting: Cutting): Answer {
    const { model, choiceCount } = turn;
    const counter = this.#tokens.of(model);
    const { text, reason } = this.#fit(turn, counter);
    const isWhole = reason === "stop" && text === this.#options.reply && choiceCount === 1;
    const script = isWhole
      ? this.#whole(cutting)
      : this.#cut({ text, reason, choiceCount, cutting });
    if (!turn.wantsUsage) return { kind: "script", script, model };
    const tokens = text === this.#options.reply
      ? this.#replyTokens[counter.encoding] ??= counter.count(text)
      : counter.count(text);
    const usage = {
      promptTokens: this.#promptTokens(turn, counter),
      completionTokens: tokens * choiceCount,
    };
    return { kind: "script", script, model, usage };
  }

  /** The reply as far as `stop` and `tokensMax` let it go: whichever comes first. */
  #fit(turn: Turn, counter: Counter): { readonly text: string; readonly reason: EndReason } {
    const { reply } = this.#options;
    let end = reply.length;
    for (const stop of turn.stop) {
      const at = reply.indexOf(stop);
      if (at >= 0 && at < end) end = at;
    }
    const text = reply.slice(0, end);
    if (turn.tokensMax === undefined) return { text, reason: "stop" };
    const cut = counter.cut(text, turn.tokensMax);
    return { text: cut.text, reason: cut.isCut ? "length" : "stop" };
  }

  #whole(cutting: Cutting): Script {
    return this.#wholes[cutting] ??= this.#script({
      text: this.#options.reply,
      reason: "stop",
      choiceCount: 1,
      cutting,
    });
  }

  #cut(fitted: Fitted): Script {
    // Every cut is a beginning of the one reply, so its length tells which.
    const key = nameOf(fitted);
    const known = this.#scripts.get(key);
    if (known !== undefined) return known;
    const script = this.#script(fitted);
    this.#stepCount += script.steps.length;
    if (this.#scripts.size >= SCRIPTS_MAX || this.#stepCount > STEPS_MAX) {
      this.#scripts.clear();
      this.#stepCount = script.steps.length;
    }
    this.#scripts.set(key, script);
    return script;
  }

  /** Each piece of the text for every choice at a time. */
  #script(fitted: Fitted): Script {
    const { first_token_ms, delay_ms } = this.#options;
    const { reason, choiceCount } = fitted;
    const pieces = this.#pieces(fitted);
    checkChoices(fitted, pieces.length);
    const steps: TimedStep[] = [];
    let afterMs = first_token_ms;
    for (const piece of [...pieces, undefined]) {
      for (let choice = 0; choice < choiceCount; choice++) {
        steps.push(
          piece === undefined
            ? { kind: "end", choice, reason, afterMs }
            : { kind: "delta", choice, block: "text", text: piece, afterMs },
        );
        afterMs = 0;
      }
      afterMs = delay_ms;
    }
    return { name: nameOf(fitted), steps };
  }

  #pieces({ text, cutting }: Fitted): readonly string[] {
    switch (cutting) {
      case "blank after":
        return words(text, "after");
      case "blank before":
        return words(text, "before");
      default: {
        const tokens = this.#tokens.named(cutting).pieces(text);
        const isFew = tokens !== undefined && tokens.length <= ANSWER_PIECES_MAX;
        return isFew ? tokens : words(text, "before");
      }
    }
  }

  #promptTokens({ model, messages, params }: Turn, counter: Counter): number {
    const known = this.#counted.get(messages);
    if (known?.params === params && known.model === model) return known.tokens;
    const tokens = promptTokens({ model, messages, params }, counter);
    this.#counted.set(messages, { model, params, tokens });
    return tokens;
  }
}

function nameOf({ text, reason, choiceCount, cutting }: Fitted): string {
  return `reply ${cutting} ${reason} ${text.length} ${choiceCount}`;
}

/** Before anything is made of it: 128 choices of a long reply would fill the memory. */
function checkChoices({ text, choiceCount }: Fitted, pieceCount: number): void {
  const choicesMax = Math.floor(
    Math.min(ANSWER_CHARS_MAX / text.length, ANSWER_PIECES_MAX / pieceCount),
  );
  if (choiceCount === 1 || choiceCount <= choicesMax) return;
  throw new AppError(
    "integer_too_large",
    `Invalid 'n': integer above maximum value. Expected a value <= ${choicesMax}, but got ` +
      `${choiceCount} instead: so many choices of the mock's reply are too long together. Ask for ` +
      "fewer, or set 'max_completion_tokens'.",
    { param: "n" },
  );
}

function modelUnknown(model: string): AppError {
  return new AppError(
    "model_unknown",
    `The model \`${model}\` does not exist or you do not have access to it.`,
  );
}
