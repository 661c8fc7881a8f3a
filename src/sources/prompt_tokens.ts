/**
 * What a prompt costs: its texts as the model's encoding counts them, and what the API puts around
 * them (docs/facts/openai_api.md "Prompt tokens").
 *
 * @module
 */

import {
  type Message,
  responseFormatOf,
  textOf,
  type Tool,
  toolsOf,
  type Turn,
} from "../core/turn.ts";
import { isDeeper } from "../lib/depth.ts";
import { toolText } from "./tool_text.ts";

/** What a turn's prompt consists of. */
export type Prompt = Pick<
  Turn,
  "model" | "messages" | "params" | "prompts" | "promptCounts" | "hasResponseTools"
>;

/** Counts tokens in the encoding of one model. */
export interface TextCounter {
  /** Texts above it, in UTF-8 bytes, are estimated. */
  readonly countBytesMax: number;
  /** Tokens of `texts`, each counted for itself; an estimate when all together are over the bound. */
  countAll(texts: readonly string[]): number;
}

const PER_MESSAGE = 3;
const PER_CALL = 6;
const PER_CALLS = 4;
/** Behind the rule, in the words of OpenAI's guide: "if there's a name". */
const PER_NAME = 1;
/** Around the text of the tools: gpt-5 has a text of its own, … */
const TOOLS_OF_GPT5 = 91;
/** … which is shorter in the Responses API, where others have less as well. */
const RESPONSE_TOOLS_OF_GPT5 = 9;
const RESPONSE_TOOLS = 3;

/** Roles of one token in each encoding. */
const KNOWN_ROLES: ReadonlySet<string> = new Set(["system", "developer", "user", "assistant"]);

/** A deeper value is not written as JSON, which takes the square of its depth. */
const JSON_DEPTH_MAX = 100;

const GPT5 = /^(?:ft:)?gpt-[5-9]/;
const REASONING = /^(?:ft:)?o\d/;
/** Models that search the web read what the user says and nothing that stands before it. */
const SEARCHING = /^gpt-4o(?:-mini)?-search/;
/** Messages of the application, which declare tools as well. */
const INSTRUCTING: ReadonlySet<string> = new Set(["system", "developer"]);

const NO_COUNTS: ReadonlyMap<number, number> = new Map();

/** Tokens of the prompt of `turn`: exact for texts and tools, without those of images and files. */
export function promptTokens(
  { model, messages, params, prompts, promptCounts, hasResponseTools }: Prompt,
  counter: TextCounter,
): number {
  if (prompts !== undefined) {
    const given = promptCounts ?? NO_COUNTS;
    const texts = given.size === 0 ? prompts : prompts.filter((_, i) => !given.has(i));
    return [...given.values()].reduce((sum, count) => sum + count, counter.countAll(texts));
  }
  const isGpt5 = GPT5.test(model);
  const texts: string[] = [];
  // What the answer begins with.
  const isSearching = SEARCHING.test(model);
  let tokens = isGpt5 || isSearching || REASONING.test(model) ? 2 : 3;

  let toolsBlock = "";
  const tools = toolsOf({ params });
  if (tools.length > 0) {
    const text = toolTextOf(tools, params, counter.countBytesMax);
    if (isGpt5) {
      tokens += hasResponseTools ? RESPONSE_TOOLS_OF_GPT5 : TOOLS_OF_GPT5;
      if (tools.every(({ description }) => description === "")) tokens--;
      texts.push(text);
    } else if (hasResponseTools) {
      tokens += RESPONSE_TOOLS;
      texts.push(text);
    } else {
      toolsBlock = `# Tools\n\n## functions\n\n${text}`;
    }
  }

  const calledNames = new Map<unknown, string>();
  for (const message of messages) {
    const { role } = message;
    if (isSearching && INSTRUCTING.has(role)) continue;
    let content = textOf(message.content);
    const calls = role === "assistant" ? callsOf(message, counter.countBytesMax) : NO_CALLS;
    if (calls.length === 1) {
      const [{ id, name, text }] = calls as readonly [Called];
      calledNames.set(id, name);
      tokens += PER_CALL + (isGpt5 ? PER_CALL : 0);
      texts.push(content, name, text);
    } else if (calls.length > 1) {
      for (const { id, name } of calls) calledNames.set(id, name);
      tokens += PER_CALLS;
      texts.push(content, callsText(calls));
    } else if (role === "tool" || role === "function") {
      const name = role === "tool" ? calledNames.get(message["tool_call_id"]) : message["name"];
      tokens += PER_CALL;
      texts.push(`functions.${name ?? ""}`, content);
    } else {
      tokens += PER_MESSAGE;
      if (toolsBlock !== "" && INSTRUCTING.has(role)) {
        content = `${content}\n\n${toolsBlock}`;
        toolsBlock = "";
        tokens--;
      }
      if (KNOWN_ROLES.has(role)) tokens++;
      else texts.push(role);
      texts.push(content);
      if (typeof message["name"] === "string") {
        tokens += PER_NAME;
        texts.push(message["name"]);
      }
    }
  }
  if (toolsBlock !== "") {
    tokens += PER_MESSAGE;
    texts.push(toolsBlock);
  }
  const format = responseFormatOf({ params });
  if (format.kind === "json_schema") texts.push(jsonOf(format.schema));
  return tokens + counter.countAll(texts);
}

