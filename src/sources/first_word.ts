/**
 * Waits for the first word of an answer, so that one that fails before it can be asked for elsewhere:
 * a stream whose first event is an error or that has none, or a body that breaks off without a byte.
 * What was read is told again, bytes untouched.
 *
 * @module
 */

import type { Answer, Ending, PieceSink, RelayBody, Step } from "../core/answer.ts";
import { AppError } from "../core/errors.ts";
import type { Call } from "../core/exchange.ts";
import { relayWith } from "../core/relay_body.ts";
import { bufferOf } from "../lib/buffer_of.ts";
import { Beginning } from "./beginning.ts";

/**
 * `answer` when its first word is here. An error that it begins with rejects; its body is given up
 * then, as it is when `call` is given up. Answers with a status from 400, and those that are known
 * beforehand, have their word.
 */
export function firstWord(answer: Answer, call: Call): Answer | Promise<Answer> {
  if (answer.kind === "script") return answer;
  if (answer.kind === "live") return firstSteps(answer, call);
  if (answer.status >= 400) return answer;
  const beginning = new Beginning(answer, call);
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
      const held = new HeldBody(answer.body, beginning, (error) => {
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
  const error = beginning.whole(bytes);
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
  readonly #beginning: Beginning;
  #onWord: ((error: AppError | undefined) => void) | undefined;
  #held: { readonly bytes: Uint8Array; readonly atUs: number }[] = [];
  #ending:
    | { readonly ending: Exclude<Ending, "hold">; readonly error: AppError | undefined }
    | undefined;
  #sink: PieceSink | undefined;
  #isPaused = false;

  constructor(
    body: RelayBody,
    beginning: Beginning,
    onWord: (error: AppError | undefined) => void,
  ) {
    this.#body = body;
    this.#beginning = beginning;
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
    const error = this.#beginning.feed(bufferOf(bytes));
    // A comment says nothing: the clock of the wait for the first token runs on.
    if (error === null) return false;
    if (error === undefined) this.#body.pause();
    else this.cancel();
    this.#settle(error);
  }

  /** Of the body. */
  onEnd(ending: Exclude<Ending, "hold">, error?: AppError): void {
    if (this.#onWord !== undefined) {
      const broken = error ?? this.#beginning.end(ending);
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
