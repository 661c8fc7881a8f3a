/**
 * What one `chat.completion.chunk` says, or a whole `chat.completion`, as steps.
 *
 * @module
 */

import type { EndReason, Step, TokenLogprob, Usage } from "../../core/answer.ts";
import type { EventSteps } from "../../core/answer_reader.ts";
import { AppError, type ErrorWords } from "../../core/errors.ts";
import { moderationsIn } from "../openai/moderations.ts";

/** An upstream's sentence is told up to this length, in UTF-16 units. */
const MESSAGE_CHARS_MAX = 1000;
/** Longest `type` or `code` of an upstream that is told, in UTF-16 units. */
const WORD_CHARS_MAX = 100;

/** Choices of one answer that are told apart: OpenAI's own limit of `n`. */
const CHOICES_MAX = 128;

/** Tool calls of one choice that are told apart. */
const CALLS_MAX = 1024;

const REASONS: ReadonlySet<string> = new Set(["stop", "length", "content_filter", "tool_calls"]);

type Json = Readonly<Record<string, unknown>>;

/** `value` when it is a JSON object. */
export function object(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Json
    : undefined;
}

/** `value` when it is a text that says something, without blanks around it. */
export function sentenceOf(value: unknown): string | undefined {
  return typeof value === "string" && value.trim() !== "" ? value.trim() : undefined;
}

/** As much of an upstream's sentence as is told. */
export function shortened(text: string): string {
  return text.slice(0, MESSAGE_CHARS_MAX).toWellFormed();
}

/** What is told of a refusal that says nothing. */
export function noSentence(status: number): string {
  return `The upstream refused with the status ${status}, and said no more`;
}

/** The error for an answer that is none. */
export function broken(message: string, cause?: unknown): AppError {
  return new AppError("upstream_broken", message, cause === undefined ? {} : { cause });
}

/**
 * The JSON of an event's data.
 *
 * @throws {AppError} when it is none: what `toldError` makes of the data of an `error` event.
 */
export function eventJson(
  data: string,
  event: string,
  toldError: (error: unknown) => AppError,
): unknown {
  try {
    return JSON.parse(data);
  } catch (cause) {
    if (event === "error") throw toldError(data);
    throw broken("The upstream sent an answer that is no JSON", cause);
  }
}

/** What an error inside an answer of status 200 would be as a status, by its code, else its type. */
const TOLD_STATUSES: ReadonlyMap<unknown, number> = new Map([
  ["context_length_exceeded", 400],
  ["invalid_prompt", 400],
  ["invalid_request_error", 400],
  ["invalid_api_key", 401],
  ["authentication_error", 401],
  ["insufficient_quota", 429],
  ["rate_limit_exceeded", 429],
  ["rate_limit_error", 429],
]);

/**
 * The words of an OpenAI-compatible error: clients decide by them whether to ask again. A `code`
 * that only says the status again is none. undefined = it has no words.
 */
export function wordsOf(error: unknown): ErrorWords | undefined {
  const { type, code } = object(error) ?? {};
  const word = isStatus(code) ? undefined : wordOf(typeof code === "number" ? String(code) : code);
  const kind = wordOf(type);
  if (word === undefined && kind === undefined) return undefined;
  return {
    ...(kind === undefined ? {} : { type: kind }),
    ...(word === undefined ? {} : { code: word }),
  };
}

function wordOf(value: unknown): string | undefined {
  return sentenceOf(value)?.slice(0, WORD_CHARS_MAX).toWellFormed();
}

function isStatus(code: unknown): code is number {
  return typeof code === "number" && code >= 400 && code <= 599;
}

/**
 * An error that an upstream tells of inside an answer of status 200. `absent` = what is said of one
 * without a sentence; absent = its JSON.
 */
export function toldError(error: unknown, absent?: string): AppError {
  const { message, type, code } = object(error) ?? {};
  const sentence = sentenceOf(message) ?? sentenceOf(error) ?? absent ?? JSON.stringify(error);
  const status = isStatus(code) ? code : TOLD_STATUSES.get(code) ?? TOLD_STATUSES.get(type);
  return new AppError("upstream_broken", shortened(sentence), {
    told: wordsOf(error) ?? (status === undefined ? undefined : {}),
    ...(status === undefined ? {} : { status }),
  });
}

