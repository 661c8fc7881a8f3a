/**
 * What completions answer: `text_completion` objects, in pieces or whole
 * (docs/facts/openai_endpoints.md "Answer of completions", "Stream of completions").
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { EndReason, Labels, Step, TokenLogprob, Usage } from "../../core/answer.ts";
import { type AnswerWriter, dataEvent, DONE_EVENT } from "../../core/dialect.ts";
import { type Foretold, labelsKey, type Layout, type StampTexts } from "../../core/frames.ts";
import type { Gathered, GatheredChoice } from "../../core/gathering.ts";
import { ID_BYTES } from "../../core/stamp.ts";
import { charsOf, logprobsObject } from "./logprobs.ts";

/** The ids of an answer. */
export const COMPLETION_ID_LENGTHS: readonly number[] = [ID_BYTES];

/** Name → the name that a base model answers with. */
const ANSWERS: Readonly<Record<string, string>> = {
  "gpt-3.5-turbo-instruct": "gpt-3.5-turbo-instruct:20230824-v2",
  "davinci-002": "davinci:2023-07-21-v2",
  "babbage-002": "babbage:2023-07-21-v2",
};

/** What an answer depends on, besides what is said and its stamps. */
export interface CompletionOptions {
  readonly model: string;
  readonly prompts: readonly string[];
  /** Choices of each prompt. */
  readonly choicesPerPrompt: number;
  readonly wantsEcho: boolean;
  /** See `CompletionRequest`. */
  readonly logprobCount: number | undefined;
  /** See `CompletionRequest`. */
  readonly keepsSchema?: true;
  readonly wantsUsage: boolean;
  /** What the answer says of itself; absent = nothing. */
  readonly labels?: Labels | undefined;
  /** How likely the tokens of a prompt are for a model. Asked where they are told. */
  readonly logprobsOf: (prompt: string, count: number, model: string) => readonly TokenLogprob[];
}

/** The name a model answers with. */
export function completionModel(name: string): string {
  return Object.hasOwn(ANSWERS, name) ? ANSWERS[name]! : name;
}

const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0 };

/** What an answer needs of a prompt. */
interface Prompt {
  /** "" = it is not echoed. */
  readonly echo: string;
  /** Characters; 0 = nothing tells places. */
  readonly chars: number;
}

/** What all parts of one answer are made of. A prompt may be long: only what is needed of it is held. */
interface Held extends Omit<CompletionOptions, "prompts"> {
  /** As the answer names it. */
  readonly answers: string;
  /** None: nothing is needed of any. */
  readonly prompts: readonly Prompt[];
}

/** Lays answers as chunks, or in one piece. */
export class CompletionLayout implements Layout {
  readonly key: string;
  readonly idLengths = COMPLETION_ID_LENGTHS;
  readonly isForOne: boolean;
  readonly #held: Held;
  readonly #options: CompletionOptions;

