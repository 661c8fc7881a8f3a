/**
 * Reads what an upstream of Anthropic's dialect answers: a stream of its events, or one message.
 *
 * @module
 */

import type { EndReason, Step, Usage } from "../../core/answer.ts";
import { answerReader, type EventSteps } from "../../core/answer_reader.ts";
import type { AnswerReader, EventLimits } from "../../core/dialect.ts";
import { AppError } from "../../core/errors.ts";
import { isDeeper } from "../../lib/depth.ts";
import {
  broken,
  eventJson,
  noSentence,
  object,
  sentenceOf,
  shortened,
} from "../openai_chat/read_chunk.ts";

type Json = Readonly<Record<string, unknown>>;

/** Blocks of one answer that are told apart. */
const BLOCKS_MAX = 4096;

/** An input that nests deeper is no tool's. */
const DEPTH_MAX = 200;

/** What an error's `type` would be as a status, where the head has said 200. */
const STATUSES: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  timeout_error: 504,
  overloaded_error: 529,
};

const REASONS: Readonly<Record<string, EndReason>> = {
  max_tokens: "length",
  model_context_window_exceeded: "length",
  tool_use: "tool_calls",
  refusal: "content_filter",
};

/** A reader for an answer that streams or does not. */
export function readAnswer(_fields: unknown, limits: EventLimits): AnswerReader {
  return answerReader(new MessageSteps(), limits);
}

/** What an answer with an error's `status` says. The upstream's own sentence is kept. */
export function readError(status: number, body: string): AppError {
  let value: unknown = body;
  try {
    value = JSON.parse(body);
  } catch {
    // It is told as it is.
  }
  const error = object(value)?.["error"] ?? value;
  const sentence = sentenceOf(object(error)?.["message"]) ?? sentenceOf(error) ??
    (body.trim() || noSentence(status));
  // Its words are Anthropic's own: clients of others are told what the status says in theirs.
  return new AppError("upstream_refused", shortened(sentence), { status, told: {} });
}

/** What is going on between the beginning and the end of a block. */
interface Block {
  readonly type: unknown;
  /** Which call it is; -1 = none. */
  readonly call: number;
  hasInput: boolean;
}

/** The steps of one answer's events. */
class MessageSteps implements EventSteps {
  readonly #blocks = new Map<number, Block>();
  #callCount = 0;
  #textChars = 0;
  #usage: Json = {};
  #hasEnded = false;
  #isWhole = false;

  read(data: string, event: string, steps: Step[]): boolean {
    const value = parsed(data, event);
    if (value === undefined) return false;
    const index = value["index"];
    switch (value["type"]) {
      case "error":
        throw toldError(value["error"]);
      case "message":
        this.#isWhole = true;
        this.#message(value, steps);
        break;
      case "message_start":
        this.#note(object(value["message"])?.["usage"]);
        break;
      case "content_block_start":
        this.#begin(index, object(value["content_block"]) ?? {}, steps);
        break;
      case "content_block_delta":
        this.#delta(index, object(value["delta"]) ?? {}, steps);
        break;
      case "content_block_stop":
        this.#stop(index, steps);
        break;
      case "message_delta": {
        this.#note(value["usage"]);
        const delta = object(value["delta"]);
        if (typeof delta?.["stop_reason"] === "string") this.#end(delta, steps);
        break;
      }
      case "message_stop":
        return true;
      default: // pings, and what later versions bring
        if (value["error"]) throw toldError(value["error"]);
    }
    return false;
  }

  end(isDone: boolean): void {
    if (this.#hasEnded && (isDone || this.#isWhole)) return;
    throw broken("The upstream ended its answer without finishing it");
  }

  #message(value: Json, steps: Step[]): void {
    this.#note(value["usage"]);
    const content = Array.isArray(value["content"]) ? value["content"] : [];
    for (const [index, block] of (content as readonly unknown[]).entries()) {
      this.#begin(index, object(block) ?? {}, steps);
      this.#stop(index, steps);
    }
    if (typeof value["stop_reason"] === "string") this.#end(value, steps);
  }