/**
 * What one chunk has in common with the next: nearly all chunks of an answer differ in nothing but
 * the text, and in the pad that OpenAI makes them equally long with.
 *
 *   {"id":…,"delta":{"content":"water "},…,"obfuscation":"x7Qm"}
 *   before ──────────────────▲▲ text ▲▲ between ────────▲▲ pad ▲▲ after
 */
interface Shape {
  readonly before: string;
  /** From the quote behind the text to the one before the pad; without a pad, to the end. */
  readonly between: string;
  /** From the quote behind the pad on; "" = there is no pad. */
  readonly after: string;
  readonly choice: number;
}

/** What a JSON string may not hold as it is, or what stands for something else in it. */
const NOT_PLAIN = /["\\\p{Cc}]/u;
const CONTENT_KEY = '"content":"';
const PAD_KEY = '"obfuscation":"';

/** The text of a chunk of that shape; undefined = it has another one. */
function textIn({ before, between, after }: Shape, data: string): string | undefined {
  if (!data.startsWith(before)) return undefined;
  const to = data.indexOf('"', before.length);
  if (to < 0 || !data.startsWith(between, to)) return undefined;
  const padStart = to + between.length;
  const padEnd = data.length - after.length;
  if (after === "" ? padStart !== padEnd : padStart > padEnd || !data.endsWith(after)) {
    return undefined;
  }
  const text = data.slice(before.length, to);
  const isPlain = !NOT_PLAIN.test(text) &&
    (padStart === padEnd || !NOT_PLAIN.test(data.slice(padStart, padEnd)));
  return isPlain ? text : undefined;
}

/**
 * The shape of a chunk that says nothing but `content` in `choice`; undefined = it cannot be told.
 *
 * Without any backslash every quote begins or ends a string, so that the one `"content"` must be
 * the key of `content`, and what stands in another string changes no step.
 */
function shapeOf(data: string, content: string, choice: number): Shape | undefined {
  const from = data.indexOf(CONTENT_KEY) + CONTENT_KEY.length;
  if (from < CONTENT_KEY.length || data.includes("\\")) return undefined;
  const first = data.indexOf('"content"');
  if (first !== from - CONTENT_KEY.length || data.includes('"content"', from)) return undefined;
  const to = from + content.length;
  const pad = data.indexOf(PAD_KEY, to) + PAD_KEY.length;
  const hasPad = pad >= PAD_KEY.length;
  return {
    before: data.slice(0, from),
    between: hasPad ? data.slice(to, pad) : data.slice(to),
    after: hasPad ? data.slice(data.indexOf('"', pad)) : "",
    choice,
  };
}

/** A tool call as it goes on. */
interface RunningCall {
  /** As the upstream spells it. */
  readonly id: string;
  readonly index: number;
}

/** One choice as it goes on. */
interface RunningChoice {
  hasEnded: boolean;
  callCount: number;
  /** The last call by each index of the upstream's. */
  readonly calls: Map<number, RunningCall>;
}

/** The steps of one answer's chunks. */
export class ChunkSteps implements EventSteps {
  #shape: Shape | undefined = undefined;
  readonly #choices = new Map<number, RunningChoice>();

  /** @throws {AppError} when it is no JSON, or tells of an error. */
  read(data: string, event: string, steps: Step[]): boolean {
    const shape = this.#shape;
    // Parsed, each of them, a stream of texts takes twice the time to read.
    const text = shape === undefined || event === "error" ? undefined : textIn(shape, data);
    if (text === undefined) {
      if (data.startsWith("[DONE]")) return true;
      this.#parse(data, event, steps);
    } else if (text !== "") {
      steps.push({ kind: "delta", choice: shape!.choice, block: "text", text });
    }
    return false;
  }

  /**
   * `isDone`: the upstream has said itself that this is all.
   *
   * @throws {AppError} unless each choice that began has said why it ended; the first one, by its
   * number, is enough where the upstream says that this is all.
   */
  end(isDone: boolean): void {
    const first = this.#choices.get(Math.min(...this.#choices.keys()));
    const isFinished = first?.hasEnded === true &&
      (isDone || [...this.#choices.values()].every(({ hasEnded }) => hasEnded));
    if (!isFinished) throw broken("The upstream ended its answer without finishing it");
  }

  #parse(data: string, event: string, steps: Step[]): void {
    const value = eventJson(data, event, toldError);
    const chunk = object(value);
    if (event === "error") throw toldError(chunk?.["error"] ?? value);
    if (chunk === undefined) return;
    if (chunk["error"]) throw toldError(chunk["error"]);
    const choices = Array.isArray(chunk["choices"]) ? chunk["choices"] : [];
    for (const [at, choice] of (choices as readonly unknown[]).entries()) {
      this.#choice(object(choice), at, steps);
    }
    const usage = usageOf(chunk["usage"]);
    if (usage !== undefined) steps.push({ kind: "usage", usage });
    for (const [choice, moderation] of moderationsIn(chunk["moderation"]).entries()) {
      steps.push({ kind: "moderation", choice, moderation });
    }
    this.#learn(data, chunk, choices);
  }

  #choice(value: Json | undefined, at: number, steps: Step[]): void {
    if (value === undefined) return;
    const index = numberOf(value["index"], at, CHOICES_MAX);
    if (index === undefined) return;
    if (value["error"]) throw toldError(value["error"]);
    // Some upstreams send the whole message in one chunk.
    const delta = object(value["delta"]) ?? object(value["message"]);
    const reason = textOf(value["finish_reason"]);
    if (delta === undefined && reason === "") return;
    let choice = this.#choices.get(index);
    if (choice === undefined) {
      choice = { hasEnded: false, callCount: 0, calls: new Map() };
      this.#choices.set(index, choice);
    }
    if (delta !== undefined) {
      readMessage(delta, index, choice, object(value["logprobs"]), steps);
    }
    if (reason === "") return;
    if (reason === "error") throw broken("The upstream ended its answer with an error");
    choice.hasEnded = true;
    steps.push({ kind: "end", choice: index, reason: reasonOf(reason) });
  }

  /** Remembers what surrounds the text of a chunk that says nothing else. */
  #learn(data: string, chunk: Json, choices: readonly unknown[]): void {
    const choice = choices.length === 1 ? object(choices[0]) : undefined;
    const delta = object(choice?.["delta"]);
    if (choice === undefined || delta === undefined) return;
    const content = delta["content"];
    const isTextOnly = typeof content === "string" && Object.keys(delta).length === 1 &&
      !choice["finish_reason"] && !choice["logprobs"] && !chunk["usage"] &&
      !chunk["moderation"];
    const index = numberOf(choice["index"], 0, CHOICES_MAX);
    if (!isTextOnly || index === undefined) return;
    this.#shape = shapeOf(data, content, index) ?? this.#shape;
  }
}

