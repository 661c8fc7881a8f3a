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
}

type Json = Readonly<Record<string, unknown>>;

/** Characters of an error that are told. */
const ERROR_CHARS_MAX = 200;

const NOTHING: Meaning = { kinds: KIND.choice, text: "" };

/** What an event's data says. `event` is the name of its `event:` field, "" = none. */
export function meaningOf(data: string, event: string): Meaning {
  if (data.startsWith("[DONE]")) return { kinds: KIND.done, text: "" };
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    if (event === "error") return errorMeaning(data);
    // JSON that is none is a fault; other text is an event of its own kind.
    return /^\s*[{[]/.test(data)
      ? { kinds: KIND.error | KIND.broken, text: "", error: "an event is broken JSON" }
      : { kinds: KIND.other, text: "" };
  }
  const chunk = object(value);
  if (chunk === undefined) return { kinds: KIND.other, text: "" };
  if (event === "error") return errorMeaning(chunk["error"] ?? chunk);
  if (chunk["error"]) return errorMeaning(chunk["error"]);
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
  if (answer === undefined) return { kinds: KIND.other, text: "" };
  if (answer["error"]) return errorMeaning(answer["error"]);
  if (Array.isArray(answer["choices"])) {
    const said = choicesMeaning(answer, answer["choices"]);
    return { ...said, kinds: said.kinds | KIND.done };
  }
  const usage = usageOf(answer["usage"]);
  const told = usage === undefined ? 0 : KIND.usage;
  if (answer["object"] === "response" || answer["type"] === "message") {
    const isMessage = answer["type"] === "message";
    const blocks = isMessage ? list(answer["content"]) : list(answer["output"]).flatMap((item) => [
      object(item),
      ...list(object(item)?.["content"]),
      ...list(object(item)?.["summary"]),
    ]);
    const said = blocksMeaning(blocks);
    return { kinds: said.kinds | told | KIND.finish | KIND.done, text: said.text, usage };
  }
  const { data } = answer;
  // Embeddings and lists: an empty one says nothing.
  if (Array.isArray(data)) {
    return { kinds: (data.length > 0 ? KIND.other : 0) | told | KIND.done, text: "", usage };
  }
  return {
    kinds: (Object.keys(answer).length > 0 ? KIND.other : 0) | told | KIND.done,
    text: "",
    usage,
  };
}

/** Of chat completions and completions, streamed or whole. */
function choicesMeaning(chunk: Json, choices: readonly unknown[]): Meaning {
  let kinds = choices.length === 0 ? 0 : KIND.choice;
  let text = "";
  for (const one of choices) {
    const choice = object(one);
    if (choice === undefined) continue;
    if (choice["error"]) return errorMeaning(choice["error"]);
    const delta = object(choice["delta"]) ?? object(choice["message"]);
    if (delta !== undefined) {
      if (delta["role"]) kinds |= KIND.role;
      const reasoning = textIn(delta["reasoning_content"]) || textIn(delta["reasoning"]);
      if (reasoning !== "") kinds |= KIND.reasoning;
      const said = textIn(delta["content"]) + textIn(delta["refusal"]);
      if (said !== "") kinds |= KIND.text;
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
    if (choice["finish_reason"]) kinds |= KIND.finish;
  }
  const usage = usageOf(chunk["usage"]);
  if (usage !== undefined) kinds |= KIND.usage;
  return { kinds, text, usage };
}

/** Kinds of the events that carry a piece in one field: by type, the field's name. */
const PIECES: Readonly<Record<string, readonly [kind: number, key: string]>> = {
  "response.output_text.delta": [KIND.text, "delta"],
  "response.refusal.delta": [KIND.text, "delta"],
  "response.reasoning_text.delta": [KIND.reasoning, "delta"],
  "response.reasoning_summary_text.delta": [KIND.reasoning, "delta"],
  "response.function_call_arguments.delta": [KIND.tool, "delta"],
  "response.custom_tool_call_input.delta": [KIND.tool, "delta"],
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
      return errorMeaning(object(chunk["response"])?.["error"] ?? type);
    case "response.completed":
    case "response.incomplete": {
      const usage = usageOf(object(chunk["response"])?.["usage"]);
      const told = usage === undefined ? 0 : KIND.usage;
      return { kinds: KIND.choice | KIND.finish | KIND.done | told, text: "", usage };
    }
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
    case "message_delta": {
      const usage = usageOf(chunk["usage"]);
      const told = usage === undefined ? 0 : KIND.usage;
      return { kinds: KIND.choice | KIND.finish | told, text: "", usage };
    }
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

/** Both spellings: OpenAI's chat and completions, and that of Responses and Anthropic. */
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
  return tokens + (number(usage["cache_read_input_tokens"]) ?? 0) +
    (number(usage["cache_creation_input_tokens"]) ?? 0);
}

function object(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Json
    : undefined;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function number(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function textIn(value: unknown): string {
  return typeof value === "string" ? value : "";
}
