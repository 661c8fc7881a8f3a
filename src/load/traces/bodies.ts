/**
 * What the requests of a trace ask: their own words, or words of the length that theirs had.
 *
 * @module
 */

import { seeded } from "../../lib/seeded.ts";
import { type Api, bodyOf } from "../requests/bodies.ts";
import type { LoadBody } from "../requests/makers.ts";
import { cutPrompt, type Prompt, promptOf, type TokenCutter } from "../requests/prompts.ts";
import { BLOCK_TOKENS, type TraceRequest } from "./trace.ts";

/** With what requests are made. */
export interface TraceBodies {
  readonly api: Exclude<Api, "raw">;
  readonly model: string;
  readonly isStream: boolean;
  readonly cutter: TokenCutter;
  readonly random: () => number;
}

/**
 * The body of a request. One that has a body keeps it, but for the model and whether it streams, which
 * are those of the run.
 */
export function bodyOfTraced(
  { body, text, blocks, promptTokens, outputTokens }: TraceRequest,
  { api, model, isStream, cutter, random }: TraceBodies,
): LoadBody {
  const tokensMax = outputTokens ?? NaN;
  if (body !== undefined) {
    const value = JSON.parse(body) as Readonly<Record<string, unknown>>;
    const limit = outputTokens === undefined || "max_tokens" in value
      ? {}
      : { max_completion_tokens: outputTokens };
    const asked = { ...value, ...limit, model, stream: isStream };
    return { body: JSON.stringify(asked), promptTokens: promptTokens ?? NaN, tokensMax };
  }
  // A prompt of nothing is one that no server takes.
  const tokens = Math.max(1, promptTokens ?? (blocks?.length ?? 0) * BLOCK_TOKENS);
  const prompt = text !== undefined
    ? { text, tokens: promptTokens ?? NaN }
    : blocks === undefined
    ? promptOf(tokens, random, cutter)
    : blockPrompt(blocks, tokens, cutter);
  const messages = [{ role: "user" as const, content: prompt.text }];
  return {
    body: bodyOf(api, { model, messages, isStream, tokensMax: outputTokens }),
    promptTokens: prompt.tokens,
    tokensMax,
  };
}

/** The same block is the same text, in every prompt that has it: prefixes are shared as they were. */
function blockPrompt(blocks: readonly number[], tokens: number, cutter: TokenCutter): Prompt {
  const texts = blocks.map((id) => promptOf(BLOCK_TOKENS, seeded(id + 1), cutter).text);
  return cutPrompt(texts.join(" "), tokens, cutter);
}
