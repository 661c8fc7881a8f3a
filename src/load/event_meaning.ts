/**
 * What one event of a stream, or one whole JSON answer, says: of chat completions, completions,
 * Responses, Anthropic's Messages, embeddings, and of anything else as far as it can be told.
 *
 * The dialects' own readers give steps for somebody who re-speaks an answer. Here an event is wanted
 * as it stands, the ones that say nothing included: other tools count those.
 *
 * @module
 */

import { KIND, type ToldUsage } from "./record.ts";

/** What an event says. */
export interface Meaning {
  /** Bits of `KIND`. */
  readonly kinds: number;
  /** Its text, reasoning, refusal, or piece of a tool call's arguments; "" = none. */
  readonly text: string;
  readonly usage?: ToldUsage | undefined;
  /** What went wrong, of an event that says so. */
  readonly error?: string | undefined;
  /** The choices it belongs to, and those that end in it: a bit for each index below 31. */
  readonly choices?: number | undefined;
  readonly ended?: number | undefined;
  /** Of a whole answer. */
  readonly form?: AnswerForm | undefined;
}

/** What a whole answer is. `data`: anything but a text for people; `any`: even that. */
export type AnswerForm = "choices" | "response" | "message" | "list" | "data" | "any";

type Json = Readonly<Record<string, unknown>>;

/** Characters of an error that are kept. Secrets are taken out of it before it is cut to what is told. */
const ERROR_CHARS_MAX = 4096;
/** A count of tokens from here on is none: no context of a model is so long. */
const COUNT_MAX = 1e9;
/** Choices that are told apart. */
const CHOICES_MAX = 31;

const NOTHING: Meaning = { kinds: KIND.choice, text: "" };

/**
 * Words for how or why an answer ended, of all APIs, that are no good end: it was cut off, or it still
 * goes on. Every other word ends it, those of a limit and of a filter included.
 */
const NO_ENDS: ReadonlyMap<unknown, "failed" | "open"> = new Map([
  ...[
    "abort", // vLLM, SGLang
    "aborted",
    "canceled",
    "cancelled", // Responses, TensorRT-LLM
    "error",
    "failed", // Responses
    "insufficient_system_resource", // DeepSeek
    "network_error", // GLM
    "timeout",
  ].map((word) => [word, "failed"] as const),
  ...["in_progress", "queued"].map((word) => [word, "open"] as const), // Responses
]);

function endOf(word: unknown): "ended" | "failed" | "open" {
  return word ? NO_ENDS.get(word) ?? "ended" : "open";
}

