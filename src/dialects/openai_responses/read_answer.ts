/**
 * Reads what an upstream of the Responses API answers: its events, or one `response` object from an
 * upstream that does not stream. Events that weir has no step for are left out.
 *
 * @module
 */

import type { EndReason, Step, TokenLogprob, Usage } from "../../core/answer.ts";
import { answerReader, type EventSteps } from "../../core/answer_reader.ts";
import type { AnswerReader, EventLimits } from "../../core/dialect.ts";
import { moderationsIn } from "../openai/moderations.ts";
import { broken, eventJson, object, toldError } from "../openai_chat/read_chunk.ts";

/** A reader for an answer that streams or does not. */
export function readAnswer(_fields: unknown, limits: EventLimits): AnswerReader {
  return answerReader(new ResponseSteps(), limits);
}

type Json = Readonly<Record<string, unknown>>;

/** Items of one answer that are told apart. */
const ITEMS_MAX = 4096;

/** What is told of an error that says nothing. */
const ABSENT = "The upstream told of an error";

/** One item as it goes on. */
interface RunningItem {
  /** Its number among the calls; undefined = it is none. */
  call: number | undefined;
  /** What its deltas have said. */
  said: string;
  isDone: boolean;
}

/** The steps of one answer's events. */
class ResponseSteps implements EventSteps {
  readonly #items = new Map<unknown, RunningItem>();
  #callCount = 0;
  #isFinished = false;

  read(data: string, event: string, steps: Step[]): boolean {
    const value = parsed(data, event);
    if (value === undefined) return false;
    const type = typeof value["type"] === "string" ? value["type"] : event;
    switch (type) {
      case "response.output_text.delta":
        this.#delta(value, "text", steps);
        break;
      case "response.refusal.delta":
        this.#delta(value, "refusal", steps);
        break;
      case "response.reasoning_summary_text.delta":
      case "response.reasoning_text.delta":
        this.#delta(value, "reasoning", steps);
        break;
      case "response.reasoning_summary_part.added":
        if (Number(value["summary_index"]) > 0) this.#between(value, steps);
        break;
      case "response.function_call_arguments.delta":
      case "response.custom_tool_call_input.delta":
        this.#arguments(this.#item(value), textOf(value["delta"]), steps);
        break;
      case "response.output_text.annotation.added":
        cite(object(value["annotation"]), steps);
        break;
      case "response.output_item.added":
        this.#begin(this.#item(value), object(value["item"]), steps);
        break;
      case "response.output_item.done":
        this.#finish(this.#item(value), object(value["item"]), steps);
        break;
      case "response.completed":
      case "response.incomplete":
      case "response.done":
        this.#end(object(value["response"]) ?? {}, steps);
        return true;
      case "response.failed":
      case "response.cancelled":
        throw toldError(object(value["response"])?.["error"], "The upstream's response has failed");
      case "error":
        throw toldError(value["error"] ?? { ...value, type: undefined }, ABSENT);
      default:
        if (value["object"] === "response") this.#whole(value, steps);
        else if (value["error"]) throw toldError(value["error"], ABSENT);
    }
    return false;
  }

  end(isDone: boolean): void {
    if (!isDone && !this.#isFinished) {
      throw broken("The upstream ended its answer without finishing it");
    }
  }

