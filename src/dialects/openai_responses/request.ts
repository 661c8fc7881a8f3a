/**
 * The body of `POST /v1/responses` as a turn, checked in one pass and worded as the live API words
 * it (docs/facts/openai_api.md "Responses: request").
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { Turn } from "../../core/turn.ts";
import { responsesAbilityFault } from "../openai/abilities.ts";
import { check, isObject, type JsonObject, type Level, type Rule } from "../openai/check.ts";
import { brokenJson } from "../openai/errors.ts";
import { echo, errorOf, type Fault, missing, refused, under } from "../openai/faults.ts";
import { checkTalk, itemsOf, messagesOf, referencesIn } from "./input.ts";
import { JOINED_RULES, type JoinedRule } from "./joined.ts";
import { conversationOf } from "./response_object.ts";
import { chatKeyFault, RESPONSE_RULES, SAME_AS_CHAT } from "./rules.ts";
import { chatFormat, chatTooling } from "./tools.ts";

/** A turn, and what only this dialect knows. */
export interface ResponsesRequest extends Turn {
  /** What was said before the answer: `input` as items, as they came. */
  readonly items: readonly unknown[];
  /** Items that `items` only names, by their ids. */
  readonly references: readonly string[];
  /** True: `items` are no longer those of the body, but have what it names in their places. */
  readonly isRestated?: true;
  /** The fields that the answer depends on, as they came. */
  readonly asked: JsonObject;
  readonly include: readonly string[];
  /** `stream_options.include_obfuscation`: true unless the client says false. */
  readonly wantsObfuscation: boolean;
  /** True unless the client says false. */
  readonly isStored: boolean;
  readonly isBackground: boolean;
  /** The response that this one goes on from; undefined = none. */
  readonly previousId: string | undefined;
  /** The conversation that it belongs to; undefined = none. */
  readonly conversationId: string | undefined;
  /** The prompt that is kept elsewhere, and only named here; undefined = none. */
  readonly promptId: string | undefined;
}

interface Param {
  readonly rule: Rule;
  readonly rank: number;
  /** What the live API wants of the other parameters when this one is given. */
  readonly joined: JoinedRule | undefined;
}

const PARAMS: ReadonlyMap<string, Param> = new Map(
  RESPONSE_RULES.map((
    [name, rule],
    rank,
  ) => [name, { rule, rank, joined: JOINED_RULES.get(name) }]),
);

/** Fields that an answer's bytes do not depend on: what is asked, and how it is sent. */
const UNECHOED: ReadonlySet<string> = new Set([
  "model",
  "input",
  "stream",
  "stream_options",
  "include",
  "prompt",
  "context_management",
  "moderation",
]);

const NO_ASKED: JsonObject = Object.freeze(Object.create(null));
const NO_NAMES: readonly string[] = Object.freeze([]);

/**
 * The request in `body`, a parsed JSON value. On `spec` neither a model nor an input is needed, as
 * in OpenAI's schema: `defaultModel` answers. `isPlayed`: weir plays the model itself, and what
 * that one does not take is refused on `live`.
 *
 * @throws {AppError} 400 with the text, `param` and code of docs/facts/openai_api.md "Faults and
 * their words".
 */
export function parseResponsesRequest(
  body: unknown,
  level: Level,
  defaultModel: string,
  isPlayed = false,
): ResponsesRequest {
  if (!isObject(body)) throw brokenJson();
  const isLive = level === "live";
  if (isLive) {
    const { model, prompt } = body;
    if (isObject(prompt)) throw promptUnknown(String(prompt["id"]));
    if (!isPresent(model) || model === "") throw errorOf(missing("model"));
  }
  let first: Fault | undefined;
  let firstRank = Infinity;
  let asked: Record<string, unknown> | undefined;
  for (const key in body) {
    const param = PARAMS.get(key);
    if (param === undefined) {
      const foreign = isLive ? chatKeyFault(key) : undefined;
      if (foreign !== undefined) throw errorOf(foreign);
      continue;
    }
    const value = body[key];
    if (!UNECHOED.has(key)) (asked ??= Object.create(null) as Record<string, unknown>)[key] = value;
    if (param.rank > firstRank) continue;
    const fault = check(value, param.rule, level) ??
      (isLive ? param.joined?.(value, body) : undefined);
    if (fault === undefined) continue;
    first = under(key, fault);
    firstRank = param.rank;
  }
  if (isLive && isPlayed) first ??= responsesAbilityFault(body);
  if (isLive) first ??= checkWhole(body);
  if (first !== undefined) throw errorOf(first);
  return requestOf(body, asked ?? NO_ASKED, defaultModel);
}