/** What an event's data says. `event` is the name of its `event:` field, "" = none. */
export function meaningOf(data: string, event: string): Meaning {
  if (data.startsWith("[DONE]")) return { kinds: KIND.done, text: "" };
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    if (event === "error" || /^error:/i.test(data)) return errorMeaning(data);
    // JSON that is none is a fault; other text is an event of its own kind.
    return /^\s*[{[]/.test(data)
      ? { kinds: KIND.error | KIND.broken, text: "", error: "an event is broken JSON" }
      : { kinds: KIND.other, text: "" };
  }
  const chunk = object(value);
  if (chunk === undefined) return { kinds: KIND.other, text: "" };
  if (event === "error") return errorMeaning(chunk["error"] ?? chunk);
  if (chunk["error"]) return errorMeaning(chunk["error"]);
  if (chunk["object"] === "error") return errorMeaning(chunk);
  const { type } = chunk;
  if (Array.isArray(chunk["choices"])) return choicesMeaning(chunk, chunk["choices"]);
  if (typeof type === "string") return typedMeaning(type, chunk);
  const told = usageOf(chunk["usage"]);
  return { kinds: told === undefined ? KIND.other : KIND.usage, text: "", usage: told };
}

/** What a whole JSON answer says. */
export function wholeMeaning(body: string): Meaning {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return { kinds: KIND.error, text: "", error: "the answer is no JSON" };
  }
  const answer = object(value);
  if (answer === undefined) return { kinds: KIND.other, text: "", form: "data" };
  if (answer["error"]) return errorMeaning(answer["error"]);
  if (answer["object"] === "error") return errorMeaning(answer);
  if (Array.isArray(answer["choices"])) {
    const said = choicesMeaning(answer, answer["choices"]);
    return { ...said, kinds: said.kinds | KIND.done, form: "choices" };
  }
  if (answer["object"] === "response" || answer["type"] === "message") {
    const isMessage = answer["type"] === "message";
    const end = isMessage
      ? endMeaning(answer, answer["stop_reason"], KIND.done)
      : responseMeaning(answer);
    if (end.error !== undefined) return end;
    const blocks = isMessage ? list(answer["content"]) : list(answer["output"]).flatMap((item) => [
      object(item),
      ...list(object(item)?.["content"]),
      ...list(object(item)?.["summary"]),
    ]);
    const { kinds, text } = blocksMeaning(blocks);
    return { ...end, kinds: end.kinds | kinds, text, form: isMessage ? "message" : "response" };
  }
  const usage = usageOf(answer["usage"]);
  const told = usage === undefined ? 0 : KIND.usage;
  const { data } = answer;
  const isFull = Array.isArray(data)
    ? data.length > 0 && !data.some(isEmptyItem)
    : Object.keys(answer).length > 0;
  return {
    kinds: (isFull ? KIND.other : 0) | told | KIND.done,
    text: "",
    usage,
    form: Array.isArray(data) ? "list" : "data",
  };
}

/** True of an item of a list that is nothing, and of an embedding without a number. */
function isEmptyItem(item: unknown): boolean {
  const embedding = object(item)?.["embedding"];
  return item === null || embedding === null || embedding === "" ||
    (Array.isArray(embedding) && embedding.length === 0);
}

/** Of chat completions and completions, streamed or whole. */
function choicesMeaning(chunk: Json, choices: readonly unknown[]): Meaning {
  let kinds = choices.length === 0 ? 0 : KIND.choice;
  let text = "";
  let [seen, ended] = [0, 0];
  for (const one of choices) {
    const choice = object(one);
    if (choice === undefined) continue;
    if (choice["error"]) return errorMeaning(choice["error"]);
    const end = endOf(choice["finish_reason"]);
    if (end === "failed") return cutOff(choice["finish_reason"]);
    const index = number(choice["index"]) ?? 0;
    const bit = index >= 0 && index < CHOICES_MAX ? 1 << index : 0;
    seen |= bit;
    const delta = object(choice["delta"]) ?? object(choice["message"]);
    if (delta !== undefined) {
      if (delta["role"]) kinds |= KIND.role;
      const { thought, said: content } = contentIn(delta["content"]);
      const reasoning = thought + reasoningIn(delta);
      if (reasoning !== "") kinds |= KIND.reasoning;
      const audio = object(delta["audio"]);
      const said = content + textIn(delta["refusal"]) + textIn(audio?.["transcript"]);
      if (said !== "") kinds |= KIND.text;
      // What is seen or heard was made by the model as well, and no two of it are alike.
      if (textIn(audio?.["data"]) !== "") kinds |= KIND.text | KIND.other;
      if (list(delta["images"]).length > 0) kinds |= KIND.other;
      text += reasoning + said;
      for (const call of [...list(delta["tool_calls"]), { function: delta["function_call"] }]) {
        const called = object(object(call)?.["function"]) ?? object(object(call)?.["custom"]);
        if (called === undefined) continue;
        kinds |= KIND.tool;
        text += textIn(called["arguments"]) + textIn(called["input"]);
      }
    }
    const said = textIn(choice["text"]); // completions
    if (said !== "") kinds |= KIND.text;
    text += said;
    if (end === "ended") {
      kinds |= KIND.finish;
      ended |= bit;
    }
  }
  const usage = usageOf(chunk["usage"]);
  if (usage !== undefined) kinds |= KIND.usage;
  return { kinds, text, usage, choices: seen, ended };
}

