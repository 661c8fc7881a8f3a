/**
 * What Anthropic's Messages API answers: its events, and the message in one piece
 * (docs/facts/anthropic.md "Answer" and "Stream").
 *
 * @module
 */

import type { Labels, Step, Usage } from "../../core/answer.ts";
import type { AnswerWriter } from "../../core/dialect.ts";
import { AppError } from "../../core/errors.ts";
import { type Foretold, labelsKey, type Layout, type StampTexts } from "../../core/frames.ts";
import type { Gathered } from "../../core/gathering.ts";
import { event } from "./events.ts";
import {
  callBlock,
  callId,
  contentOf,
  detailsOf,
  inputOf,
  message,
  type MessageHead,
  NOT_ENDED,
  OWN_SIGNATURE,
  redactedBlock,
  stopReason,
  usageObject,
} from "./message.ts";
import type { Thinking } from "./request.ts";

/** Characters of a message's id behind "msg_01", and of what the ids of its calls are made of. */
export const MESSAGE_ID_LENGTHS: readonly number[] = [22, 20];

const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0 };

/** Output tokens that a stream begins with, whatever follows. */
const FIRST_OUTPUT_TOKENS = 1;

/** Lays and speaks answers as events, or in one piece. */
export class MessageLayout implements Layout {
  readonly key: string;
  readonly idLengths = MESSAGE_ID_LENGTHS;
  readonly #model: string;
  readonly #thinking: Thinking;
  readonly #labels: Labels | undefined;

  /** `model`: as the answer names it; `labels`: what it says of itself. */
  constructor(model: string, thinking: Thinking, labels?: Labels) {
    this.key = `anthropic_messages ${thinking} ${model}${labelsKey(labels)}`;
    this.#model = model;
    this.#thinking = thinking;
    this.#labels = labels;
  }

  labelled(labels: Labels): MessageLayout {
    return new MessageLayout(this.#model, this.#thinking, labels);
  }

  writer(stamps: StampTexts, foretold?: Foretold): AnswerWriter {
    return new EventWriter(this.#head(stamps), foretold?.usage ?? NO_USAGE);
  }

  whole({ choices, usage = NO_USAGE }: Gathered, stamps: StampTexts): string {
    const choice = choices[0]!;
    const head = this.#head(stamps);
    return JSON.stringify(
      message(
        head,
        contentOf(choice, head.callStamp, head.thinking),
        stopReason(choice.reason, {
          isRefusal: choice.refusal !== "",
          callCount: choice.calls.length,
          isExact: head.isReasonExact,
          stopSequence: choice.stopSequence,
        }),
        usageObject(usage),
      ),
    );
  }

  #head([, id, calls]: StampTexts): Head {
    const labels = this.#labels ?? {};
    return {
      model: labels.model ?? this.#model,
      id: labels.id ?? `msg_01${id}`,
      role: labels.role ?? "assistant",
      callStamp: calls!,
      thinking: labels.hasWords ? "words" : this.#thinking,
      isReasonExact: labels.isReasonExact === true,
    };
  }
}

/** Pads an event with blanks before its last brace, 0 to 15 of them, as the API does. */
const PADS = Array.from({ length: 16 }, (_, count) => `${" ".repeat(count)}}`);

/** What is being said: a block that goes on until another begins. */
type Open =
  | { readonly kind: "text" | "thinking" | "redacted" }
  | { readonly kind: "call"; readonly call: number };

/** What is the same in one answer. */
interface Head extends MessageHead {
  readonly callStamp: string;
  readonly thinking: Thinking;
  /** True: the reason that is told is the one that is said. */
  readonly isReasonExact: boolean;
}

/** Writes one answer. Blocks follow each other, and are counted. */
class EventWriter implements AnswerWriter {
  readonly #head: Head;
  #usage: Usage;
  /** Events so far. */
  #count = 0;
  #blocks = 0;
  #open: Open | undefined = undefined;
  #calls = 0;
  #isRefusal = false;
  #end: Extract<Step, { kind: "end" }> | undefined = undefined;

  constructor(head: Head, usage: Usage) {
    this.#head = head;
    this.#usage = usage;
  }

