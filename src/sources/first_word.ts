/**
 * Waits for the first word of an answer, so that one that fails before it can be asked for elsewhere:
 * a stream whose first event is an error, or a body that breaks off without a byte. What was read is
 * told again, bytes untouched.
 *
 * @module
 */

import type { Answer, Ending, PieceSink, RelayBody, Step } from "../core/answer.ts";
import { AppError } from "../core/errors.ts";
import type { Call } from "../core/exchange.ts";
import { relayWith } from "../core/relay_body.ts";
import { isPlainEventStream } from "../core/relay_headers.ts";
import { bufferOf } from "../lib/buffer_of.ts";
import { SseCutter } from "../lib/sse_cutter.ts";

/** More is held of no first event: it is passed on unread, as it is no error's. */
const HELD_BYTES_MAX = 256 * 1024;

/**
 * `answer` when its first word is here. An error that it begins with rejects; its body is given up
 * then, as it is when `call` is given up. Answers with a status from 400, and those that are known
 * beforehand, have their word.
 */
export function firstWord(answer: Answer, call: Call): Answer | Promise<Answer> {
  if (answer.kind === "script") return answer;
  if (answer.kind === "live") return firstSteps(answer, call);
  if (answer.status >= 400) return answer;
  const isStream = isPlainEventStream(answer.fields);
  const whole = answer.body.whole();
  if (whole === undefined) {
    return new Promise((resolve, reject) => {
      const { signal } = call;
      const giveUp = {
        handleEvent() {
          held.cancel();
          reject(signal.reason);
        },
      };
      const held = new HeldBody(answer.body, isStream, (error) => {
        signal.removeEventListener("abort", giveUp);
        if (error === undefined) resolve(relayWith(answer, { body: held }));
        else reject(error);
      });
      if (signal.aborted) return giveUp.handleEvent();
      signal.addEventListener("abort", giveUp);
      held.listen();
    });
  }
  const bytes = bufferOf(whole);
  const error = isStream
    ? errorIn(plainEvent(bytes) ?? firstEvent(new SseCutter(), bytes))
    : undefined;
  if (error !== undefined) {
    answer.body.cancel();
    throw error;
  }
  return relayWith(answer, { body: new WholeBody(bytes) });
}

