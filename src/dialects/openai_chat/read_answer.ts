/**
 * Reads what an OpenAI-compatible upstream answers: a stream of `chat.completion.chunk` events, or
 * one `chat.completion` object from an upstream that does not stream. Real upstreams send odd
 * chunks among good ones: what cannot be read is left out, and the answer goes on.
 *
 * @module
 */

import type { Relay, Step } from "../../core/answer.ts";
import type { AnswerReader } from "../../core/dialect.ts";
import { AppError } from "../../core/errors.ts";
import { SseParser, SseTooLarge } from "../../lib/sse.ts";
import { broken, ChunkSteps, object, sentenceOf, shortened } from "./read_chunk.ts";

/** One event, or one whole answer that does not stream; a text of that length is no model's. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

const NO_STEPS: readonly Step[] = [];

/** A reader for the answer whose head is `head`. */
export function readAnswer(head: Pick<Relay, "header">): AnswerReader {
  const type = head.header("content-type") ?? "";
  return /^application\/(?:[\w.-]+\+)?json\b/i.test(type) ? new WholeReader() : new StreamReader();
}

/** What an answer with an error's `status` says. The upstream's own sentence is kept. */
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
    sentenceOf(object(value)?.["message"]) ?? (body.trim() === "" ? "(no body)" : body.trim());
  return new AppError("upstream_refused", `${status} ${shortened(sentence)}`, {
    status,
    ...(typeof param === "string" && param !== "" ? { param } : {}),
  });
}

/**
 * Reads events. What fails behind steps of the same piece is thrown by the next call, so that how
 * the network cuts a stream changes nothing of what it says.
 */
class StreamReader implements AnswerReader {
  readonly #parser = new SseParser(ANSWER_BYTES_MAX);
  readonly #steps = new ChunkSteps();
  /** True once `[DONE]` went by: what follows it is not read. */
  #isDone = false;
  #error: unknown = undefined;

  feed(bytes: Uint8Array): readonly Step[] {
    if (this.#error !== undefined) throw this.#error;
    if (bytes.length === 0) return NO_STEPS;
    const steps: Step[] = [];
    try {
      this.#read(bytes, steps);
    } catch (error) {
      if (steps.length === 0) throw error;
      this.#error = error;
    }
    return steps;
  }

  end(): readonly Step[] {
    if (this.#error !== undefined) throw this.#error;
    this.#steps.end();
    return NO_STEPS;
  }

  #read(bytes: Uint8Array, steps: Step[]): void {
    try {
      for (const { event, data } of this.#parser.feed(bytes)) {
        if (this.#isDone) break;
        if (data === "[DONE]") this.#isDone = true;
        else this.#steps.read(data, event, steps);
      }
    } catch (error) {
      if (!(error instanceof SseTooLarge)) throw error;
      throw broken(`The upstream sent an event of more than ${error.eventBytesMax} bytes`);
    }
  }
}

/** Reads one object. */
class WholeReader implements AnswerReader {
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;

  feed(bytes: Uint8Array): readonly Step[] {
    this.#bytes += bytes.length;
    if (this.#bytes > ANSWER_BYTES_MAX) {
      throw broken(`The upstream sent an answer of more than ${ANSWER_BYTES_MAX} bytes`);
    }
    this.#pieces.push(bytes.slice());
    return [];
  }

  end(): readonly Step[] {
    const steps: Step[] = [];
    const chunks = new ChunkSteps();
    chunks.read(new TextDecoder().decode(Buffer.concat(this.#pieces)), "", steps);
    chunks.end();
    return steps;
  }
}
