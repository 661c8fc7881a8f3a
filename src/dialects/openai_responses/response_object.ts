/**
 * The `response` object: what a request asked for, said again, around what the model says
 * (docs/facts/openai_api.md "Response object").
 *
 * It is put together as text: a number keeps its `.0`, and what one request has in common with the
 * next is written once.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Labels, Moderation, Usage } from "../../core/answer.ts";
import { tierOf } from "../openai_chat/write_answer.ts";
import { datedModel } from "../openai/models.ts";
import { isObject, type JsonObject } from "../openai/check.ts";
import { resultInAnswer } from "../openai/moderations.ts";
import { type Family, familyOf } from "./families.ts";
import { echoedFormat, echoedTools } from "./tools.ts";

/** How far a response is. */
export type Status =
  | "queued"
  | "in_progress"
  | "completed"
  | "incomplete"
  | "failed"
  | "cancelled";

/** What changes while a response is answered. */
export interface Moment {
  readonly id: string;
  /** Seconds since 1970, as digits. */
  readonly created: string;
  readonly status: Status;
  /** Its items as JSON. */
  readonly output: readonly string[];
  readonly usage?: Usage | undefined;
  /** What moderation thinks of the prompt and the answer, where that is known by now. */
  readonly moderation?: Moderation | undefined;
  /** Why it is incomplete. */
  readonly incomplete?: "max_output_tokens" | "content_filter" | undefined;
  readonly error?: { readonly code: string; readonly message: string } | undefined;
  /** True: the answer in one piece, which says who pays. */
  readonly isWhole?: boolean;
}

/** The same in all responses to requests that want the same. */
export class ResponseObject {
  /** Tells it from those of other requests. */
  readonly key: string;
  readonly family: Family;
  /** True: it holds more of its request than a cache should. */
  readonly isLarge: boolean;
  readonly #asked: JsonObject;
  readonly #model: string;
  readonly #labels: Labels | undefined;
  #texts: Texts | undefined = undefined;

  /** `asked`: the fields of a request that answers to it depend on. */
  constructor(model: string, asked: JsonObject, labels?: Labels) {
    this.#model = labels?.model ?? datedModel(model);
    this.#labels = labels;
    this.#asked = asked;
    this.family = familyOf(datedModel(model));
    const text = JSON.stringify(asked);
    this.isLarge = text.length > LARGE_CHARS;
    this.key = text.length <= KEY_CHARS_MAX
      ? text
      : createHash("sha256").update(text).digest("base64");
  }

  /** The object at `moment`. */
  text(moment: Moment): string {
    const texts = this.#texts ??= textsOf(this.#model, this.family, this.#asked);
    const { status, incomplete, error } = moment;
    const { id = moment.id, createdS = moment.created } = this.#labels ?? {};
    const created = String(createdS);
    const isRunning = status === "in_progress" || status === "queued";
    const moderation = isRunning ? undefined : moment.moderation;
    const hasUsage = !isRunning && status !== "cancelled";
    const completed = status === "completed" ? created : "null";
    const tier = isRunning ? texts.tierAsked : texts.tier;
    return `{"id":${
      JSON.stringify(id)
    },"object":"response","created_at":${created},"status":"${status}",` +
      `"background":${texts.background},${moment.isWhole ? BILLING : ""}` +
      `"completed_at":${completed},${texts.conversation}` +
      `"error":${error === undefined ? "null" : JSON.stringify(error)},"frequency_penalty":0.0,` +
      `"incomplete_details":${incomplete === undefined ? "null" : `{"reason":"${incomplete}"}`},` +
      `${texts.beforeModeration}"moderation":${moderation ? moderationText(moderation) : "null"},` +
      `"output":[${moment.output.join(",")}],${texts.beforeTier}` +
      `"service_tier":"${tier}",${texts.beforeUsage}` +
      `"usage":${hasUsage ? this.#usage(moment.usage) : "null"},${texts.end}`;
  }

  #usage(usage: Usage | undefined): string {
    if (usage === undefined) return "null";
    const { promptTokens, completionTokens } = usage;
    return `{"input_tokens":${promptTokens},` +
      `"input_tokens_details":{"cache_write_tokens":${usage.cacheWriteTokens ?? 0},` +
      `"cached_tokens":${usage.cachedTokens ?? 0}},` +
      `"output_tokens":${completionTokens},` +
      `"output_tokens_details":{"reasoning_tokens":${usage.reasoningTokens ?? 0}},` +
      `"total_tokens":${promptTokens + completionTokens}}`;
  }
}

/** What a request says again, in UTF-16 units of JSON. */
const LARGE_CHARS = 16_384;

/** A longer key is hashed. */
const KEY_CHARS_MAX = 256;

const BILLING = `"billing":{"payer":"developer"},`;

const TOOL_USAGE = `"tool_usage":{"image_gen":{"input_tokens":0,"input_tokens_details":` +
  `{"image_tokens":0,"text_tokens":0},"output_tokens":0,"output_tokens_details":` +
  `{"image_tokens":0,"text_tokens":0},"total_tokens":0},"web_search":{"num_requests":0}},`;