/** A body that is here. */
class WholeBody implements RelayBody {
  readonly #bytes: Uint8Array;
  #isOver = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  whole(): Uint8Array {
    return this.#bytes;
  }

  flow(sink: PieceSink): void {
    if (this.#isOver) return;
    this.#isOver = true;
    sink.onPiece(this.#bytes, 0, true);
    sink.onEnd("end");
  }

  pause(): void {}
  resume(): void {}

  cancel(): void {
    this.#isOver = true;
  }
}

/** A body whose first pieces were read. */
class HeldBody implements RelayBody, PieceSink {
  readonly #body: RelayBody;
  /** Undefined: whatever comes first is its word. */
  readonly #cutter: SseCutter | undefined;
  #onWord: ((error: AppError | undefined) => void) | undefined;
  #held: { readonly bytes: Uint8Array; readonly atUs: number }[] = [];
  #heldBytes = 0;
  #ending:
    | { readonly ending: Exclude<Ending, "hold">; readonly error: AppError | undefined }
    | undefined;
  #sink: PieceSink | undefined;
  #isPaused = false;

  constructor(
    body: RelayBody,
    isStream: boolean,
    onWord: (error: AppError | undefined) => void,
  ) {
    this.#body = body;
    this.#cutter = isStream ? new SseCutter() : undefined;
    this.#onWord = onWord;
  }

  /** Reads until the word is here. */
  listen(): void {
    this.#body.flow(this);
  }

  whole(): undefined {
    return undefined;
  }

  flow(sink: PieceSink): void {
    this.#sink = sink;
    this.#tell();
  }

  pause(): void {
    this.#isPaused = true;
    this.#body.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#tell();
  }

  cancel(): void {
    this.#sink = undefined;
    this.#held = [];
    this.#body.cancel();
  }

  /** Of the body. */
  onPiece(bytes: Uint8Array, atUs: number, isLast?: boolean): void | false {
    if (this.#onWord === undefined && this.#sink !== undefined && this.#held.length === 0) {
      return this.#sink.onPiece(bytes, atUs, isLast);
    }
    this.#held.push({ bytes, atUs });
    if (this.#onWord === undefined || bytes.length === 0) return;
    const own = bufferOf(bytes);
    this.#heldBytes += bytes.length;
    const isFirst = this.#heldBytes === bytes.length;
    const event = this.#cutter &&
      ((isFirst ? plainEvent(own) : undefined) ?? firstEvent(this.#cutter, own));
    const isHere = this.#cutter === undefined || event !== undefined;
    // A comment says nothing: the clock of the wait for the first token runs on.
    if (!isHere && this.#heldBytes <= HELD_BYTES_MAX) return false;
    const error = errorIn(event);
    if (error === undefined) this.#body.pause();
    else this.cancel();
    this.#settle(error);
  }

  /** Of the body. */
  onEnd(ending: Exclude<Ending, "hold">, error?: AppError): void {
    if (this.#onWord !== undefined) {
      const broken = error ?? (ending === "end" ? undefined : brokenOff());
      this.#ending = { ending, error };
      return this.#settle(broken);
    }
    if (this.#held.length === 0 && this.#sink !== undefined) this.#sink.onEnd(ending, error);
    else this.#ending = { ending, error };
  }

  #settle(error: AppError | undefined): void {
    const onWord = this.#onWord!;
    this.#onWord = undefined;
    onWord(error);
  }

  /** Tells what is held, and then lets the rest come. */
  #tell(): void {
    while (!this.#isPaused && this.#sink !== undefined) {
      const piece = this.#held.shift();
      if (piece === undefined) {
        const end = this.#ending;
        if (end !== undefined) {
          const sink = this.#sink;
          this.#sink = undefined;
          return sink.onEnd(end.ending, end.error);
        }
        return this.#body.resume();
      }
      const isLast = this.#held.length === 0 && this.#ending !== undefined;
      this.#sink.onPiece(piece.bytes, piece.atUs, isLast);
    }
  }
}

function brokenOff(): AppError {
  return new AppError("upstream_broken", "The upstream broke its answer off before it began");
}

/** Words for the type of an event that is an error, as all dialects have them. */
const ERROR_TYPES: ReadonlySet<unknown> = new Set(["error", "response.failed"]);

/** So much is cut at a time: what is behind the first event is nobody's business here. */
const STEP_BYTES = 256;

/** The first event of a stream that begins with it, as nearly all do; undefined = it begins otherwise. */
function plainEvent(bytes: Buffer): Buffer | undefined {
  if (bytes[0] !== D && bytes[0] !== E) return undefined;
  const end = bytes.indexOf("\n\n");
  if (end < 0 || end > STEP_BYTES * 16) return undefined;
  const event = bytes.subarray(0, end + 2);
  const isPlain = !event.includes(CR) && /^(?:event:[^\n]*\n)?data:/.test(event.toString("latin1"));
  return isPlain ? event : undefined;
}

const [D, E, CR] = [0x64, 0x65, 0x0d];
const ERROR = Buffer.from("error");
const FAILED = Buffer.from("failed");

/** The first event that `bytes` complete; undefined = none. */
function firstEvent(cutter: SseCutter, bytes: Buffer): Buffer | undefined {
  for (let at = 0; at < bytes.length; at += STEP_BYTES) {
    const parts = cutter.feed(bytes.subarray(at, at + STEP_BYTES));
    const event = parts.find(({ isEvent }) => isEvent);
    if (event !== undefined) return event.bytes;
  }
  return undefined;
}

/** The error that `event` is; undefined = it is none, or none is here. */
function errorIn(event: Buffer | undefined): AppError | undefined {
  if (event === undefined) return undefined;
  // Most events have not even the word.
  if (!event.includes(ERROR) && !event.includes(FAILED)) return undefined;
  const text = event.toString();
  const data = text.split(/\r\n|\r|\n/).filter((line) => line.startsWith("data:"))
    .map((line) => line.slice("data:".length)).join("\n");
  if (!isErrorData(data)) return undefined;
  return new AppError("upstream_broken", "The upstream began its stream with an error");
}

function isErrorData(data: string): boolean {
  try {
    const value: unknown = JSON.parse(data);
    if (typeof value !== "object" || value === null) return false;
    if ("type" in value && ERROR_TYPES.has(value.type)) return true;
    return "error" in value && value.error !== null && value.error !== false &&
      !("choices" in value && Array.isArray(value.choices) && value.choices.length > 0);
  } catch {
    return false;
  }
}

type Live = Extract<Answer, { kind: "live" }>;

/** `answer` when its first batch is here. */
function firstSteps(answer: Live, { signal }: Call): Promise<Answer> {
  const steps = answer.steps[Symbol.asyncIterator]();
  return new Promise((resolve, reject) => {
    const giveUp = {
      handleEvent() {
        void steps.return?.();
        reject(signal.reason);
      },
    };
    if (signal.aborted) return giveUp.handleEvent();
    signal.addEventListener("abort", giveUp);
    steps.next().then(
      (first) => {
        signal.removeEventListener("abort", giveUp);
        resolve({ ...answer, steps: new HeldSteps(first, steps) });
      },
      (error) => {
        signal.removeEventListener("abort", giveUp);
        reject(error);
      },
    );
  });
}

/** Steps whose first batch was read. */
class HeldSteps implements AsyncIterableIterator<readonly Step[]> {
  #first: IteratorResult<readonly Step[]> | undefined;
  readonly #rest: AsyncIterator<readonly Step[]>;

  constructor(first: IteratorResult<readonly Step[]>, rest: AsyncIterator<readonly Step[]>) {
    this.#first = first;
    this.#rest = rest;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<readonly Step[]>> {
    const first = this.#first;
    if (first === undefined) return this.#rest.next();
    this.#first = undefined;
    return Promise.resolve(first);
  }

  return(): Promise<IteratorResult<readonly Step[]>> {
    this.#first = undefined;
    return this.#rest.return?.() ?? Promise.resolve({ done: true, value: undefined });
  }
}
