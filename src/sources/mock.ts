/**
 * The mock: one reply to everything, known beforehand. No network, no chance, the same every time.
 *
 * @module
 */

import {
  type Answer,
  type EndReason,
  type Message,
  type Script,
  type Source,
  type Step,
  textOf,
  type Turn,
} from "../core/answer.ts";
import type { Exchange } from "../core/exchange.ts";
import { AppError } from "../core/errors.ts";

/** Counts and cuts tokens; `TokenCounter` is the real one. */
export interface Tokens {
  readonly isLoaded: boolean;
  load(): Promise<void>;
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

/** A word with the blanks behind it, or one character of a script that is written without blanks. */
const WORD =
  /\s*(?:[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]\p{P}*|[^\s\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]+)\s*/gu;

/** `text` in the pieces that are streamed: words with their trailing blanks. Joined they are `text`. */
export function words(text: string): readonly string[] {
  return text.match(WORD) ?? (text === "" ? [] : [text]);
}

/** Answers every turn with the same words, at the same pace. */
export class Mock implements Source {
  readonly name = "mock";
  readonly #options: MockOptions;
  readonly #tokens: Tokens;
  readonly #models: ReadonlySet<string>;
  readonly #whole: Script;
  readonly #cuts = new Map<string, Script>();
  #replyTokens = -1;

  constructor(options: MockOptions, tokens: Tokens) {
    this.#options = options;
    this.#tokens = tokens;
    this.#models = new Set(options.models);
    this.#whole = this.#script(options.reply, "stop");
  }

  /** The scripts known before anyone asks, for surfaces that encode at start. */
  get scripts(): readonly Script[] {
    return [this.#whole];
  }

  /** @throws {AppError} `model_unknown` when `mock.models` does not list the model. */
  answer(turn: Turn, exchange?: Exchange): Answer | Promise<Answer> {
    const { model } = turn;
    if (this.#models.size > 0 && !this.#models.has(model)) throw modelUnknown(model);
    const isPlain = turn.tokensMax === undefined && turn.stop.length === 0;
    if (isPlain && !turn.wantsUsage) return { kind: "script", script: this.#whole, model };
    const needsTokens = turn.wantsUsage || turn.tokensMax !== undefined;
    if (!needsTokens || this.#tokens.isLoaded) return this.#fitted(turn, exchange);
    return this.#tokens.load().then(() => this.#fitted(turn, exchange));
  }

  #fitted(turn: Turn, exchange: Exchange | undefined): Answer {
    const { model } = turn;
    const { text, reason } = this.#fit(turn);
    const script = reason === "stop" && text === this.#options.reply
      ? this.#whole
      : this.#cut(text, reason);
    if (!turn.wantsUsage) return { kind: "script", script, model };
    const usage = {
      promptTokens: this.#promptTokens(turn.messages),
      completionTokens: this.#completionTokens(text) * turn.choiceCount,
    };
    if (exchange !== undefined) {
      exchange.promptTokens = usage.promptTokens;
      exchange.completionTokens = usage.completionTokens;
    }
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

  #cut(text: string, reason: EndReason): Script {
    // Every cut is a beginning of the one reply, so its length tells which.
    const key = `${reason} ${text.length}`;
    const known = this.#cuts.get(key);
    if (known !== undefined) return known;
    if (this.#cuts.size >= CUTS_MAX) this.#cuts.clear();
    const script = this.#script(text, reason);
    this.#cuts.set(key, script);
    return script;
  }

  #script(text: string, reason: EndReason): Script {
    const { first_token_ms, delay_ms } = this.#options;
    const steps: Step[] = words(text).map((word, i) => ({
      kind: "text",
      text: word,
      afterMs: i === 0 ? first_token_ms : delay_ms,
    }));
    const afterMs = steps.length === 0 ? first_token_ms : delay_ms;
    steps.push({ kind: "end", reason, afterMs });
    return { name: `reply ${reason} ${text.length}`, steps };
  }

  #completionTokens(text: string): number {
    if (text !== this.#options.reply || !this.#tokens.isLoaded) return this.#tokens.count(text);
    if (this.#replyTokens < 0) this.#replyTokens = this.#tokens.count(text);
    return this.#replyTokens;
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

function modelUnknown(model: string): AppError {
  return new AppError(
    "model_unknown",
    `The model \`${model}\` does not exist or you do not have access to it.`,
  );
}
