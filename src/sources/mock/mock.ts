/**
 * The mock: an answer to everything, known beforehand. No network, no chance, the same every time.
 *
 * @module
 */

import type { Answer, Ask, Script, Source, Usage } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { Turn } from "../../core/turn.ts";
import { type Family, familyOf } from "../../dialects/openai/families.ts";
import { Lru } from "../../lib/lru.ts";
import type { EncodingName } from "../byte_pairs.ts";
import { moderator, type WordLists } from "../moderator.ts";
import { type Prompt, promptTokens } from "../prompt_tokens.ts";
import { heardPieces } from "./audio.ts";
import type { ToolsMode } from "./calls.ts";
import type { Counter, Tokens } from "./counter.ts";
import { checkChoices, checkPieces, cutterOf, type Cutting, cuttingOf } from "./cutting.ts";
import { type Fit, fit } from "./fit.ts";
import { isPlain, type Plan, type Planned, Planner } from "./plan.ts";
import { type Cutter, stepsOf } from "./script.ts";
import { Speaker, type SpokenOptions } from "./spoken.ts";

/** How the mock answers; the `mock` section of the config. */
export interface MockOptions extends SpokenOptions {
  /** Milliseconds from the request to the first text. */
  readonly first_token_ms: number;
  /** Milliseconds after each piece. */
  readonly delay_ms: number;
  /** What the reply is cut into, where it is said as OpenAI's API says it. */
  readonly chunks: "word" | "token";
  /** When tools are called. */
  readonly tools: ToolsMode;
  /** The models it answers for; empty = any. */
  readonly models: readonly string[];
  /** The words that moderation flags; absent: none. */
  readonly moderation?: WordLists;
}

/**
 * Scripts kept besides the whole reply: one per place that it can end at, number of choices and way
 * of cutting it, and what was said to those who asked for more.
 */
const REMEMBERED = { entriesMax: 256, bytesMax: 16_777_216 };

/** A prompt's tokens, and what they depend on besides its messages. */
type CountedPrompt = Omit<Prompt, "messages"> & { readonly tokens: number };

/** Answers every turn with the same words, at the same pace, unless it asks for something else. */
export class Mock implements Source {
  readonly name = "mock";
  readonly #options: MockOptions;
  readonly #tokens: Tokens;
  readonly #models: ReadonlySet<string>;
  readonly #speaker: Speaker;
  readonly #planner: Planner;
  /** The whole reply, for one answer. */
  readonly #wholes: { [cutting in Cutting]?: Script } = {};
  /** Any other: cut short, several answers side by side, a call. */
  readonly #scripts = new Lru<Script>(REMEMBERED);
  #scriptCount = 0;
  /**
   * Answers to turns that ask for more than a text, and are still at hand: who tests under load asks
   * the same again.
   */
  readonly #answered = new WeakMap<Turn, Answer>();
  /** By their messages, of prompts that are still at hand. */
  readonly #counted = new WeakMap<Prompt["messages"], CountedPrompt>();
  readonly #replyTokens: { [encoding in EncodingName]?: number } = {};
  /** The model that was asked for last, and its family. */
  #model = "";
  #family = familyOf("");

