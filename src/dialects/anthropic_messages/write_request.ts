/**
 * Asks an upstream for a turn: the body of `POST /messages`, always streamed, so that there is one
 * way to read the answer.
 *
 * @module
 */

import {
  reasoningEffortOf,
  responseFormatOf,
  type Tool,
  toolChoiceOf,
  toolsOf,
  type Turn,
} from "../../core/turn.ts";
import { object, sentenceOf } from "../openai_chat/read_chunk.ts";
import { unsaid, writeMessages } from "./write_messages.ts";

/** `max_tokens` has no default there; without a limit of the client's it is this, as elsewhere. */
const TOKENS_MAX = 4096;

/** What is thought on top of that, by effort: models that know no effort get a budget. */
const BUDGETS: Readonly<Record<string, number>> = { low: 2048, medium: 8192 };
const BUDGET_TOKENS = 16_384;
const BUDGET_TOKENS_MIN = 1024;

/** Claude up to 4.5 is given a budget, later ones an effort. */
const TAKES_BUDGET = /^claude-(?:[23]|instant|(?:opus|sonnet|haiku)-4(?:-[0-5])?(?:$|-\d{8}|@))/;

/**
 * The body that asks for `turn`.
 *
 * @throws {AppError} 400 for what Anthropic's API has no word for.
 */
export function writeRequest(turn: Turn): string {
  checkSayable(turn);
  const { model, stop, params } = turn;
  const { system, messages } = writeMessages(turn.messages);
  const tools = toolsOf(turn);
  const format = responseFormatOf(turn);
  const { temperature, top_p, top_k } = params;
  const user = sentenceOf(params["safety_identifier"]) ?? sentenceOf(params["user"]);
  const thinking = thinkingOf(turn);
  const config = {
    ...(format.kind === "json_schema"
      ? { format: { type: "json_schema", schema: format.schema } }
      : {}),
    ...(thinking.effort === undefined ? {} : { effort: thinking.effort }),
  };
  return JSON.stringify({
    model,
    max_tokens: thinking.tokensMax,
    ...(system === "" ? {} : { system }),
    messages,
    ...(tools.length === 0 ? {} : { tools: tools.map(toolOf), tool_choice: choiceOf(turn) }),
    ...(thinking.thinking === undefined ? {} : { thinking: thinking.thinking }),
    ...(Object.keys(config).length === 0 ? {} : { output_config: config }),
    ...(stop.length === 0 ? {} : { stop_sequences: stop }),
    ...(isNamed(temperature) ? { temperature } : {}),
    ...(isNamed(top_p) ? { top_p } : {}),
    ...(isNamed(top_k) ? { top_k } : {}),
    ...(user === undefined ? {} : { metadata: { user_id: user } }),
    stream: true,
  });
}

function isNamed(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** @throws {AppError} for a wish that would change the answer, and that cannot be told. */
function checkSayable({ choiceCount, params }: Turn): void {
  if (choiceCount > 1) throw unsaid("n", "several answers at a time");
  if (params["logprobs"] === true) throw unsaid("logprobs", "log probabilities");
  const { logit_bias, modalities, temperature, response_format, web_search_options } = params;
  if (Object.keys(object(logit_bias) ?? {}).length > 0) {
    throw unsaid("logit_bias", "a bias of tokens");
  }
  if (Array.isArray(modalities) && modalities.includes("audio")) {
    throw unsaid("modalities", "sound");
  }
  if (object(params["audio"]) !== undefined) throw unsaid("audio", "sound");
  if (object(params["moderation"]) !== undefined) throw unsaid("moderation", "a moderation");
  for (const name of ["presence_penalty", "frequency_penalty"]) {
    if (params[name]) throw unsaid(name, "a penalty");
  }
  if (typeof temperature === "number" && temperature > 1) {
    throw unsaid("temperature", "a temperature above 1");
  }
  if (object(response_format)?.["type"] === "json_object") {
    throw unsaid("response_format", "any JSON object: name its json_schema, or");
  }
  if (object(web_search_options) !== undefined) throw unsaid("web_search_options", "a search");
  const tools = toolsOf({ params });
  if (tools.length === 0 && toolChoiceOf({ params }).kind === "required") {
    throw unsaid("tool_choice", "a call of no tool that is the client's own");
  }
  const custom = tools.find(({ kind }) => kind === "custom");
  if (custom !== undefined) throw unsaid("tools", `a custom tool ('${custom.name}')`);
}

function toolOf({ name, description, parameters, isStrict }: Tool) {
  return {
    name,
    ...(description === "" ? {} : { description }),
    // Anthropic wants an object's schema, and to have it said.
    input_schema: { type: "object", ...(object(parameters) ?? { properties: {} }) },
    ...(isStrict ? { strict: true } : {}),
  };
}

function choiceOf(turn: Turn) {
  const choice = toolChoiceOf(turn);
  const { parallel_tool_calls, functions, tools } = turn.params;
  // An answer has one place for the older `function_call`.
  const isSingle = parallel_tool_calls === false || (isNamed(functions) && !isNamed(tools));
  const one = isSingle && choice.kind !== "none" ? { disable_parallel_tool_use: true } : {};
  switch (choice.kind) {
    case "tool":
      return { type: "tool", name: choice.name, ...one };
    case "required":
      return { type: "any", ...one };
    default:
      return { type: choice.kind, ...one };
  }
}

/** How much is to be thought, and how long the answer may be with it. */
interface Thinking {
  readonly thinking?: unknown;
  readonly effort?: string;
  readonly tokensMax: number;
}

/**
 * Anthropic refuses to think where a tool is forced, and behind a call whose thinking is not handed
 * back, which other dialects cannot do.
 */
function thinkingOf(turn: Turn): Thinking {
  const { model, messages, tokensMax, wantsReasoning } = turn;
  const effort = reasoningEffortOf(turn);
  const limit = Math.max(1, tokensMax ?? TOKENS_MAX);
  const { kind } = toolChoiceOf(turn);
  const isForced = kind === "required" || kind === "tool";
  const isBehindCall = ["tool", "function"].includes(messages.at(-1)?.role ?? "");
  const isAsked = effort === "" ? wantsReasoning === true : !["none", "minimal"].includes(effort);
  if (!isAsked || isForced || isBehindCall) return { tokensMax: limit };
  if (!TAKES_BUDGET.test(model)) {
    return {
      thinking: { type: "adaptive", ...(wantsReasoning === true ? { display: "summarized" } : {}) },
      ...(effort === "" ? {} : { effort }),
      tokensMax: limit,
    };
  }
  const wanted = BUDGETS[effort] ?? BUDGET_TOKENS;
  if (tokensMax === undefined) {
    return {
      thinking: { type: "enabled", budget_tokens: wanted },
      tokensMax: TOKENS_MAX + wanted,
    };
  }
  const budget = Math.min(wanted, Math.floor(limit / 2));
  return budget < BUDGET_TOKENS_MIN
    ? { tokensMax: limit }
    : { thinking: { type: "enabled", budget_tokens: budget }, tokensMax: limit };
}