  constructor(options: CompletionOptions) {
    this.#options = { ...options, prompts: isEchoing(options) ? options.prompts : [] };
    const { choicesPerPrompt, wantsEcho, logprobCount, wantsUsage, logprobsOf } = options;
    const { model, labels, keepsSchema } = options;
    this.isForOne = isEchoing(options);
    const prompts = this.isForOne
      ? options.prompts.map((text) => ({ echo: wantsEcho ? text : "", chars: charsOf(text) }))
      : [];
    this.#held = {
      model,
      answers: labels?.model ?? completionModel(model),
      labels,
      choicesPerPrompt,
      wantsEcho,
      logprobCount,
      wantsUsage,
      logprobsOf,
      prompts,
      ...(keepsSchema ? { keepsSchema } : {}),
    };
    const prompt = this.isForOne
      ? createHash("sha256").update(JSON.stringify([prompts, choicesPerPrompt])).digest("hex")
      : "";
    this.key = `openai_completions ${wantsEcho} ${logprobCount} ${wantsUsage} ${prompt} ${model}${
      labelsKey(labels)
    }`;
  }

  labelled(labels: Labels): CompletionLayout {
    return new CompletionLayout({ ...this.#options, labels });
  }

  writer(stamps: StampTexts, foretold?: Foretold): AnswerWriter {
    return new CompletionWriter(this.#held, headOf(this.#held, stamps), foretold?.steps);
  }

  whole({ choices, usage = NO_USAGE }: Gathered, stamps: StampTexts): string {
    const body = {
      ...headOf(this.#held, stamps),
      model: this.#held.answers,
      choices: choices.map((choice, index) => this.#choice(choice, index)),
      usage: usageObject(usage),
      ...fingerprintOf(this.#held),
    };
    return `${JSON.stringify(body, null, 2)}\n`;
  }

  #choice({ text, refusal, logprobs, reason }: GatheredChoice, index: number) {
    const { echo, chars } = promptOf(this.#held, index);
    const tokens = logprobs ?? (text === "" ? [] : undefined);
    return {
      text: echo + text + refusal,
      index,
      logprobs: told(this.#held, tokens, this.#held.wantsEcho ? 0 : chars, echo),
      finish_reason: finishOf(reason),
    };
  }
}

/** How every object of an answer begins. */
interface Head {
  readonly id: string;
  readonly object: string;
  readonly created: number;
}

function headOf({ labels }: Held, [created, id]: StampTexts): Head {
  return {
    id: labels?.id ?? `cmpl-${id}`,
    object: "text_completion",
    created: labels?.createdS ?? Number(created),
  };
}

/** The API tells one of newer models only: so nobody but the answer itself knows one. */
function fingerprintOf({ labels }: Held) {
  return labels?.fingerprint === undefined ? {} : { system_fingerprint: labels.fingerprint };
}

/** True when answers hold something of their prompts. */
function isEchoing({ wantsEcho, logprobCount }: CompletionOptions): boolean {
  return wantsEcho || logprobCount !== undefined;
}

const NO_PROMPT: Prompt = { echo: "", chars: 0 };

/** The prompt of a choice. */
function promptOf({ prompts, choicesPerPrompt }: Held, choice: number): Prompt {
  return prompts[Math.floor(choice / choicesPerPrompt)] ?? NO_PROMPT;
}

/**
 * What is told of `tokens`, behind those of an `echo` if there is one. All together begin `offset`
 * characters behind the beginning of the prompt.
 */
function told(
  { model, logprobCount, logprobsOf, keepsSchema }: Held,
  tokens: readonly TokenLogprob[] | undefined,
  offset: number,
  echo = "",
) {
  if (logprobCount === undefined || tokens === undefined) return null;
  const all = echo === "" ? tokens : [...logprobsOf(echo, logprobCount, model), ...tokens];
  // The schema knows nothing but numbers.
  return logprobsObject(all, offset, logprobCount, echo !== "" && !keepsSchema);
}

function finishOf(reason: EndReason): string {
  return reason === "tool_calls" ? "stop" : reason;
}

function usageObject({ promptTokens, completionTokens }: Usage) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

/** A piece of text of a choice. A refusal is a text here, reasoning is not told. */
function textOf(step: Step): string {
  return step.kind === "delta" && step.block !== "reasoning" ? step.text : "";
}

/** What a choice has come to. */
interface Progress {
  /** Characters of the prompt and of the text so far. */
  chars: number;
  /** Texts that follow; Infinity = nobody knows. */
  textsLeft: number;
  /** Why it ends; undefined = nobody knows. */
  reason: EndReason | undefined;
  hasBegun: boolean;
  hasEnded: boolean;
}

/** Writes one answer. The chunk of a choice's last text says why it ended, where that is known. */
class CompletionWriter implements AnswerWriter {
  readonly #held: Held;
  readonly #head: Head;
  readonly #choices = new Map<number, Progress>();

  constructor(held: Held, head: Head, known: readonly Step[] | undefined) {
    this.#held = held;
    this.#head = head;
    for (const step of known ?? []) this.#expect(step);
  }

  step(step: Step): string {
    if (step.kind === "usage") return this.#usage(step.usage);
    const text = textOf(step);
    if (step.kind !== "end" && text === "") return "";
    const index = step.choice;
    const choice = this.#choice(index);
    const { echo } = promptOf(this.#held, index);
    const isEchoed = !choice.hasBegun && echo !== "";
    choice.hasBegun = true;
    const echoed = (reason?: EndReason) =>
      isEchoed ? this.#chunk(index, echo, told(this.#held, [], 0, echo), reason) : "";
    if (step.kind === "end") {
      if (choice.hasEnded) return "";
      return echoed(step.reason) || this.#chunk(index, "", null, step.reason);
    }
    choice.textsLeft--;
    const reason = choice.textsLeft === 0 ? choice.reason : undefined;
    choice.hasEnded = reason !== undefined;
    const tokens = step.kind === "delta" ? step.logprobs : undefined;
    const logprobs = told(this.#held, tokens, choice.chars);
    choice.chars += charsOf(text);
    return echoed() + this.#chunk(index, text, logprobs, reason);
  }

  close(): string {
    return DONE_EVENT;
  }

  #choice(index: number): Progress {
    let choice = this.#choices.get(index);
    if (choice === undefined) {
      choice = {
        chars: promptOf(this.#held, index).chars,
        textsLeft: Infinity,
        reason: undefined,
        hasBegun: false,
        hasEnded: false,
      };
      this.#choices.set(index, choice);
    }
    return choice;
  }

  /** `step` will come. */
  #expect(step: Step): void {
    if (step.kind === "usage") return;
    const choice = this.#choice(step.choice);
    if (choice.textsLeft === Infinity) choice.textsLeft = 0;
    if (step.kind === "end") choice.reason = step.reason;
    else if (textOf(step) !== "") choice.textsLeft++;
  }

  #chunk(index: number, text: string, logprobs: unknown, reason?: EndReason): string {
    const { answers: model, wantsUsage } = this.#held;
    const finish_reason = reason === undefined ? null : finishOf(reason);
    return dataEvent({
      ...this.#head,
      choices: [{ text, index, logprobs, finish_reason }],
      model,
      ...fingerprintOf(this.#held),
      ...(wantsUsage ? { usage: null } : {}),
    });
  }

  #usage(usage: Usage): string {
    const { answers: model, wantsUsage } = this.#held;
    if (!wantsUsage) return "";
    return dataEvent({
      ...this.#head,
      model,
      ...fingerprintOf(this.#held),
      usage: usageObject(usage),
      choices: [],
    });
  }
}