  constructor(options: MockOptions, tokens: Tokens) {
    this.#options = options;
    this.#tokens = tokens;
    this.#models = new Set(options.models);
    this.#speaker = new Speaker(options, tokens);
    this.#planner = new Planner(
      (turn) => this.#speaker.to(turn).text,
      options.tools,
      moderator(options.moderation ?? {}),
    );
  }

  /**
   * @throws {AppError} when `mock.models` does not list the model, when so many choices are too long
   * together, or when it cannot say what is asked.
   */
  answer(ask: Ask): Answer {
    const turn = ask.turn();
    const { model } = turn;
    this.checkModel(model);
    if (!isPlain(turn, this.#familyOf(model))) return this.#planned(ask, turn);
    const isWhole = turn.tokensMax === undefined && turn.stop.length === 0 &&
      turn.choiceCount === 1 && this.#speaker.isConstant;
    const cutting = this.#cuttingOf(ask, model);
    if (isWhole && !turn.wantsUsage) {
      return { kind: "script", script: this.#whole(cutting), model, cost: this.#replyCost };
    }
    return this.#fitted(turn, cutting);
  }

  /** @throws {AppError} `model_unknown` when `mock.models` does not list `model`. */
  checkModel(model: string): void {
    if (this.#models.size > 0 && !this.#models.has(model)) throw modelUnknown(model);
  }

  /** Tokens of the prompt of `turn`. */
  promptTokens(prompt: Prompt, counter: Counter = this.#tokens.of(prompt.model)): number {
    const { model, messages, params } = prompt;
    const known = this.#counted.get(messages);
    if (known?.params === params && known.model === model) return known.tokens;
    const tokens = promptTokens(prompt, counter);
    this.#counted.set(messages, { model, params, tokens });
    return tokens;
  }

  #familyOf(model: string): Family {
    if (model !== this.#model) {
      this.#family = familyOf(model);
      this.#model = model;
    }
    return this.#family;
  }

  #cuttingOf(ask: Ask, model: string): Cutting {
    return cuttingOf(ask, model, this.#options.chunks, this.#tokens);
  }

  /** What is said to `turn`, or its beginning. */
  #fitted(turn: Turn, cutting: Cutting): Answer {
    const { model, choiceCount, stop, tokensMax } = turn;
    const { reply } = this.#options;
    const counter = this.#tokens.of(model);
    const { key, text } = this.#speaker.to(turn);
    const fitted = fit(text, stop, tokensMax, counter);
    const isWhole = fitted.reason === "stop" && fitted.text === reply &&
      fitted.stopSequence === undefined && choiceCount === 1;
    const script = isWhole ? this.#whole(cutting) : this.#script(
      // Every one is a beginning of the one text, so its length tells which.
      `${key} ${cutting} ${fitted.reason} ${fitted.text.length} ${choiceCount} ${
        fitted.stopSequence ?? ""
      }`,
      textPlan(fitted),
      choiceCount,
      cutting,
    );
    const cost = fitted.text === reply
      ? this.#replyCost
      : (turn: Turn) => this.#textCost(turn, counter.count(fitted.text));
    return turn.wantsUsage
      ? { kind: "script", script, model, usage: cost(turn) }
      : { kind: "script", script, model, cost };
  }

  /** What the whole reply costs. */
  readonly #replyCost = (turn: Turn): Usage => {
    const counter = this.#tokens.of(turn.model);
    const { encoding } = counter;
    const { reply } = this.#options;
    return this.#textCost(turn, this.#replyTokens[encoding] ??= counter.count(reply));
  };

  #textCost(turn: Turn, tokens: number): Usage {
    const { choiceCount, madeCount = choiceCount } = turn;
    return {
      promptTokens: this.promptTokens(turn),
      completionTokens: tokens * madeCount,
    };
  }

  /** What is said to a turn that asks for more than a text. */
  #planned(ask: Ask, turn: Turn): Answer {
    const known = this.#answered.get(turn);
    if (known !== undefined) return known;
    const { model, choiceCount } = turn;
    const counter = this.#tokens.of(model);
    const cutting = this.#cuttingOf(ask, model);
    const planned = this.#planner.plan(turn, counter);
    const { plan } = planned;
    const key = `plan ${cutting} ${counter.encoding} ${choiceCount} ${JSON.stringify(plan)}`;
    const script = this.#script(key, plan, choiceCount, cutting, counter.encoding);
    const { reasoningTokens: thoughtTokens } = planned;
    const answer: Answer = {
      kind: "script",
      script,
      model,
      ...(turn.wantsUsage
        ? { usage: this.#usage(turn, planned, counter, cutting) }
        : { cost: (turn: Turn) => this.#usage(turn, planned, counter, cutting) }),
      ...(thoughtTokens === 0 ? {} : { thoughtTokens }),
    };
    this.#answered.set(turn, answer);
    return answer;
  }

  #usage(turn: Turn, planned: Planned, counter: Counter, cutting: Cutting): Usage {
    const { plan, completionTokens, reasoningTokens, prediction } = planned;
    const { choiceCount, madeCount = choiceCount } = turn;
    const cutter = this.#cutter(cutting, counter.encoding);
    const sound = plan.audio === undefined
      ? 0
      : heardPieces(Math.max(1, cutter.pieces(plan.text).length), choiceCount);
    const predicted = prediction === undefined
      ? undefined
      : predictionTokens(prediction, plan.text, counter);
    const each = completionTokens + sound + (predicted?.rejected ?? 0);
    return {
      promptTokens: this.promptTokens(turn, counter),
      completionTokens: each * madeCount,
      ...(reasoningTokens === 0 ? {} : { reasoningTokens: reasoningTokens * madeCount }),
      ...(sound === 0 ? {} : { completionAudioTokens: sound * choiceCount }),
      ...(predicted === undefined ? {} : {
        acceptedPredictionTokens: predicted.accepted * choiceCount,
        rejectedPredictionTokens: predicted.rejected * choiceCount,
      }),
    };
  }

  #whole(cutting: Cutting): Script {
    return this.#wholes[cutting] ??= this.#made(
      `reply ${cutting}`,
      textPlan({ text: this.#options.reply, reason: "stop", stopSequence: undefined }),
      1,
      this.#cutter(cutting, "o200k_base"),
    );
  }

  #script(
    key: string,
    plan: Plan,
    choiceCount: number,
    cutting: Cutting,
    encoding: EncodingName = "o200k_base",
  ): Script {
    const known = this.#scripts.get(key);
    if (known !== undefined) return known;
    const cutter = this.#cutter(cutting, encoding);
    const pieceCount = cutter.pieces(plan.text).length;
    if (choiceCount > 1) checkChoices(plan.text.length, pieceCount, choiceCount);
    else checkPieces(plan.text.length, pieceCount);
    const script = this.#made(`script ${++this.#scriptCount}`, plan, choiceCount, cutter);
    this.#scripts.set(key, script, bytesOf(key, script));
    return script;
  }

  #made(name: string, plan: Plan, choiceCount: number, cutter: Cutter): Script {
    return { name, steps: stepsOf(plan, choiceCount, cutter, this.#options) };
  }

  #cutter(cutting: Cutting, encoding: EncodingName): Cutter {
    return cutterOf(cutting, encoding, this.#tokens);
  }
}

