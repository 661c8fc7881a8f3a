/**
 * When an answer is over: all of it was said, it broke off, or nobody wanted the rest.
 *
 * @module
 */

import type { Answer, Ending, PieceSink, RelayBody, Step } from "../core/answer.ts";
import type { AppError } from "../core/errors.ts";
import type { Call } from "../core/exchange.ts";
import { relayWith } from "../core/relay_body.ts";

/** Called once; `error`: why it broke off. Must not throw. */
export type OnOver = (error?: unknown) => void;

/** `answer` to `call`, which has `onOver` called when it is over. */
export function whenOver(answer: Answer, call: Call, onOver: OnOver): Answer {
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
  if (answer.kind === "relay") return relayWith(answer, { body: new EndedBody(answer.body, over) });
  if (answer.kind === "live") return { ...answer, steps: new EndedSteps(answer.steps, over) };
  return answer;
}

/** Tells when a body is over. */
class EndedBody implements RelayBody, PieceSink {
  readonly #body: RelayBody;
  readonly #over: OnOver;
  #sink: PieceSink | undefined;

  constructor(body: RelayBody, over: OnOver) {
    this.#body = body;
    this.#over = over;
  }

  whole(): Uint8Array | undefined {
    const bytes = this.#body.whole();
    if (bytes !== undefined) this.#over();
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
    return this.#sink!.onPiece(bytes, atUs, isLast);
  }

  onEnd(ending: Exclude<Ending, "hold">, error?: AppError): void {
    this.#over(error);
    this.#sink!.onEnd(ending, error);
  }
}

/** Tells when steps are over. */
class EndedSteps implements AsyncIterableIterator<readonly Step[]> {
  readonly #steps: AsyncIterator<readonly Step[]>;
  readonly #over: OnOver;

  constructor(steps: AsyncIterable<readonly Step[]>, over: OnOver) {
    this.#steps = steps[Symbol.asyncIterator]();
    this.#over = over;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<readonly Step[]>> {
    return this.#steps.next().then(
      (result) => {
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