function readMessage(
  delta: Json,
  choice: number,
  running: RunningChoice,
  logprobs: Json | undefined,
  steps: Step[],
): void {
  const reasoning = textOf(delta["reasoning_content"]) || textOf(delta["reasoning"]);
  if (reasoning !== "") {
    steps.push({ kind: "delta", choice, block: "reasoning", text: reasoning });
  }
  const text = textOf(delta["content"]);
  if (text !== "") {
    steps.push({ kind: "delta", choice, block: "text", text, ...likely(logprobs?.["content"]) });
  }
  const refusal = textOf(delta["refusal"]);
  if (refusal !== "") {
    const told = likely(logprobs?.["refusal"]);
    steps.push({ kind: "delta", choice, block: "refusal", text: refusal, ...told });
  }
  const annotations = Array.isArray(delta["annotations"]) ? delta["annotations"] : [];
  for (const annotation of annotations as readonly unknown[]) {
    readAnnotation(object(object(annotation)?.["url_citation"]), choice, steps);
  }
  const audio = object(delta["audio"]);
  const [data, transcript] = [textOf(audio?.["data"]), textOf(audio?.["transcript"])];
  if (data !== "" || transcript !== "") steps.push({ kind: "audio", choice, data, transcript });
  const calls = Array.isArray(delta["tool_calls"]) ? delta["tool_calls"] : [];
  for (const [at, call] of (calls as readonly unknown[]).entries()) {
    readCall(object(call), at, choice, running, steps);
  }
  const older = object(delta["function_call"]);
  if (older !== undefined) readCall({ function: older }, 0, choice, running, steps);
}

/** How likely the tokens of a text were; nothing where it is not told. */
function likely(told: unknown): { readonly logprobs?: readonly TokenLogprob[] } {
  const logprobs = (Array.isArray(told) ? told : []).flatMap((entry) => {
    const one = chanceOf(entry);
    const top = object(entry)?.["top_logprobs"];
    return one === undefined ? [] : [{
      ...one,
      top: (Array.isArray(top) ? top : []).flatMap((other) => chanceOf(other) ?? []),
    }];
  });
  return logprobs.length === 0 ? {} : { logprobs };
}

