/**
 * The mock: one reply to everything, known beforehand. No network, no chance, the same every time.
 *
 * @module
 */

import type { Answer, Ask, EndReason, Script, Source, TimedStep } from "../core/answer.ts";
import { AppError } from "../core/errors.ts";
import { type Message, textOf, type Turn } from "../core/turn.ts";

/** Counts and cuts tokens; `TokenCounter` is the real one. */
export interface Tokens {
  count(text: string): number;
  cut(text: string, tokensMax: number): { readonly text: string; readonly isCut: boolean };
}

/** How the mock answers; the `mock` section of the config. */
export interface MockOptions {
  readonly reply: string;
  /** Milliseconds from the request to the first text. */
  readonly first_token_ms: number;
  /** Milliseconds after each word. */
  readonly delay_ms: number;
  /** The models it answers for; empty = any. */
  readonly models: readonly string[];
}

/** Shortened replies kept as scripts, one per place they can end at. */
const CUTS_MAX = 256;

/**
 * Tokens that a prompt has beside its texts: three per message, one per name, three for the answer
 * that follows (OpenAI's published counting rule for chat models).
 */
const TOKENS_PER_MESSAGE = 3;
const TOKENS_PER_NAME = 1;
const TOKENS_PER_ANSWER = 3;

/**
 * A word with the blanks behind it, or one character of a script that is written without blanks.
 */
const WORD =
  /\s*(?:[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]\p{P}*|[^\s\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]+)\s*/gu;

/**
 * `text` in the pieces that are streamed: words with their trailing blanks. Joined they are `text`.
 */
export function words(text: string): readonly string[] {
  return text.match(WORD) ?? (text === "" ? [] : [text]);
}

/** Answers every turn with the same words, at the same pace. */
export class Mock implements Source {
  readonly name = "mock";
  readonly #options: MockOptions;
  readonly #tokens: Tokens;
  readonly #models: ReadonlySet<string>;
  /** The whole reply, for one answer. */
  readonly #whole: Script;
  /** Any other: cut, or several answers side by side. */
  readonly #cuts = new Map<string, Script>();

  constructor(options: MockOptions, tokens: Tokens) {
    this.#options = options;
    this.#tokens = tokens;
    this.#models = new Set(options.models);
    this.#whole = this.#script(options.reply, "stop", 1);
  }

  /** @throws {AppError} `model_unknown` when `mock.models` does not list the model. */
  answer(ask: Ask): Answer {
    const turn = ask.turn();
    const { model } = turn;
    if (this.#models.size > 0 && !this.#models.has(model)) throw modelUnknown(model);
    const isPlain = turn.tokensMax === undefined && turn.stop.length === 0 &&
      turn.choiceCount === 1;
    if (isPlain && !turn.wantsUsage) return { kind: "script", script: this.#whole, model };
    return this.#fitted(turn);
  }

  #fitted(turn: Turn): Answer {
    const { model, choiceCount } = turn;
    const { text, reason } = this.#fit(turn);
    const isWhole = reason === "stop" && text === this.#options.reply && choiceCount === 1;
    const script = isWhole ? this.#whole : this.#cut(text, reason, choiceCount);
    if (!turn.wantsUsage) return { kind: "script", script, model };
    const usage = {
      promptTokens: this.#promptTokens(turn.messages),
      completionTokens: this.#tokens.count(text) * choiceCount,
    };
    return { kind: "script", script, model, usage };
  }

  /** The reply as far as `stop` and `tokensMax` let it go: whichever comes first. */
  #fit(turn: Turn): { readonly text: string; readonly reason: EndReason } {
    const { reply } = this.#options;
    let end = reply.length;
    for (const stop of turn.stop) {
      const at = reply.indexOf(stop);
      if (at >= 0 && at < end) end = at;
    }
    const text = reply.slice(0, end);
    if (turn.tokensMax === undefined) return { text, reason: "stop" };
    const cut = this.#tokens.cut(text, turn.tokensMax);
    return { text: cut.text, reason: cut.isCut ? "length" : "stop" };
  }

  #cut(text: string, reason: EndReason, choiceCount: number): Script {
    // Every cut is a beginning of the one reply, so its length tells which.
    const key = nameOf(text, reason, choiceCount);
    const known = this.#cuts.get(key);
    if (known !== undefined) return known;
    if (this.#cuts.size >= CUTS_MAX) this.#cuts.clear();
    const script = this.#script(text, reason, choiceCount);
    this.#cuts.set(key, script);
    return script;
  }

  /** Each piece of `text` for every choice at a time. */
  #script(text: string, reason: EndReason, choiceCount: number): Script {
    const { first_token_ms, delay_ms } = this.#options;
    const steps: TimedStep[] = [];
    let afterMs = first_token_ms;
    const pieces = [...words(text), undefined];
    for (const piece of pieces) {
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
    return { name: nameOf(text, reason, choiceCount), steps };
  }

  #promptTokens(messages: readonly Message[]): number {
    let tokens = TOKENS_PER_ANSWER;
    let texts = "";
    for (const message of messages) {
      const text = textOf(message.content);
      tokens += TOKENS_PER_MESSAGE + this.#tokens.count(message.role);
      if (typeof message["name"] === "string") {
        tokens += TOKENS_PER_NAME + this.#tokens.count(message["name"]);
      }
      // Counted together, so that the bound on exact counting holds for the whole prompt.
      texts += texts === "" ? text : `\n${text}`;
    }
    return tokens + this.#tokens.count(texts);
  }
}

function nameOf(text: string, reason: EndReason, choiceCount: number): string {
  return `reply ${reason} ${text.length} ${choiceCount}`;
}

function modelUnknown(model: string): AppError {
  return new AppError(
    "model_unknown",
    `The model \`${model}\` does not exist or you do not have access to it.`,
  );
}
