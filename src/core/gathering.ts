/**
 * Gathers the steps of an answer into one whole, for clients that do not stream.
 *
 * @module
 */

import type {
  CallKind,
  EndReason,
  Labels,
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

/** Something that was said between other things. */
export type GatheredPart =
  | { readonly kind: "text"; readonly text: string }
  /** The call with this index. */
  | { readonly kind: "call"; readonly index: number };

/** One choice of an answer. */
export interface GatheredChoice {
  readonly text: string;
  readonly reasoning: string;
  readonly refusal: string;
  /** What proves the reasoning; "" = whoever writes it makes one up; undefined = there is none. */
  readonly signature: string | undefined;
  /** Reasoning that only its maker can read; undefined = there is none. */
  readonly redacted?: readonly string[] | undefined;
  readonly calls: readonly GatheredCall[];
  /** Texts and calls in the order they came in; undefined = all of the text was before all calls. */
  readonly parts?: readonly GatheredPart[] | undefined;
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
  readonly labels?: Labels | undefined;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

type Lists = "redacted" | "calls" | "parts" | "citations" | "audio";

interface Growing extends Writable<Omit<GatheredChoice, Lists>> {
  redacted: string[] | undefined;
  calls: Writable<GatheredCall>[];
  parts: Writable<GatheredPart>[] | undefined;
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
        if (step.block === "text" && choice.calls.length > 0) addBetween(choice, step.text);
        choice[step.block] += step.text;
        if (step.logprobs !== undefined) (choice.logprobs ??= []).push(...step.logprobs);
        break;
      case "signature":
        choice.signature = (choice.signature ?? "") + step.text;
        break;
      case "redacted":
        (choice.redacted ??= []).push(step.data);
        break;
      case "call": {
        const { id, name, tool } = step;
        choice.parts?.push({ kind: "call", index: step.index });
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
      for (const part of choice.parts ?? []) {
        if (part.kind === "text") part.text = copied(part.text);
      }
    }
  }

  #choice(index: number): Growing {
    while (this.choices.length <= index) {
      this.choices.push({
        text: "",
        reasoning: "",
        refusal: "",
        signature: undefined,
        redacted: undefined,
        calls: [],
        parts: undefined,
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

/** A piece of text behind a call: from here on the order is noted. */
function addBetween(choice: Growing, text: string): void {
  if (text === "") return;
  const parts = choice.parts ??= [
    ...(choice.text === "" ? [] : [{ kind: "text" as const, text: choice.text }]),
    ...Object.keys(choice.calls).map((index) => ({ kind: "call" as const, index: Number(index) })),
  ];
  const last = parts.at(-1);
  if (last?.kind === "text") last.text += text;
  else parts.push({ kind: "text", text });
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
