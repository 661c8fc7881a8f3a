/**
 * The body of `POST /v1/completions`, OpenAI's API of base models (docs/facts/openai_endpoints.md
 * "Completions").
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { Turn } from "../../core/turn.ts";
import { check, checkCount, type JsonObject, type Level, type Rule } from "../openai/check.ts";
import { type BodyRules, checkedBody } from "../openai/checked_body.ts";
import { errorOf, type Fault, refused, under, wrongType } from "../openai/faults.ts";
import { STOP_RULE, STREAM_OPTIONS_RULE } from "../openai_chat/params.ts";

/** A turn, and what only this dialect knows. */
export interface CompletionRequest extends Turn {
  /** One at least; "" where the client gave none. Each has `choiceCount / prompts.length` choices. */
  readonly prompts: readonly string[];
  /** True: the prompt stands before the text. */
  readonly wantsEcho: boolean;
  /** How many likely tokens are told beside each of the text; undefined = nothing is told. */
  readonly logprobCount: number | undefined;
  /** True: the answer keeps OpenAI's schema where the live API does not. */
  readonly keepsSchema?: true;
}

/** Tokens of an answer when nobody says how many: so few that most of them end with it. */
const TOKENS_MAX = 16;
/** The only model that writes what stands before a suffix. */
const OF_SUFFIX = /^gpt-3\.5-turbo-instruct/;
/** Choices of all prompts together: each is a text of its own. The limit is weir's. */
const CHOICES_MAX = 1024;

const FLAG: Rule = { kind: "boolean", isNullable: true };
const PENALTY: Rule = { kind: "decimal", min: -2, max: 2, isNullable: true };
const TEXT: Rule = { kind: "string" };

/** The parameters. */
export const COMPLETION_RULES: BodyRules = {
  needsModel: true,
  fields: [
    ["prompt", { kind: "own", check: checkPrompt, isNullable: true }],
    ["suffix", { kind: "string", isNullable: true }],
    ["max_tokens", { kind: "integer", min: 0, isNullable: true }],
    ["temperature", { kind: "decimal", min: 0, max: 2, isNullable: true }],
    ["top_p", { kind: "decimal", min: 0, max: 1, isNullable: true }],
    ["n", { kind: "integer", min: 1, max: 128, isNullable: true }],
    ["stream", FLAG],
    ["stream_options", STREAM_OPTIONS_RULE],
    ["logprobs", { kind: "integer", min: 0, max: 5, isNullable: true }],
    ["echo", FLAG],
    ["stop", STOP_RULE],
    ["presence_penalty", PENALTY],
    ["frequency_penalty", PENALTY],
    ["best_of", { kind: "integer", min: 0, max: 20, isNullable: true }],
    ["logit_bias", { kind: "object", fields: [], isNullable: true }],
    ["seed", { kind: "integer", isNullable: true }],
    ["user", TEXT],
  ],
};

/** What chat has as well, and spells the same. */
const SHARED = [
  "temperature",
  "top_p",
  "presence_penalty",
  "frequency_penalty",
  "logit_bias",
  "seed",
  "user",
] as const;

/**
 * The request in a body. `textOf` says what tokens of a model mean; undefined = some are none.
 *
 * @throws {AppError} 400: what is wrong with it.
 */