/** A plan to say a text and nothing else. */
function textPlan({ text, reason, stopSequence }: Fit): Plan {
  return {
    reasoning: undefined,
    calls: [],
    text,
    reason,
    stopSequence,
    topLogprobs: undefined,
    audio: undefined,
    isCited: false,
    moderation: undefined,
  };
}

/** Bytes of a step besides those of its texts. */
const STEP_BYTES = 128;

/** What a script weighs, roughly. */
function bytesOf(key: string, { steps }: Script): number {
  let bytes = 2 * key.length + STEP_BYTES * steps.length;
  for (const step of steps) if (step.kind === "audio") bytes += step.data.length;
  return bytes;
}

/** How many tokens of `prediction` are those that `text` begins with, and how many are not. */
function predictionTokens(prediction: string, text: string, counter: Counter) {
  const said = counter.pieces(text) ?? [];
  const predicted = counter.pieces(prediction) ?? [];
  const differs = predicted.findIndex((piece, i) => piece !== said[i]);
  const same = predicted.slice(0, differs < 0 ? undefined : differs).join("");
  const accepted = counter.count(same);
  return { accepted, rejected: Math.max(0, counter.count(prediction) - accepted) };
}

function modelUnknown(model: string): AppError {
  return new AppError(
    "model_unknown",
    `The model \`${model}\` does not exist or you do not have access to it.`,
  );
}
