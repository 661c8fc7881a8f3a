/**
 * Gathers the steps of an answer into one whole, for clients that do not stream.
 *
 * @module
 */

import type {
  CallKind,
  EndReason,
  Moderation,
  Step,
  TokenLogprob,
  UrlCitation,
  Usage,
} from "./answer.ts";

/** A tool call with all of its arguments. */
export interface GatheredCall {
  readonly id: string;
  readonly name: string;
  /** JSON, or the text of a custom tool. */
  readonly arguments: string;
  readonly tool?: CallKind | undefined;
}

/** The sound of a choice. */
export interface GatheredAudio {
  /** Base64 of the whole. */
  readonly data: string;
  readonly transcript: string;
}

/** One choice of an answer. */
export interface GatheredChoice {
  readonly text: string;
  readonly reasoning: string;
  readonly refusal: string;
  /** What proves the reasoning; "" = whoever writes it makes one up; undefined = there is none. */
  readonly signature: string | undefined;
  readonly calls: readonly GatheredCall[];
  readonly citations: readonly UrlCitation[];
  /** Of the text, or of the refusal; undefined = they are not told. */
  readonly logprobs: readonly TokenLogprob[] | undefined;
  readonly audio: GatheredAudio | undefined;
  /** undefined = nobody asked for it. */
  readonly moderation?: Moderation | undefined;
  readonly reason: EndReason;
  /** The text of `stop` that ended it. */
  readonly stopSequence: string | undefined;
}

/** A whole answer. */
export interface Gathered {
  /** By their number; one at least. */
  readonly choices: readonly GatheredChoice[];
  /** undefined = it was not told. */
  readonly usage: Usage | undefined;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

interface Growing extends Writable<Omit<GatheredChoice, "calls" | "citations" | "audio">> {
  calls: Writable<GatheredCall>[];
  citations: UrlCitation[];
  logprobs: TokenLogprob[] | undefined;
  audio: GatheredAudio | undefined;
}

/** Takes steps as they come. */
export class Gathering implements Gathered {
  readonly choices: Growing[] = [];
  usage: Usage | undefined = undefined;

  constructor() {
    this.#choice(0);
  }

  /** The text of the first choice. */
  get text(): string {
    return this.choices[0]!.text;
  }

  add(step: Step): void {
    if (step.kind === "usage") {
      this.usage = step.usage;
      return;
    }
    const choice = this.#choice(step.choice);
    switch (step.kind) {
      case "delta":
        choice[step.block] += step.text;
        if (step.logprobs !== undefined) (choice.logprobs ??= []).push(...step.logprobs);
        break;
      case "signature":
        choice.signature = (choice.signature ?? "") + step.text;
        break;
      case "call": {
        const { id, name, tool } = step;
        choice.calls[step.index] = { id, name, arguments: "", tool };
        break;
      }
      case "arguments": {
        const call = choice.calls[step.index];
        if (call !== undefined) call.arguments += step.text;
        break;
      }
      case "citation":
        choice.citations.push(step.citation);
        break;
      case "audio": {
        const { data = "", transcript = "" } = choice.audio ?? {};
        choice.audio = {
          data: joinedBase64(data, step.data),
          transcript: transcript + step.transcript,
        };
        break;
      }
      case "moderation":
        choice.moderation = step.moderation;
        break;
      case "end":
        choice.reason = step.reason;
        choice.stopSequence = step.stopSequence;
    }
  }

  /**
   * Nothing follows, and it is kept: its texts no longer hold what they were cut out of, such as all
   * of an upstream's events.
   */
  settle(): void {
    for (const choice of this.choices) {
      for (const block of ["text", "reasoning", "refusal"] as const) {
        choice[block] = copied(choice[block]);
      }
      for (const call of choice.calls) call.arguments = copied(call.arguments);
    }
  }

  #choice(index: number): Growing {
    while (this.choices.length <= index) {
      this.choices.push({
        text: "",
        reasoning: "",
        refusal: "",
        signature: undefined,
        calls: [],
        citations: [],
        logprobs: undefined,
        audio: undefined,
        reason: "stop",
        stopSequence: undefined,
      });
    }
    return this.choices[index]!;
  }
}

/** `text` in memory of its own: one that is put together holds its pieces, and what they are cut of. */
function copied(text: string): string {
  return text.isWellFormed() ? Buffer.from(text).toString() : text;
}

/** Two pieces of base64, each with an end of its own, as one. */
function joinedBase64(one: string, other: string): string {
  if (one === "" || !one.endsWith("=")) return one + other;
  return Buffer.concat([Buffer.from(one, "base64"), Buffer.from(other, "base64")])
    .toString("base64");
}

/** What `steps` say in the text of their first choice. */
export function textOfSteps(steps: readonly Step[]): string {
  let text = "";
  for (const step of steps) {
    if (step.kind === "delta" && step.block === "text" && step.choice === 0) text += step.text;
  }
  return text;
}