export function parseCompletion(
  text: string,
  level: Level,
  textOf: (tokens: readonly number[], model: string) => string | undefined,
): CompletionRequest {
  const body = checkedBody(text, COMPLETION_RULES, level);
  if (level === "live") checkJoined(body);
  const model = body["model"] as string;
  const given = promptsOf(body["prompt"]);
  const promptCounts = new Map(
    given.flatMap((prompt, i) => typeof prompt === "string" ? [] : [[i, prompt.length] as const]),
  );
  const prompts = given.map((prompt) => {
    const text = typeof prompt === "string" ? prompt : textOf(prompt, model);
    if (text === undefined) throw errorOf(noTokens("prompt"));
    return text;
  });
  const n = (body["n"] ?? 1) as number;
  const bestOf = Math.max(n, (body["best_of"] ?? n) as number);
  const tooMany = checkCount(prompts.length, 1, Math.floor(CHOICES_MAX / n));
  if (tooMany !== undefined) throw errorOf(under("prompt", tooMany));
  const logprobCount = (body["logprobs"] ?? undefined) as number | undefined;
  const isStream = body["stream"] === true;
  const options = body["stream_options"] as JsonObject | null | undefined;
  return {
    model,
    messages: prompts.map((content) => ({ role: "user", content })),
    prompts,
    ...(promptCounts.size === 0 ? {} : { promptCounts }),
    ...(bestOf === n ? {} : { madeCount: bestOf * prompts.length }),
    isStream,
    wantsUsage: !isStream || options?.["include_usage"] === true,
    choiceCount: n * prompts.length,
    tokensMax: (body["max_tokens"] ?? TOKENS_MAX) as number,
    ...(body["max_tokens"] == null ? { isDefaultTokensMax: true } : {}),
    stop: stopsOf((body["stop"] ?? []) as string | readonly string[]),
    wantsEcho: body["echo"] === true,
    logprobCount,
    ...(level === "spec" ? { keepsSchema: true } : {}),
    params: paramsOf(body, logprobCount),
  };
}

/** In chat's spelling. */
function paramsOf(body: JsonObject, logprobCount: number | undefined) {
  const params: Record<string, unknown> = Object.create(null);
  for (const name of SHARED) if (body[name] !== undefined) params[name] = body[name];
  if (logprobCount !== undefined) {
    params["logprobs"] = true;
    params["top_logprobs"] = logprobCount;
  }
  // No other API has one: whoever writes a request for such an upstream says so.
  if (typeof body["suffix"] === "string") params["suffix"] = body["suffix"];
  return params;
}

type Prompt = string | readonly number[];

function promptsOf(value: unknown): readonly Prompt[] {
  if (value === undefined || value === null) return [""];
  if (typeof value === "string") return [value];
  const list = value as Prompt | readonly Prompt[];
  return typeof list[0] === "number" ? [list as readonly number[]] : list as readonly Prompt[];
}

function stopsOf(stop: string | readonly string[]): readonly string[] {
  return (typeof stop === "string" ? [stop] : stop).filter((text) => text !== "");
}

const TEXTS: Rule = { kind: "list", of: "strings", item: TEXT };
const TOKENS: Rule = { kind: "list", of: "strings", item: { kind: "integer", min: 0 }, min: 1 };

function checkPrompt(value: unknown, level: Level): Fault | undefined {
  if (typeof value === "string") return undefined;
  if (!Array.isArray(value)) return wrongType("one of a string or array", value);
  const [first] = value as readonly unknown[];
  const rule: Rule = typeof first === "number"
    ? TOKENS
    : Array.isArray(first)
    ? { kind: "list", of: "strings", item: TOKENS }
    : TEXTS;
  return checkCount(value.length, 1, Infinity) ?? check(value, rule, level);
}

/** The sentence is ours, the live one is unknown. */
function noTokens(path: string): Fault {
  return refused(path, `Invalid '${path}': some of its tokens are none of the model's.`);
}

/** What the live API wants of one parameter when another is given. */
function checkJoined(body: JsonObject): void {
  const n = (body["n"] ?? 1) as number;
  const bestOf = (body["best_of"] ?? n) as number;
  const isStream = body["stream"] === true;
  if (n > bestOf) {
    throw new AppError(
      "request_invalid",
      "You requested that the server return more choices than it will generate (HINT: you must " +
        `set 'n' (currently ${n}) to be at most 'best_of' (currently ${bestOf}), or omit either ` +
        "parameter if you don't specifically want to use them.)",
    );
  }
  if (isStream && bestOf > n) {
    const sentence = "The 'best_of' parameter may not be above 'n' when 'stream' is enabled.";
    throw errorOf(refused("best_of", sentence)); // ours, the live one is unknown
  }
  if (typeof body["suffix"] === "string" && !OF_SUFFIX.test(body["model"] as string)) {
    throw new AppError("request_invalid", "Unrecognized request argument supplied: suffix");
  }
  if ((body["stream_options"] ?? null) !== null && !isStream) {
    throw errorOf(refused(
      "stream_options",
      "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
    ));
  }
}