/** Where servers put reasoning, besides `content`. Some say the same in two of these. */
function reasoningIn(delta: Json): string {
  for (const key of ["reasoning_content", "reasoning", "reasoning_text", "thinking"]) {
    const text = textIn(delta[key]);
    if (text !== "") return text;
  }
  return list(delta["reasoning_details"]).map((one) => {
    const detail = object(one);
    return textIn(detail?.["text"]) || textIn(detail?.["summary"]);
  }).join("");
}

/** Content is a text, or pieces of text and of thinking. */
function contentIn(content: unknown): { readonly thought: string; readonly said: string } {
  let [thought, said] = ["", textIn(content)];
  for (const one of list(content)) {
    const piece = object(one);
    said += textIn(piece?.["text"]);
    const thinking = piece?.["thinking"];
    thought += textIn(thinking) +
      list(thinking).map((part) => textIn(object(part)?.["text"])).join("");
  }
  return { thought, said };
}

/** Kinds of the events that carry a piece in one field: by type, the field's name. */
const PIECES: Readonly<Record<string, readonly [kind: number, key: string]>> = {
  "response.output_text.delta": [KIND.text, "delta"],
  "response.refusal.delta": [KIND.text, "delta"],
  "response.reasoning_text.delta": [KIND.reasoning, "delta"],
  "response.reasoning_summary_text.delta": [KIND.reasoning, "delta"],
  "response.function_call_arguments.delta": [KIND.tool, "delta"],
  "response.custom_tool_call_input.delta": [KIND.tool, "delta"],
  "response.audio.transcript.delta": [KIND.text, "delta"],
  "response.output_audio_transcript.delta": [KIND.text, "delta"],
  text_delta: [KIND.text, "text"],
  thinking_delta: [KIND.reasoning, "thinking"],
  input_json_delta: [KIND.tool, "partial_json"],
};

/** Of Responses and Anthropic's Messages. */
function typedMeaning(type: string, chunk: Json): Meaning {
  switch (type) {
    case "error":
      return errorMeaning(chunk["error"] ?? chunk);
    case "response.failed":
    case "response.cancelled":
      return errorMeaning(object(chunk["response"])?.["error"] ?? type);
    case "response.completed":
    case "response.incomplete":
      return responseMeaning(object(chunk["response"]) ?? {});
    case "response.created":
      return { kinds: KIND.choice | KIND.role, text: "" };
    case "message_start":
      return {
        kinds: KIND.choice | KIND.role,
        text: "",
        // Its count of what will be said is a placeholder; `message_delta` has the end's.
        usage: usageOf(object(chunk["message"])?.["usage"]),
      };
    case "content_block_delta": {
      const delta = object(chunk["delta"]) ?? {};
      return pieceMeaning(String(delta["type"]), delta) ?? NOTHING;
    }
    case "content_block_start":
      return blocksMeaning([object(chunk["content_block"])]);
    case "message_delta":
      return endMeaning(chunk, object(chunk["delta"])?.["stop_reason"], 0);
    case "message_stop":
      return { kinds: KIND.done, text: "" };
    case "ping":
      return { kinds: KIND.comment, text: "" };
    case "content_block_stop":
      return NOTHING;
  }
  const piece = pieceMeaning(type, chunk);
  if (piece !== undefined) return piece;
  return type.startsWith("response.") ? NOTHING : { kinds: KIND.other, text: "" };
}

/** The end of a response, in its last event or whole. One that does not say how it is has ended. */
function responseMeaning(response: Json): Meaning {
  return endMeaning(response, response["status"] ?? "completed", KIND.done);
}

/** How `said` ended by the `word` for it. `kinds`: what it is besides. */
function endMeaning(said: Json, word: unknown, kinds: number): Meaning {
  if (said["error"]) return errorMeaning(said["error"]);
  const end = endOf(word);
  if (end === "failed") return cutOff(word);
  const usage = usageOf(said["usage"]);
  const told = (end === "ended" ? KIND.finish : 0) | (usage === undefined ? 0 : KIND.usage);
  return { kinds: KIND.choice | told | kinds, text: "", usage };
}