function chanceOf(
  value: unknown,
): { readonly token: string; readonly logprob: number } | undefined {
  const { token, logprob } = object(value) ?? {};
  return typeof token === "string" && typeof logprob === "number" ? { token, logprob } : undefined;
}

function readAnnotation(citation: Json | undefined, choice: number, steps: Step[]): void {
  const { url, title, start_index: start, end_index: end } = citation ?? {};
  if (typeof url !== "string") return;
  steps.push({
    kind: "citation",
    choice,
    citation: {
      url,
      title: textOf(title),
      startChars: typeof start === "number" ? start : 0,
      endChars: typeof end === "number" ? end : 0,
    },
  });
}

/**
 * Calls are counted anew: upstreams begin with 1, leave the index out, or say 0 of each call. With
 * a name and another id it is another call; another id alone is not, since some make one up for
 * each piece.
 */
function readCall(
  call: Json | undefined,
  at: number,
  choice: number,
  running: RunningChoice,
  steps: Step[],
): void {
  if (call === undefined) return;
  const told = numberOf(call["index"], at, CALLS_MAX);
  if (told === undefined) return;
  const called = object(call["function"]) ?? object(call["custom"]) ?? {};
  const [id, name] = [textOf(call["id"]), textOf(called["name"])];
  let known = running.calls.get(told);
  if (known === undefined || (name !== "" && id !== "" && id !== known.id)) {
    if (running.callCount === CALLS_MAX) return;
    known = { id, index: running.callCount++ };
    running.calls.set(told, known);
    steps.push({
      kind: "call",
      choice,
      index: known.index,
      id: id || `call_${known.index}`,
      name,
      ...(object(call["custom"]) === undefined ? {} : { tool: "custom" }),
    });
  }
  const text = argumentsOf(called["arguments"] ?? called["input"]);
  if (text !== "") steps.push({ kind: "arguments", choice, index: known.index, text });
}

/** A text, or a list of parts with texts, as some upstreams send it. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return "";
  let text = "";
  for (const part of value as readonly unknown[]) {
    text += typeof part === "string" ? part : textOf(object(part)?.["text"]);
  }
  return text;
}

/** Arguments are JSON as text; some upstreams send the object itself. */
function argumentsOf(value: unknown): string {
  return object(value) === undefined ? textOf(value) : JSON.stringify(value);
}

/** A number from 0 to below `max`, `absent` when there is none; undefined = it is not in range. */
function numberOf(value: unknown, absent: number, max: number): number | undefined {
  const number = value ?? absent;
  const isRight = typeof number === "number" && Number.isInteger(number) && number >= 0 &&
    number < max;
  return isRight ? number : undefined;
}

function reasonOf(word: string): EndReason {
  if (word === "function_call") return "tool_calls";
  return REASONS.has(word) ? word as EndReason : "stop";
}

function usageOf(value: unknown): Usage | undefined {
  const usage = object(value);
  const promptTokens = usage?.["prompt_tokens"];
  const completionTokens = usage?.["completion_tokens"];
  if (typeof promptTokens !== "number" || typeof completionTokens !== "number") return undefined;
  const told: Record<string, number> = {};
  for (const [part, names] of Object.entries(USAGE_DETAILS)) {
    const details = object(usage![part]);
    for (const [name, key] of Object.entries(names)) {
      const count = details?.[name];
      if (typeof count === "number") told[key] = count;
    }
  }
  return { promptTokens, completionTokens, ...told };
}

/** Where the counts of `Usage` stand. */
const USAGE_DETAILS: Readonly<Record<string, Readonly<Record<string, keyof Usage>>>> = {
  prompt_tokens_details: {
    cached_tokens: "cachedTokens",
    cache_write_tokens: "cacheWriteTokens",
    audio_tokens: "promptAudioTokens",
  },
  completion_tokens_details: {
    reasoning_tokens: "reasoningTokens",
    audio_tokens: "completionAudioTokens",
    accepted_prediction_tokens: "acceptedPredictionTokens",
    rejected_prediction_tokens: "rejectedPredictionTokens",
  },
};
