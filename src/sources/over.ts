/**
 * When an answer is over: all of it was said, it broke off, or nobody wanted the rest.
 *
 * @module
 */

import type { Answer, Ending, PieceSink, RelayBody, Step } from "../core/answer.ts";
import type { AppError } from "../core/errors.ts";
import type { Call } from "../core/exchange.ts";
import { relayWith } from "../core/relay_body.ts";
import { Beginning } from "./beginning.ts";

/** Called once; `error`: why it broke off. Must not throw. */
export type OnOver = (error?: unknown) => void;

/**
 * `answer` to `call`, which has `onOver` called when it is over. `onWord` is called before, once its
 * first word is here and is no error; one that is breaks it off, as far as `onOver` is told.
 */
export function whenOver(
  answer: Answer,
  call: Call,
  onOver: OnOver,
  onWord?: () => void,
): Answer {
  let isOver = false;
  const over = (error?: unknown) => {
    if (isOver) return;
    isOver = true;
    onOver(error);
  };
  // An answer that is to be finished goes on behind its request.
  call.atEnd(() => {
    if (!call.isDraining || answer.kind === "script") over();
  });
  if (answer.kind === "relay") {
    const listener = onWord && { beginning: new Beginning(answer, call), onWord };
    return relayWith(answer, { body: new EndedBody(answer.body, over, listener) });
  }
  if (answer.kind === "live") {
    return { ...answer, steps: new EndedSteps(answer.steps, over, onWord) };
  }
  onWord?.();
  return answer;
}

/** Who wants to know of the first word. */
interface WordListener {
  readonly beginning: Beginning;
  readonly onWord: () => void;
}

/** Tells when a body is over. */
class EndedBody implements RelayBody, PieceSink {
  readonly #body: RelayBody;
  readonly #over: OnOver;
  #sink: PieceSink | undefined;
  /** Until the first word is here. */
  #listener: WordListener | undefined;

  constructor(body: RelayBody, over: OnOver, listener: WordListener | undefined) {
    this.#body = body;
    this.#over = over;
    this.#listener = listener;
  }

  whole(): Uint8Array | undefined {
    const bytes = this.#body.whole();
    if (bytes === undefined) return undefined;
    this.#hear(this.#listener?.beginning.whole(bufferOf(bytes)));
    this.#over();
    return bytes;
  }

  flow(sink: PieceSink): void {
    this.#sink = sink;
    this.#body.flow(this);
  }

  pause(): void {
    this.#body.pause();
  }

  resume(): void {
    this.#body.resume();
  }

  cancel(): void {
    this.#body.cancel();
    this.#over();
  }

  onPiece(bytes: Uint8Array, atUs: number, isLast?: boolean): void | false {
    if (this.#listener !== undefined) this.#hear(this.#listener.beginning.feed(bufferOf(bytes)));
    return this.#sink!.onPiece(bytes, atUs, isLast);
  }

  onEnd(ending: Exclude<Ending, "hold">, error?: AppError): void {
    if (error === undefined) this.#hear(this.#listener?.beginning.end(ending));
    this.#over(error);
    this.#sink!.onEnd(ending, error);
  }

  /** `error`: what the body begins with in place of a word; null = it has not begun. */
  #hear(error: AppError | null | undefined): void {
    const listener = this.#listener;
    if (error === null || listener === undefined) return;
    this.#listener = undefined;
    if (error === undefined) listener.onWord();
    else this.#over(error);
  }
}

function bufferOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}

/** Tells when steps are over. */
class EndedSteps implements AsyncIterableIterator<readonly Step[]> {
  readonly #steps: AsyncIterator<readonly Step[]>;
  readonly #over: OnOver;
  #onWord: (() => void) | undefined;

  constructor(
    steps: AsyncIterable<readonly Step[]>,
    over: OnOver,
    onWord: (() => void) | undefined,
  ) {
    this.#steps = steps[Symbol.asyncIterator]();
    this.#over = over;
    this.#onWord = onWord;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<readonly Step[]>> {
    return this.#steps.next().then(
      (result) => {
        this.#onWord?.();
        this.#onWord = undefined;
        if (result.done === true) this.#over();
        return result;
      },
      (error) => {
        this.#over(error);
        throw error;
      },
    );
  }

  return(): Promise<IteratorResult<readonly Step[]>> {
    this.#over();
    return this.#steps.return?.() ?? Promise.resolve({ done: true, value: undefined });
  }
}