  step(step: Step): string {
    if (step.kind === "usage") {
      this.#usage = step.usage;
      return "";
    }
    if (step.choice !== 0) return ""; // there is one answer
    switch (step.kind) {
      case "delta":
        if (step.block === "reasoning") return this.#thinking(step.text);
        this.#isRefusal ||= step.block === "refusal";
        return step.text === "" ? this.#start() : this.#text(step.text);
      case "signature":
        return this.#open?.kind === "thinking"
          ? this.#delta({ type: "signature_delta", signature: step.text || OWN_SIGNATURE })
          : "";
      case "redacted":
        return this.#redacted(step.data);
      case "call": {
        this.#calls++;
        const id = step.id || callId(this.#head.callStamp, step.index);
        return this.#begin({ kind: "call", call: step.index }, callBlock(id, step.name, {})) +
          this.#json("");
      }
      case "arguments":
        if (this.#open?.kind === "call" && this.#open.call === step.index) {
          return this.#json(step.text);
        }
        throw new AppError(
          "upstream_broken",
          "The upstream mixes the arguments of several tool calls, which Anthropic's API cannot say",
        );
      case "end":
        this.#end = step;
        return this.#start() + this.#stop();
      default:
        return ""; // sound, and citations of pages: it has no words for those
    }
  }

  close(): string {
    const { reason = "stop", stopSequence } = this.#end ?? {};
    const usage = this.#usage;
    return this.#start() + this.#stop() + this.#event({
      type: "message_delta",
      delta: stopReason(reason, {
        isRefusal: this.#isRefusal,
        callCount: this.#calls,
        isExact: this.#head.isReasonExact,
        stopSequence,
      }),
      usage: {
        ...inputOf(usage),
        output_tokens: usage.completionTokens,
        ...detailsOf(usage),
      },
    }) + this.#event({ type: "message_stop" });
  }

  #thinking(text: string): string {
    const { thinking } = this.#head;
    if (thinking === "none") return this.#start();
    const begun = this.#open?.kind === "thinking"
      ? ""
      : this.#begin({ kind: "thinking" }, { type: "thinking", thinking: "", signature: "" });
    return text === "" || thinking === "omitted"
      ? begun
      : begun + this.#delta({ type: "thinking_delta", thinking: text });
  }

  #redacted(data: string): string {
    return this.#head.thinking === "none"
      ? this.#start()
      : this.#begin({ kind: "redacted" }, redactedBlock(data));
  }

  #text(text: string): string {
    const begun = this.#open?.kind === "text"
      ? ""
      : this.#begin({ kind: "text" }, { type: "text", text: "" });
    return begun + this.#delta({ type: "text_delta", text });
  }

  #json(text: string): string {
    return this.#delta({ type: "input_json_delta", partial_json: text });
  }

  /** The first event, unless it has been. */
  #start(): string {
    if (this.#count > 0) return "";
    const { reasoningTokens: _, ...counts } = this.#usage; // what was thought is told at the end
    const usage = usageObject({ ...counts, completionTokens: FIRST_OUTPUT_TOKENS });
    return this.#event({
      type: "message_start",
      message: message(this.#head, [], NOT_ENDED, usage),
    });
  }

  /** Another block begins. */
  #begin(open: Open, block: unknown): string {
    const before = this.#start() + this.#stop();
    this.#open = open;
    const index = this.#blocks++;
    const begun = this.#event({ type: "content_block_start", index, content_block: block });
    return before + begun + (index === 0 ? PING : "");
  }

  #delta(delta: unknown): string {
    return this.#event({ type: "content_block_delta", index: this.#blocks - 1, delta });
  }

  /** The block that is open ends. */
  #stop(): string {
    if (this.#open === undefined) return "";
    this.#open = undefined;
    return this.#event({ type: "content_block_stop", index: this.#blocks - 1 });
  }

  #event(value: { readonly type: string; readonly [key: string]: unknown }): string {
    const json = JSON.stringify(value);
    // Spread evenly, and the same in each laying of an answer.
    const pad = PADS[(this.#count++ * 11 + json.length * 6) % PADS.length]!;
    return event(json.slice(0, -1) + pad, value.type);
  }
}

/** Behind the first block's beginning. */
const PING = event('{"type": "ping"}', "ping");