  /** The item that an event is of, by its place or else its id. */
  #item({ output_index, item_id, item }: Json): RunningItem {
    const key = output_index ?? item_id ?? object(item)?.["id"] ?? 0;
    let found = this.#items.get(key);
    if (found !== undefined) return found;
    if (this.#items.size === ITEMS_MAX) {
      throw broken(`The upstream sent an answer of more than ${ITEMS_MAX} items`);
    }
    found = { call: undefined, said: "", isDone: false };
    this.#items.set(key, found);
    return found;
  }

  #delta(value: Json, block: "text" | "refusal" | "reasoning", steps: Step[]): void {
    const text = textOf(value["delta"]);
    if (text === "") return;
    this.#item(value).said += text;
    const logprobs = logprobsOf(value["logprobs"]);
    const step = { kind: "delta", choice: 0, block, text } as const;
    steps.push(logprobs === undefined ? step : { ...step, logprobs });
  }

  /** Parts of a summary are paragraphs of one text. */
  #between(value: Json, steps: Step[]): void {
    this.#item(value).said += "\n\n";
    steps.push({ kind: "delta", choice: 0, block: "reasoning", text: "\n\n" });
  }

  #begin(running: RunningItem, item: Json | undefined, steps: Step[]): void {
    const type = item?.["type"];
    if (type === "reasoning") {
      steps.push({ kind: "delta", choice: 0, block: "reasoning", text: "" });
    }
    const isCustom = type === "custom_tool_call";
    if (running.call !== undefined || (type !== "function_call" && !isCustom)) return;
    running.call = this.#callCount++;
    steps.push({
      kind: "call",
      choice: 0,
      index: running.call,
      id: textOf(item!["call_id"]) || textOf(item!["id"]) || `call_${running.call}`,
      name: textOf(item!["name"]),
      ...(isCustom ? { tool: "custom" } : {}),
    });
  }

  #arguments(running: RunningItem, text: string, steps: Step[]): void {
    if (running.call === undefined || text === "") return;
    running.said += text;
    steps.push({ kind: "arguments", choice: 0, index: running.call, text });
  }

  /** The end of an item has all of it: what no delta has said is said here. */
  #finish(running: RunningItem, item: Json | undefined, steps: Step[]): void {
    if (item === undefined || running.isDone) return;
    running.isDone = true;
    switch (item["type"]) {
      case "message":
        if (running.said === "") sayParts(item["content"], steps);
        break;
      case "function_call":
      case "custom_tool_call": {
        this.#begin(running, item, steps);
        const text = textOf(item["arguments"] ?? item["input"]);
        if (text.startsWith(running.said)) {
          this.#arguments(running, text.slice(running.said.length), steps);
        }
        break;
      }
      case "reasoning": {
        const words = [...texts(item["summary"]), ...texts(item["content"])].join("\n\n");
        const text = running.said === "" ? words : "";
        steps.push({ kind: "delta", choice: 0, block: "reasoning", text });
        const proof = textOf(item["encrypted_content"]);
        if (proof !== "") steps.push({ kind: "signature", choice: 0, text: proof });
      }
    }
  }

  #end(response: Json, steps: Step[]): void {
    const { output, usage, status } = response;
    for (const [at, item] of (Array.isArray(output) ? output : []).entries()) {
      this.#finish(this.#item({ output_index: at }), object(item), steps);
    }
    const why = status === "incomplete"
      ? object(response["incomplete_details"])?.["reason"]
      : undefined;
    steps.push({ kind: "end", choice: 0, reason: this.#reason(status, why) });
    const told = usageOf(object(usage));
    if (told !== undefined) steps.push({ kind: "usage", usage: told });
    const [moderation] = moderationsIn(response["moderation"]);
    if (moderation !== undefined) steps.push({ kind: "moderation", choice: 0, moderation });
    this.#isFinished = true;
  }

  #reason(status: unknown, why: unknown): EndReason {
    if (status === "incomplete") return why === "content_filter" ? "content_filter" : "length";
    return this.#callCount > 0 ? "tool_calls" : "stop";
  }

  #whole(response: Json, steps: Step[]): void {
    const { status } = response;
    if (status === "failed" || status === "cancelled" || response["error"]) {
      throw toldError(response["error"], "The upstream's response has failed");
    }
    if (status === "queued" || status === "in_progress") {
      throw broken("The upstream answered with a response that is not finished");
    }
    this.#end(response, steps);
  }
}

function parsed(data: string, event: string): Json | undefined {
  if (data.startsWith("[DONE]")) return undefined;
  return object(eventJson(data, event, toldError));
}

/** The parts of a message that no delta has said. */
function sayParts(content: unknown, steps: Step[]): void {
  for (const value of Array.isArray(content) ? content : []) {
    const part = object(value);
    const isRefusal = part?.["type"] === "refusal";
    const text = textOf(isRefusal ? part["refusal"] : part?.["text"]);
    if (text === "") continue;
    const logprobs = logprobsOf(part!["logprobs"]);
    steps.push({
      kind: "delta",
      choice: 0,
      block: isRefusal ? "refusal" : "text",
      text,
      ...(logprobs === undefined ? {} : { logprobs }),
    });
    const { annotations } = part!;
    for (const one of Array.isArray(annotations) ? annotations : []) cite(object(one), steps);
  }
}

function cite(annotation: Json | undefined, steps: Step[]): void {
  if (annotation?.["type"] !== "url_citation") return;
  const { url, title, start_index, end_index } = annotation;
  steps.push({
    kind: "citation",
    choice: 0,
    citation: {
      url: textOf(url),
      title: textOf(title),
      startChars: Number(start_index) || 0,
      endChars: Number(end_index) || 0,
    },
  });
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The texts of a list of parts. */
function texts(parts: unknown): readonly string[] {
  return (Array.isArray(parts) ? parts : []).map((part) => textOf(object(part)?.["text"]));
}

function logprobsOf(value: unknown): readonly TokenLogprob[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  return value.map((one) => {
    const { top_logprobs: top } = object(one) ?? {};
    return { ...tokenOf(one), top: (Array.isArray(top) ? top : []).map(tokenOf) };
  });
}

function tokenOf(value: unknown) {
  const { token, logprob } = object(value) ?? {};
  return { token: textOf(token), logprob: Number(logprob) || 0 };
}

function usageOf(usage: Json | undefined): Usage | undefined {
  const promptTokens = usage?.["input_tokens"];
  const completionTokens = usage?.["output_tokens"];
  if (typeof promptTokens !== "number" || typeof completionTokens !== "number") return undefined;
  const input = object(usage!["input_tokens_details"]);
  const cached = input?.["cached_tokens"];
  const written = input?.["cache_write_tokens"];
  const reasoning = object(usage!["output_tokens_details"])?.["reasoning_tokens"];
  return {
    promptTokens,
    completionTokens,
    ...(typeof cached === "number" ? { cachedTokens: cached } : {}),
    ...(typeof written === "number" ? { cacheWriteTokens: written } : {}),
    ...(typeof reasoning === "number" ? { reasoningTokens: reasoning } : {}),
  };
}