/** A text for the tools; once it is too long to be counted, their JSON, from which to estimate. */
function toolTextOf(tools: readonly Tool[], params: Turn["params"], charsMax: number): string {
  const text = toolText(tools, charsMax);
  if (text.length <= charsMax) return text;
  return jsonOf([params["tools"], params["functions"]]) || text;
}

/** A call that an assistant has made. */
interface Called {
  readonly id: unknown;
  readonly name: string;
  /** Compact JSON, or the text of a custom tool. */
  readonly text: string;
}

const NO_CALLS: readonly Called[] = [];

/**
 * The calls of a message, the older `function_call` among them. Arguments above `charsMax`, which
 * are estimated anyway, are left as they are.
 */
function callsOf({ tool_calls, function_call }: Message, charsMax: number): readonly Called[] {
  if (Array.isArray(tool_calls)) {
    return tool_calls.map((call) =>
      call?.custom === undefined
        ? called(call?.id, call?.function?.name, call?.function?.arguments, charsMax)
        : called(call.id, call.custom?.name, call.custom?.input, 0)
    );
  }
  if (typeof function_call !== "object" || function_call === null) return NO_CALLS;
  const { name, arguments: text } = function_call as Readonly<Record<string, unknown>>;
  return [called(undefined, name, text, charsMax)];
}

function called(id: unknown, name: unknown, text: unknown, compactMax: number): Called {
  const told = typeof text === "string" ? text : "";
  return {
    id,
    name: typeof name === "string" ? name : "",
    text: told.length > compactMax ? told : compact(told),
  };
}

/** How the calls of one message stand in the prompt when there are several. */
function callsText(calls: readonly Called[]): string {
  const uses = calls.map(({ name, text }) =>
    `{"recipient_name":"functions.${name}","parameters":${text}}`
  );
  return `{"tool_uses":[${uses.join(",\n")}]}`;
}

const QUOTE = 34;
const BACKSLASH = 92;
const BLANK = 32;

/** `json` without blanks between its tokens. Not parsed: a number may have any length. */
function compact(json: string): string {
  if (!/\s/.test(json)) return json;
  let kept = "";
  let from = 0;
  let isText = false;
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) isText = !isText;
    else if (code === BACKSLASH) at++;
    else if (code <= BLANK && !isText) {
      kept += json.slice(from, at);
      from = at + 1;
    }
  }
  return kept + json.slice(from);
}

/** `value` as compact JSON; "" when it is nested too deeply to be written. */
function jsonOf(value: unknown): string {
  return isDeeper(value, JSON_DEPTH_MAX) ? "" : JSON.stringify(value) ?? "";
}