function pieceMeaning(type: string, from: Json): Meaning | undefined {
  const found = PIECES[type];
  if (found === undefined) return undefined;
  const text = textIn(from[found[1]]);
  return text === "" ? NOTHING : { kinds: KIND.choice | found[0], text };
}

/** Blocks of a message or items of a response. */
function blocksMeaning(blocks: readonly unknown[]): Meaning {
  let kinds: number = KIND.choice;
  let text = "";
  for (const one of blocks) {
    const block = object(one);
    switch (block?.["type"]) {
      case "text":
      case "output_text":
      case "refusal": {
        const said = textIn(block["text"]) + textIn(block["refusal"]);
        if (said !== "") kinds |= KIND.text;
        text += said;
        break;
      }
      case "thinking":
      case "reasoning_text":
      case "summary_text": {
        const said = textIn(block["thinking"]) + textIn(block["text"]);
        if (said !== "") kinds |= KIND.reasoning;
        text += said;
        break;
      }
      case "tool_use":
      case "function_call":
      case "custom_tool_call":
        kinds |= KIND.tool;
        text += textIn(block["arguments"]);
    }
  }
  return { kinds, text };
}

function cutOff(word: unknown): Meaning {
  return errorMeaning(`it ended as "${String(word)}"`);
}

function errorMeaning(error: unknown): Meaning {
  const { message, type, code } = object(error) ?? {};
  const said = [code, type, message].filter((word) => typeof word === "string" && word !== "");
  const text = said.length > 0
    ? said.join(": ")
    : typeof error === "string"
    ? error
    : JSON.stringify(error);
  return { kinds: KIND.error, text: "", error: text.slice(0, ERROR_CHARS_MAX).toWellFormed() };
}

/**
 * Both spellings: OpenAI's chat and completions, and that of Responses and Anthropic. A count that
 * cannot be is -1.
 */
function usageOf(value: unknown): ToldUsage | undefined {
  const usage = object(value);
  if (usage === undefined) return undefined;
  const promptTokens = number(usage["prompt_tokens"]) ?? promptOf(usage);
  const completionTokens = number(usage["completion_tokens"]) ?? number(usage["output_tokens"]);
  if (promptTokens === undefined && completionTokens === undefined) return undefined;
  const input = object(usage["prompt_tokens_details"]) ?? object(usage["input_tokens_details"]);
  const output = object(usage["completion_tokens_details"]) ??
    object(usage["output_tokens_details"]);
  const reasoningTokens = number(output?.["reasoning_tokens"]);
  const cachedTokens = number(input?.["cached_tokens"]) ?? number(usage["cache_read_input_tokens"]);
  return {
    promptTokens: promptTokens ?? NaN,
    completionTokens: completionTokens ?? NaN,
    ...(reasoningTokens === undefined ? {} : { reasoningTokens }),
    ...(cachedTokens === undefined ? {} : { cachedTokens }),
  };
}

/** Anthropic's prompt is what no cache had a part in, and the caches' sums. */
function promptOf(usage: Json): number | undefined {
  const tokens = number(usage["input_tokens"]);
  if (tokens === undefined) return undefined;
  const cached = ["cache_read_input_tokens", "cache_creation_input_tokens"].map((key) =>
    number(usage[key]) ?? 0
  );
  const counts = [tokens, ...cached];
  return counts.some((count) => count < 0) ? -1 : counts.reduce((sum, count) => sum + count, 0);
}

function object(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Json
    : undefined;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A count; -1 = it is none. */
function number(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  const isCount = Number.isInteger(value) && (value as number) >= 0 &&
    (value as number) < COUNT_MAX;
  return isCount ? value as number : -1;
}

function textIn(value: unknown): string {
  return typeof value === "string" ? value : "";
}
