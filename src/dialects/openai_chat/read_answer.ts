/**
 * Reads what an OpenAI-compatible upstream answers: a stream of `chat.completion.chunk` events, or
 * one `chat.completion` object from an upstream that does not stream. Real upstreams send odd
 * chunks among good ones: what cannot be read is left out, and the answer goes on.
 *
 * @module
 */

import type { Step } from "../../core/answer.ts";
import type { AnswerReader, EventLimits } from "../../core/dialect.ts";
import { AppError } from "../../core/errors.ts";
import { SseParser, SseTooLarge } from "../../lib/sse.ts";
import { broken, ChunkSteps, object, sentenceOf, shortened } from "./read_chunk.ts";

const NO_STEPS: readonly Step[] = [];
const LAST_LINE = Buffer.from("\n\n");

/** A reader for an answer that streams or does not: its first byte tells, whatever its head says. */
export function readAnswer(_fields: unknown, limits: EventLimits): AnswerReader {
  return new EitherReader(limits);
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

const OPEN_BRACE = 0x7b;
/** White space, and the bytes of a byte order mark. */
const BLANKS: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d, 0xef, 0xbb, 0xbf]);

/** Reads an object or events. No line of an event stream begins with a brace. */
class EitherReader implements AnswerReader {
  readonly #limits: EventLimits;
  #reader: AnswerReader | undefined = undefined;

  constructor(limits: EventLimits) {
    this.#limits = limits;
  }

  get isDone(): boolean {
    return this.#reader?.isDone === true;
  }

  get hasRead(): boolean {
    return this.#reader?.hasRead === true;
  }

  feed(bytes: Uint8Array): readonly Step[] {
    if (this.#reader !== undefined) return this.#reader.feed(bytes);
    const from = bytes.findIndex((byte) => !BLANKS.has(byte));
    if (from < 0) return NO_STEPS;
    const limits = this.#limits;
    this.#reader = bytes[from] === OPEN_BRACE ? new WholeReader(limits) : new StreamReader(limits);
    return this.#reader.feed(from === 0 ? bytes : bytes.subarray(from));
  }

  end(): readonly Step[] {
    return (this.#reader ?? new StreamReader(this.#limits)).end();
  }
}

/**
 * Reads events. What fails behind steps of the same piece is thrown by the next call, so that how
 * the network cuts a stream changes nothing of what it says.
 */
class StreamReader implements AnswerReader {
  readonly #limits: EventLimits;
  readonly #parser: SseParser;
  readonly #steps = new ChunkSteps();
  isDone = false;
  hasRead = false;
  /** True once there was an event. */
  #hasEvents = false;
  #hasBytes = false;
  #error: unknown = undefined;

  constructor(limits: EventLimits) {
    this.#limits = limits;
    this.#parser = new SseParser(limits.event_max_bytes);
  }

  feed(bytes: Uint8Array): readonly Step[] {
    if (this.#error !== undefined) throw this.#error;
    if (bytes.length === 0) return NO_STEPS;
    this.hasRead = false;
    this.#hasBytes = true;
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
    const hasBytes = this.#hasBytes;
    const steps = this.isDone ? NO_STEPS : this.#last();
    if (hasBytes && !this.#hasEvents) {
      throw broken("The upstream sent an answer that is no JSON object and no stream of events");
    }
    this.#steps.end(this.isDone);
    return steps;
  }

  /** The last event, behind which some upstreams leave out the blank line. */
  #last(): readonly Step[] {
    try {
      return this.feed(LAST_LINE);
    } catch {
      return NO_STEPS; // an event that is cut off is none
    }
  }

  #read(bytes: Uint8Array, steps: Step[]): void {
    try {
      for (const { event, data } of this.#parser.feed(bytes)) {
        this.hasRead = this.#hasEvents = true;
        if (data.startsWith("[DONE]")) {
          this.isDone = true;
          break;
        }
        // An event without a text is a sign of life.
        if (data.trim() !== "") this.#steps.read(data, event, steps);
      }
    } catch (error) {
      if (!(error instanceof SseTooLarge)) throw error;
      throw tooLarge("an event", this.#limits);
    }
  }
}

/** Reads one object. */
class WholeReader implements AnswerReader {
  readonly isDone = false;
  readonly hasRead = true;
  readonly #limits: EventLimits;
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;

  constructor(limits: EventLimits) {
    this.#limits = limits;
  }

  feed(bytes: Uint8Array): readonly Step[] {
    this.#bytes += bytes.length;
    if (this.#bytes > this.#limits.event_max_bytes) throw tooLarge("an answer", this.#limits);
    this.#pieces.push(bytes.slice());
    return [];
  }

  end(): readonly Step[] {
    const steps: Step[] = [];
    const chunks = new ChunkSteps();
    chunks.read(new TextDecoder().decode(Buffer.concat(this.#pieces)), "", steps);
    chunks.end(false);
    return steps;
  }
}

function tooLarge(what: string, { section, event_max_bytes }: EventLimits): AppError {
  return broken(
    `The upstream sent ${what} of more than ${event_max_bytes} bytes (${section}.event_max_bytes)`,
  );
}