/** "Prompt with id 'pmpt_x' not found.": 404. None is kept here. */
export function promptUnknown(id: string): AppError {
  return new AppError("not_found", `Prompt with id '${echo(id)}' not found.`, { param: "prompt" });
}

/** The rules that need the whole body, when nothing else is wrong with it. */
function checkWhole(body: JsonObject): Fault | undefined {
  const { input, previous_response_id: previous, conversation } = body;
  const hasPast = isPresent(previous) || isPresent(conversation);
  if (input === undefined && !hasPast) return missing("input");
  if (isPresent(previous) && isPresent(conversation)) {
    return refused(
      "previous_response_id",
      "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. " +
        "Only one of them can be provided.",
    );
  }
  const items = itemsOf(input);
  return hasPast || referencesIn(items).length > 0 ? undefined : checkTalk(items);
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** `body` is right: every cast here has been checked. */
function requestOf(body: JsonObject, asked: JsonObject, defaultModel: string): ResponsesRequest {
  const { model, input, instructions, max_output_tokens, stream, stream_options } = body;
  const items = itemsOf(input);
  const named = typeof model === "string" && model !== "";
  return {
    model: named ? model : defaultModel,
    ...(named ? {} : { isDefaultModel: true }),
    messages: messagesOf(items, instructions),
    isStream: stream === true,
    wantsUsage: true,
    choiceCount: 1,
    tokensMax: (max_output_tokens as number | null | undefined) ?? undefined,
    stop: NO_NAMES,
    wantsReasoning: wantsSummary(body["reasoning"]),
    params: paramsOf(body),
    spelled: SPELLED,
    hasResponseTools: true,
    items,
    references: referencesIn(items),
    asked,
    include: (body["include"] as readonly string[] | null | undefined) ?? NO_NAMES,
    wantsObfuscation: !isObject(stream_options) || stream_options["include_obfuscation"] !== false,
    isStored: body["store"] !== false,
    isBackground: body["background"] === true,
    previousId: (body["previous_response_id"] as string | null | undefined) ?? undefined,
    conversationId: conversationOf(body["conversation"]),
    promptId: isObject(body["prompt"]) ? String(body["prompt"]["id"]) : undefined,
  };
}

/** What this API has another name for. */
const SPELLED = { response_format: "text.format", logprobs: "include" };

function wantsSummary(reasoning: unknown): boolean {
  return isObject(reasoning) &&
    isPresent(reasoning["summary"] ?? reasoning["generate_summary"]);
}

/** What a turn carries besides, spelled as the chat API spells it. */
function paramsOf(body: JsonObject): Readonly<Record<string, unknown>> {
  const params = Object.create(null) as Record<string, unknown>;
  for (const key of SAME_AS_CHAT) {
    if (isPresent(body[key])) params[key] = body[key];
  }
  const { text, reasoning, include, top_logprobs } = body;
  const { tools, choice } = chatTooling(body["tools"], body["tool_choice"]);
  if (tools.length > 0) {
    params["tools"] = tools;
    if (choice !== undefined) params["tool_choice"] = choice;
  } else {
    delete params["parallel_tool_calls"];
    // Whoever answers cannot do it, and must not answer as if nobody had asked.
    if (choice === "required") params["tool_choice"] = choice;
  }
  if (isObject(text)) {
    const format = chatFormat(text["format"]);
    if (format !== undefined) params["response_format"] = format;
    if (isPresent(text["verbosity"])) params["verbosity"] = text["verbosity"];
  }
  if (isObject(reasoning) && isPresent(reasoning["effort"])) {
    params["reasoning_effort"] = reasoning["effort"];
  }
  if (Array.isArray(include) && include.includes("message.output_text.logprobs")) {
    params["logprobs"] = true;
    if (isPresent(top_logprobs)) params["top_logprobs"] = top_logprobs;
  }
  return params;
}
