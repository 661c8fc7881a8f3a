/**
 * Reads what an OpenAI-compatible upstream answers: a stream of `chat.completion.chunk` events, or
 * one `chat.completion` object from an upstream that does not stream. Real upstreams send odd
 * chunks among good ones: what cannot be read is left out, and the answer goes on.
 *
 * @module
 */

import { answerReader } from "../../core/answer_reader.ts";
import type { AnswerReader, EventLimits } from "../../core/dialect.ts";
import { AppError } from "../../core/errors.ts";
import { ChunkSteps, noSentence, object, sentenceOf, shortened, wordsOf } from "./read_chunk.ts";

/** A reader for an answer that streams or does not. */
export function readAnswer(_fields: unknown, limits: EventLimits): AnswerReader {
  return answerReader(new ChunkSteps(), limits);
}

/** What an answer with an error's `status` says. The upstream's own sentence and words are kept. */
export function readError(status: number, body: string): AppError {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    value = body;
  }
  const error = object(value)?.["error"] ?? value;
  const { message, param } = object(error) ?? {};
  const sentence = sentenceOf(message) ?? sentenceOf(error) ??
    sentenceOf(object(value)?.["detail"]) ??
    sentenceOf(object(value)?.["message"]) ?? (body.trim() || noSentence(status));
  return new AppError("upstream_refused", shortened(sentence), {
    status,
    told: wordsOf(error) ?? {},
    ...(typeof param === "string" && param !== "" ? { param } : {}),
  });
}
