/**
 * The mock's moderation.
 *
 * @module
 */

import { checkInputTokens } from "../../dialects/openai/embeddings.ts";
import {
  MODERATION_TOKENS_MAX,
  moderationResult,
  moderationsBody,
  parseModerations,
} from "../../dialects/openai/moderations.ts";
import { moderator } from "../moderator.ts";
import type { Endpoint, EndpointDeps } from "./endpoint.ts";
import { sliced } from "./sliced.ts";

/** Digits of an answer's id, in hexadecimal. */
const ID_DIGITS = 32;

/** Answers `POST /v1/moderations`. */
export function moderations(
  { validate, words, tokens, random }: EndpointDeps,
): Endpoint {
  const judge = moderator(words);
  const digit = () => Math.floor(16 * random()).toString(16);
  return async (text, checkModel, call) => {
    const { named, model, inputs } = parseModerations(text, validate);
    if (named !== "") checkModel(named);
    const results: unknown[] = [];
    await sliced(inputs, call, (input) => {
      checkInputTokens(tokens.count(input.text), MODERATION_TOKENS_MAX);
      results.push(moderationResult(judge(input.text), input, model));
    });
    return moderationsBody(Array.from({ length: ID_DIGITS }, digit).join(""), model, results);
  };
}