  #note(usage: unknown): void {
    const told = Object.entries(object(usage) ?? {}).filter(([, value]) => value !== null);
    this.#usage = { ...this.#usage, ...Object.fromEntries(told) };
  }

  #begin(index: unknown, content: Json, steps: Step[]): void {
    const { type } = content;
    if (typeof index !== "number" || this.#blocks.size === BLOCKS_MAX) return;
    const block: Block = {
      type,
      call: type === "tool_use" ? this.#callCount++ : -1,
      hasInput: false,
    };
    this.#blocks.set(index, block);
    if (type === "tool_use") {
      const [id, name] = [textOf(content["id"]), textOf(content["name"])];
      steps.push({ kind: "call", choice: 0, index: block.call, id, name });
      const input = object(content["input"]) ?? {};
      if (isDeeper(input, DEPTH_MAX)) {
        throw broken(`The upstream's tool call nests deeper than ${DEPTH_MAX} levels`);
      }
      if (Object.keys(input).length > 0) this.#input(block, JSON.stringify(input), steps);
    } else if (type === "text") {
      this.#text(textOf(content["text"]), steps);
      const citations = Array.isArray(content["citations"]) ? content["citations"] : [];
      for (const citation of citations) this.#citation(object(citation), steps);
    } else if (type === "thinking" || type === "redacted_thinking") {
      // There was some, whether or not words of it follow.
      const text = textOf(content["thinking"]);
      steps.push({ kind: "delta", choice: 0, block: "reasoning", text });
      sign(content["signature"], steps);
    }
  }

  #delta(index: unknown, delta: Json, steps: Step[]): void {
    const block = this.#blocks.get(index as number);
    switch (delta["type"]) {
      case "text_delta":
        return this.#text(textOf(delta["text"]), steps);
      case "thinking_delta": {
        const text = textOf(delta["thinking"]);
        if (text !== "") steps.push({ kind: "delta", choice: 0, block: "reasoning", text });
        return;
      }
      case "signature_delta":
        return sign(delta["signature"], steps);
      case "input_json_delta":
        if (block !== undefined) this.#input(block, textOf(delta["partial_json"]), steps);
        return;
      case "citations_delta":
        return this.#citation(object(delta["citation"]), steps);
    }
  }

  /** Anthropic's own tools are called by Anthropic itself: nobody else hears of them. */
  #input(block: Block, text: string, steps: Step[]): void {
    if (block.call < 0 || text === "") return;
    block.hasInput = true;
    steps.push({ kind: "arguments", choice: 0, index: block.call, text });
  }

  #stop(index: unknown, steps: Step[]): void {
    const block = this.#blocks.get(index as number);
    // Arguments are JSON everywhere else, and never nothing.
    if (block !== undefined && !block.hasInput) this.#input(block, "{}", steps);
  }

  #text(text: string, steps: Step[]): void {
    this.#textChars += text.length;
    if (text !== "") steps.push({ kind: "delta", choice: 0, block: "text", text });
  }

  /** A page that the text so far is about; places in documents have no word elsewhere. */
  #citation(citation: Json | undefined, steps: Step[]): void {
    const url = textOf(citation?.["url"]);
    if (url === "") return;
    const title = textOf(citation?.["title"]);
    const endChars = this.#textChars;
    steps.push({ kind: "citation", choice: 0, citation: { url, title, startChars: 0, endChars } });
  }

  #end({ stop_reason, stop_sequence }: Json, steps: Step[]): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const isSequence = stop_reason === "stop_sequence" && typeof stop_sequence === "string";
    steps.push({
      kind: "end",
      choice: 0,
      reason: REASONS[stop_reason as string] ?? "stop",
      ...(isSequence ? { stopSequence: stop_sequence } : {}),
    });
    const usage = usageOf(this.#usage);
    if (usage !== undefined) steps.push({ kind: "usage", usage });
  }
}

function sign(signature: unknown, steps: Step[]): void {
  const text = textOf(signature);
  if (text !== "") steps.push({ kind: "signature", choice: 0, text });
}

/** The prompt's tokens are those that no cache had a part in, and the caches' sums. */
function usageOf(told: Json): Usage | undefined {
  const { input_tokens, output_tokens, cache_creation_input_tokens, cache_read_input_tokens } =
    told;
  if (typeof input_tokens !== "number" || typeof output_tokens !== "number") return undefined;
  const cachedTokens = numberOf(cache_read_input_tokens);
  const cacheWriteTokens = numberOf(cache_creation_input_tokens);
  const reasoningTokens = object(told["output_tokens_details"])?.["thinking_tokens"];
  return {
    promptTokens: input_tokens + (cachedTokens ?? 0) + (cacheWriteTokens ?? 0),
    completionTokens: output_tokens,
    ...(cachedTokens === undefined ? {} : { cachedTokens }),
    ...(cacheWriteTokens === undefined ? {} : { cacheWriteTokens }),
    ...(typeof reasoningTokens === "number" ? { reasoningTokens } : {}),
  };
}

/** undefined = it is no object: it is left out. */
function parsed(data: string, event: string): Json | undefined {
  const value = eventJson(data, event, toldError);
  if (event === "error") throw toldError(object(value)?.["error"] ?? value);
  return object(value);
}

/** An error that an upstream tells of inside an answer of status 200. */
function toldError(error: unknown): AppError {
  const { type, message } = object(error) ?? {};
  const sentence = sentenceOf(message) ?? sentenceOf(error) ?? JSON.stringify(error);
  const status = STATUSES[type as string];
  return new AppError(
    "upstream_broken",
    shortened(sentence),
    status === undefined ? {} : { status, told: {} },
  );
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
