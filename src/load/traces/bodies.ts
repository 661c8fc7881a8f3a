/**
 * What the requests of a trace ask: their own words, or words of the length that theirs had.
 *
 * @module
 */

import { seeded } from "../../lib/seeded.ts";
import { type Api, bodyOf, type Item, messagesIn } from "../requests/bodies.ts";
import type { LoadBody, Question } from "../requests/makers.ts";
import { cutPrompt, type Prompt, promptOf, type TokenCutter } from "../requests/prompts.ts";
import { BLOCK_TOKENS, type TraceRequest } from "./trace.ts";

/** With what requests are made. */
export interface TraceBodies {
  readonly api: Exclude<Api, "raw">;
  /** Of what names none. */
  readonly model: string;
  /** True: of everything. */
  readonly isModelGiven: boolean;
  readonly isStream: boolean;
  readonly cutter: TokenCutter;
  readonly random: () => number;
}

/**
 * What a request asks. One that has a body keeps it, but for whether it streams, which is that of the
 * run, and the model if one is given.
 */
export function questionOf(request: TraceRequest, made: TraceBodies): Question {
  const { body, promptTokens = NaN, outputTokens: tokensMax, isWhole } = request;
  const { api, model, isModelGiven, isStream } = made;
  const fields = isModelGiven ? { ...request.fields, model } : request.fields;
  if (body !== undefined) {
    const value = JSON.parse(body) as Item;
    const key = LIMITS[api];
    const limit = key === undefined || tokensMax === undefined || hasLimit(value)
      ? {}
      : { [key]: tokensMax };
    // Servers refuse what is of streams in a request for none.
    const streams = isStream ? { stream: true } : { stream: false, stream_options: undefined };
    const asked = {
      model,
      ...value,
      ...fields,
      ...limit,
      ...(api === "embeddings" ? {} : streams),
    };
    const whole = { body: JSON.stringify(asked), promptTokens, tokensMax: tokensMax ?? NaN };
    return { messages: messagesIn(api, value), promptTokens, tokensMax, whole };
  }
  const prompt = request.messages === undefined ? promptIn(request, made) : undefined;
  const question = {
    messages: request.messages ?? [{ role: "user", content: prompt!.text }],
    promptTokens: prompt?.tokens ?? promptTokens,
    tokensMax,
    fields,
  };
  return isWhole === true ? { ...question, whole: bodyWith(question, made) } : question;
}

/** The body of a request that follows no other. */
export function bodyOfTraced(request: TraceRequest, made: TraceBodies): LoadBody {
  const question = questionOf(request, made);
  return question.whole ?? bodyWith(question, made);
}

/** Where a body says how long its answer may be. */
const LIMITS: Readonly<Partial<Record<Api, string>>> = {
  chat: "max_completion_tokens",
  responses: "max_output_tokens",
  completions: "max_tokens",
  messages: "max_tokens",
};

function hasLimit(body: Item): boolean {
  return Object.values(LIMITS).some((key) => key in body);
}

/** True when a request says itself how long its answer may be. */
export function saysLength({ outputTokens, body }: TraceRequest): boolean {
  return outputTokens !== undefined || (body !== undefined && hasLimit(JSON.parse(body) as Item));
}

function bodyWith(question: Question, { api, model, isStream }: TraceBodies): LoadBody {
  const { promptTokens, tokensMax = NaN } = question;
  return { body: bodyOf(api, { ...question, model, isStream }), promptTokens, tokensMax };
}

function promptIn(
  { text, blocks, promptTokens }: TraceRequest,
  { cutter, random }: TraceBodies,
): Prompt {
  if (text !== undefined) return { text, tokens: promptTokens ?? NaN };
  // A prompt of nothing is one that no server takes.
  const tokens = Math.max(1, promptTokens ?? (blocks?.length ?? 0) * BLOCK_TOKENS);
  return blocks === undefined
    ? promptOf(tokens, random, cutter)
    : blockPrompt(blocks, tokens, cutter);
}

/** The same block is the same text, in every prompt that has it: prefixes are shared as they were. */
function blockPrompt(blocks: readonly number[], tokens: number, cutter: TokenCutter): Prompt {
  const texts = blocks.map((id) => promptOf(BLOCK_TOKENS, seeded(id + 1), cutter).text);
  return cutPrompt(texts.join(" "), tokens, cutter);
}
