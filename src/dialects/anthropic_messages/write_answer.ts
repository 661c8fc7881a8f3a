/**
 * What Anthropic's Messages API answers: its events, and the message in one piece
 * (docs/facts/anthropic.md "Answer" and "Stream").
 *
 * @module
 */

import type { EndReason, Step, Usage } from "../../core/answer.ts";
import type { AnswerWriter } from "../../core/dialect.ts";
import { AppError } from "../../core/errors.ts";
import type { Layout, StampTexts } from "../../core/frames.ts";
import type { Gathered, GatheredChoice } from "../../core/gathering.ts";
import { event } from "./events.ts";
import type { Thinking } from "./request.ts";

/** Characters of a message's id behind "msg_01", and of what the ids of its calls are made of. */
export const MESSAGE_ID_LENGTHS: readonly number[] = [22, 20];

/** The signature of reasoning that nobody signed: the mock's. It says so. */
const OWN_SIGNATURE = Buffer.from("weir's mock has thought this, and nobody can check it").toString(
  "base64",
);

const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0 };

/** Output tokens that a stream begins with, whatever follows. */
const FIRST_OUTPUT_TOKENS = 1;

/** Lays and speaks answers as events, or in one piece. */
export class MessageLayout implements Layout {
  readonly key: string;
  readonly idLengths = MESSAGE_ID_LENGTHS;
  readonly #model: string;
  readonly #thinking: Thinking;

  /** `model`: as the answer names it. */
  constructor(model: string, thinking: Thinking) {
    this.key = `anthropic_messages ${thinking} ${model}`;
    this.#model = model;
    this.#thinking = thinking;
  }

  writer([, id, calls]: StampTexts, foretold: Usage = NO_USAGE): AnswerWriter {
    const head = { model: this.#model, id: id!, callStamp: calls!, thinking: this.#thinking };
    return new EventWriter(head, foretold);
  }

  whole({ choices, usage = NO_USAGE }: Gathered, [, id, calls]: StampTexts): string {
    const choice = choices[0]!;
    const reason = stopReason(choice.reason, choice.refusal !== "", choice.calls.length, choice);
    return JSON.stringify(
      message(
        this.#model,
        id!,
        contentOf(choice, calls!, this.#thinking),
        reason,
        usageObject(usage),
      ),
    );
  }
}

/** The keys of a message, in their order on the wire. */
function message(
  model: string,
  id: string,
  content: readonly unknown[],
  reason: StopReason,
  usage: unknown,
) {
  return {
    model,
    id: `msg_01${id}`,
    type: "message",
    role: "assistant",
    content,
    ...reason,
    usage,
  };
}

/** Why an answer ended, in the keys that say it. */
interface StopReason {
  readonly stop_reason: string | null;
  readonly stop_sequence: string | null;
  readonly stop_details: null;
}

const NOT_ENDED: StopReason = { stop_reason: null, stop_sequence: null, stop_details: null };

const STOP_REASONS = {
  stop: "end_turn",
  length: "max_tokens",
  content_filter: "refusal",
  tool_calls: "tool_use",
} as const satisfies Record<EndReason, string>;

function stopReason(
  reason: EndReason,
  isRefusal: boolean,
  callCount: number,
  { stopSequence }: { readonly stopSequence?: string | undefined },
): StopReason {
  const isStop = reason === "stop";
  // Some upstreams of the chat API say "stop" behind calls.
  const word = isStop && isRefusal
    ? "refusal"
    : isStop && callCount > 0
    ? "tool_use"
    : isStop && stopSequence !== undefined
    ? "stop_sequence"
    : STOP_REASONS[reason];
  return {
    stop_reason: word,
    stop_sequence: word === "stop_sequence" ? stopSequence! : null,
    stop_details: null,
  };
}

/** The prompt's counts. `input_tokens` are those that no cache had a part in. */
function inputOf({ promptTokens, cachedTokens = 0, cacheWriteTokens = 0 }: Usage) {
  return {
    input_tokens: Math.max(0, promptTokens - cachedTokens - cacheWriteTokens),
    cache_creation_input_tokens: cacheWriteTokens,
    cache_read_input_tokens: cachedTokens,
  };
}

function detailsOf({ reasoningTokens }: Usage) {
  return reasoningTokens === undefined
    ? {}
    : { output_tokens_details: { thinking_tokens: reasoningTokens } };
}

/** The `usage` of a message. */
function usageObject(usage: Usage, outputTokens = usage.completionTokens) {
  return {
    ...inputOf(usage),
    cache_creation: {
      ephemeral_5m_input_tokens: usage.cacheWriteTokens ?? 0,
      ephemeral_1h_input_tokens: 0,
    },
    output_tokens: outputTokens,
    ...detailsOf(usage),
    service_tier: "standard",
    inference_geo: "not_available",
  };
}

/** The id of the `index`th call, when nobody has given it one: "toolu_01" and 22 of [A-Za-z0-9]. */
function callId(stamp: string, index: number): string {
  return `toolu_01${stamp}${(index % 1296).toString(36).padStart(2, "0")}`;
}

function callBlock(id: string, name: string, input: unknown) {
  return { type: "tool_use", id, name, input, caller: { type: "direct" } };
}

function contentOf(
  choice: GatheredChoice,
  callStamp: string,
  thinking: Thinking,
): readonly unknown[] {
  const { reasoning, signature, text, refusal, calls } = choice;
  const said = text + refusal;
  return [
    ...(thinking === "none" || (reasoning === "" && signature === undefined) ? [] : [{
      type: "thinking",
      thinking: thinking === "words" ? reasoning : "",
      signature: signature === "" ? OWN_SIGNATURE : signature ?? "",
    }]),
    ...(said === "" ? [] : [{ type: "text", text: said }]),
    ...calls.map(({ id, name, arguments: text }, index) =>
      callBlock(id || callId(callStamp, index), name, inputIn(text))
    ),
  ];
}

/** The object that arguments are the JSON of. */
function inputIn(text: string): unknown {
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AppError("upstream_broken", "The arguments of a tool call are no JSON", { cause });
  }
}

/** Pads an event with blanks before its last brace, 0 to 15 of them, as the API does. */
const PADS = Array.from({ length: 16 }, (_, count) => `${" ".repeat(count)}}`);

/** What is being said: a block that goes on until another begins. */
type Open =
  | { readonly kind: "text" }
  | { readonly kind: "thinking" }
  | { readonly kind: "call"; readonly call: number };

/** What is the same in one answer. */
interface Head {
  readonly model: string;
  readonly id: string;
  readonly callStamp: string;
  readonly thinking: Thinking;
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
      delta: stopReason(reason, this.#isRefusal, this.#calls, { stopSequence }),
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
    const usage = usageObject(this.#usage, FIRST_OUTPUT_TOKENS);
    return this.#event({
      type: "message_start",
      message: message(this.#head.model, this.#head.id, [], NOT_ENDED, usage),
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
