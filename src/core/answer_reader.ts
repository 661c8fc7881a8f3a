/**
 * Reads an answer that streams or does not, whatever its dialect: its first byte tells, whatever its
 * head says. Real upstreams send odd events among good ones; what is one of those, the dialect says.
 *
 * @module
 */

import { SseParser, SseTooLarge } from "../lib/sse.ts";
import type { Step } from "./answer.ts";
import type { AnswerReader, EventLimits } from "./dialect.ts";
import { AppError } from "./errors.ts";

/** What one answer's events say, in one dialect. */
export interface EventSteps {
  /**
   * Adds what an event with `data` says to `steps`, or a whole answer with no `event`. True: it is the
   * end mark, and nothing behind it is read.
   *
   * @throws {AppError} when it cannot be read, or tells of a failure.
   */
  read(data: string, event: string, steps: Step[]): boolean;
  /**
   * Called behind the last event. `isDone`: the end mark went by.
   *
   * @throws {AppError} when the answer is not finished.
   */
  end(isDone: boolean): void;
}

const NO_STEPS: readonly Step[] = [];
const LAST_LINE = Buffer.from("\n\n");

/** A reader of one answer within `limits`, whose events `steps` understands. */
export function answerReader(steps: EventSteps, limits: EventLimits): AnswerReader {
  return new EitherReader(steps, limits);
}

function tooLarge(what: string, { section, event_max_bytes }: EventLimits): AppError {
  return broken(
    `The upstream sent ${what} of more than ${event_max_bytes} bytes (${section}.event_max_bytes)`,
  );
}

function broken(message: string): AppError {
  return new AppError("upstream_broken", message);
}

const OPEN_BRACE = 0x7b;
/** White space, and the bytes of a byte order mark. */
const BLANKS: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d, 0xef, 0xbb, 0xbf]);

/** Reads an object or events. No line of an event stream begins with a brace. */
class EitherReader implements AnswerReader {
  readonly #steps: EventSteps;
  readonly #limits: EventLimits;
  #reader: AnswerReader | undefined = undefined;

  constructor(steps: EventSteps, limits: EventLimits) {
    this.#steps = steps;
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
    this.#reader = bytes[from] === OPEN_BRACE
      ? new WholeReader(this.#steps, this.#limits)
      : new StreamReader(this.#steps, this.#limits);
    return this.#reader.feed(from === 0 ? bytes : bytes.subarray(from));
  }

  end(): readonly Step[] {
    return (this.#reader ?? new StreamReader(this.#steps, this.#limits)).end();
  }
}

/**
 * Reads events. What fails behind steps of the same piece is thrown by the next call, so that how
 * the network cuts a stream changes nothing of what it says.
 */
class StreamReader implements AnswerReader {
  readonly #parser: SseParser;
  readonly #limits: EventLimits;
  readonly #steps: EventSteps;
  isDone = false;
  hasRead = false;
  /** True once there was an event. */
  #hasEvents = false;
  #hasBytes = false;
  #error: unknown = undefined;

  constructor(steps: EventSteps, limits: EventLimits) {
    this.#steps = steps;
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
        // An event without a text is a sign of life.
        if (data.trim() === "" || !this.#steps.read(data, event, steps)) continue;
        this.isDone = true;
        break;
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
  readonly #steps: EventSteps;
  readonly #limits: EventLimits;
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;

  constructor(steps: EventSteps, limits: EventLimits) {
    this.#steps = steps;
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
    this.#steps.read(new TextDecoder().decode(Buffer.concat(this.#pieces)), "", steps);
    this.#steps.end(false);
    return steps;
  }
}
