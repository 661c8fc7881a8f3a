/**
 * The steps of a relay's body, read while it comes. The reader's pace is the upstream's: while
 * nobody asks for the next batch, the body is paused.
 *
 * @module
 */

import type { Ending, PieceSink, Relay, RelayBody, Step } from "../../core/answer.ts";
import type { AnswerReader, UpstreamDialect } from "../../core/dialect.ts";
import type { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";

type Turn = IteratorResult<readonly Step[], undefined>;

const DONE: Turn = { done: true, value: undefined };

const NOTHING = new Uint8Array();

/** No generator: `return` frees the upstream at once, also while `next` waits. */
export class LiveSteps implements AsyncIterableIterator<readonly Step[], undefined>, PieceSink {
  readonly #body: RelayBody;
  readonly #reader: AnswerReader;
  readonly #call: Call;
  /** Read while nobody waited. */
  #steps: Step[] = [];
  #resolve: ((turn: Turn) => void) | undefined = undefined;
  #reject: ((error: unknown) => void) | undefined = undefined;
  #hasBegun = false;
  #hasEnded = false;
  #error: unknown = undefined;

  constructor(relay: Relay, dialect: UpstreamDialect, call: Call) {
    this.#body = relay.body;
    this.#reader = dialect.readAnswer(relay);
    this.#call = call;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Turn> {
    if (!this.#hasBegun) this.#begin();
    // A reader may keep what failed behind the steps of a piece: it tells when it is asked again.
    else if (this.#steps.length === 0) this.onPiece(NOTHING);
    if (this.#steps.length > 0) {
      const value = this.#steps;
      this.#steps = [];
      return Promise.resolve({ done: false, value });
    }
    if (this.#error !== undefined) {
      const error = this.#error;
      this.#error = undefined;
      return Promise.reject(error);
    }
    if (this.#hasEnded) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#body.resume();
    });
  }

  return(): Promise<Turn> {
    if (!this.#hasEnded) {
      this.#hasEnded = true;
      this.#body.cancel();
    }
    this.#steps = [];
    this.#error = undefined;
    this.#settle()?.(DONE);
    return Promise.resolve(DONE);
  }

  /** Of the body. */
  onPiece(bytes: Uint8Array): void {
    if (this.#hasEnded) return;
    try {
      this.#give(this.#reader.feed(bytes));
    } catch (error) {
      this.#call.upstream?.end(error);
      this.#body.cancel();
      this.#fail(error);
    }
  }

  /** Of the body. */
  onEnd(_ending: Exclude<Ending, "hold">, error?: AppError): void {
    if (this.#hasEnded) return;
    if (error !== undefined) return this.#fail(error);
    this.#finish();
  }

  /** The body begins to flow, unless all of it is here. */
  #begin(): void {
    this.#hasBegun = true;
    const whole = this.#body.whole();
    if (whole === undefined) return this.#body.flow(this);
    this.onPiece(whole);
    if (!this.#hasEnded) this.#finish();
  }

  #finish(): void {
    try {
      this.#give(this.#reader.end());
      this.#hasEnded = true;
      this.#settle()?.(DONE);
    } catch (error) {
      this.#fail(error);
    }
  }

  #give(steps: readonly Step[]): void {
    if (steps.length === 0) return;
    const resolve = this.#settle();
    if (resolve !== undefined) return resolve({ done: false, value: steps });
    for (const step of steps) this.#steps.push(step);
    this.#body.pause();
  }

  #fail(error: unknown): void {
    this.#hasEnded = true;
    const reject = this.#reject;
    this.#settle();
    if (reject === undefined) this.#error = error;
    else reject(error);
  }

  #settle(): ((turn: Turn) => void) | undefined {
    const resolve = this.#resolve;
    this.#resolve = this.#reject = undefined;
    return resolve;
  }
}