/** What surrounds what changes. */
interface Texts {
  readonly background: boolean;
  readonly conversation: string;
  readonly beforeModeration: string;
  readonly beforeTier: string;
  readonly tierAsked: string;
  readonly tier: string;
  readonly beforeUsage: string;
  readonly end: string;
}

/** A number as the API writes a float: `1.0`. */
function float(value: unknown, absent: number): string {
  const number = typeof value === "number" ? value : absent;
  return Number.isInteger(number) ? number.toFixed(1) : String(number);
}

function json(value: unknown): string {
  return JSON.stringify(value ?? null);
}

function textsOf(model: string, family: Family, asked: JsonObject): Texts {
  const text = isObject(asked["text"]) ? asked["text"] : {};
  const conversation = conversationOf(asked["conversation"]);
  const options = asked["prompt_cache_options"] ?? undefined;
  const cacheOptions = options === undefined ? "" : `"prompt_cache_options":${json(options)},`;
  return {
    background: asked["background"] === true,
    conversation: conversation === undefined
      ? ""
      : `"conversation":{"id":${JSON.stringify(conversation)}},`,
    beforeModeration: `"instructions":${json(asked["instructions"])},` +
      `"max_output_tokens":${json(asked["max_output_tokens"])},` +
      `"max_tool_calls":${json(asked["max_tool_calls"])},` +
      `"model":${json(model)},`,
    beforeTier: `"parallel_tool_calls":${asked["parallel_tool_calls"] !== false},` +
      `"presence_penalty":0.0,"previous_response_id":${json(asked["previous_response_id"])},` +
      `"prompt_cache_key":${json(asked["prompt_cache_key"])},` +
      cacheOptions +
      `"prompt_cache_retention":${json(asked["prompt_cache_retention"] ?? family.retention)},` +
      `"reasoning":${json(echoedReasoning(asked["reasoning"], family))},` +
      `"safety_identifier":${json(asked["safety_identifier"])},`,
    tierAsked: typeof asked["service_tier"] === "string" ? asked["service_tier"] : "auto",
    tier: tierOf(asked["service_tier"]),
    beforeUsage: `"store":${asked["store"] !== false},` +
      `"temperature":${float(asked["temperature"], 1)},` +
      `"text":{"format":${json(echoedFormat(text["format"]))},` +
      `"verbosity":${json(text["verbosity"] ?? "medium")}},` +
      `"tool_choice":${json(asked["tool_choice"] ?? "auto")},` +
      `${TOOL_USAGE}"tools":${json(echoedTools(asked["tools"]))},` +
      `"top_logprobs":${json(asked["top_logprobs"] ?? 0)},` +
      `"top_p":${float(asked["top_p"], family.topP)},` +
      `"truncation":${json(asked["truncation"] ?? "disabled")},`,
    end: `"user":${json(asked["user"])},"metadata":${json(asked["metadata"] ?? {})}}`,
  };
}

/** A result for the prompt, and one for the answer. */
function moderationText({ model, input, output }: Moderation): string {
  return JSON.stringify({
    input: resultInAnswer(input, model),
    output: resultInAnswer(output, model),
  });
}

/** The id in a request's `conversation`; undefined = it names none. */
export function conversationOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  const id = isObject(value) ? value["id"] : undefined;
  return typeof id === "string" ? id : undefined;
}

/** `summary: "auto"` comes back as the kind that the model gives. */
function echoedReasoning(value: unknown, { effort }: Family) {
  const asked = isObject(value) ? value : {};
  const summary = asked["summary"] ?? asked["generate_summary"] ?? null;
  return {
    context: asked["context"] ?? (effort === null ? null : "current_turn"),
    effort: asked["effort"] ?? effort,
    ...(effort === null ? {} : { mode: asked["mode"] ?? "standard" }),
    summary: summary === "auto" ? "detailed" : summary,
  };
}

/**
 * `json` over several lines, with two blanks for each level. The text of its numbers and strings
 * stays: to parse it would lose the `.0`.
 */
export function indented(json: string): string {
  let told = "";
  let indent = "\n";
  for (let at = 0; at < json.length;) {
    const char = json[at]!;
    if (char === '"') {
      const end = stringEnd(json, at);
      told += json.slice(at, end);
      at = end;
      continue;
    }
    at++;
    if (char === "{" || char === "[") {
      const next = json[at]!;
      if (next === "}" || next === "]") {
        told += char + next;
        at++;
      } else {
        indent += "  ";
        told += char + indent;
      }
    } else if (char === "}" || char === "]") {
      indent = indent.slice(0, -2);
      told += indent + char;
    } else {
      told += char === "," ? `,${indent}` : char === ":" ? ": " : char;
    }
  }
  return told;
}

/** The offset behind the string that begins at `at`. */
function stringEnd(json: string, at: number): number {
  for (let end = json.indexOf('"', at + 1);; end = json.indexOf('"', end + 1)) {
    let slashes = 0;
    while (json[end - 1 - slashes] === "\\") slashes++;
    if (slashes % 2 === 0) return end + 1;
  }
}
