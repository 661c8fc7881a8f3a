/**
 * Asks a source again when it could not be reached or said that it is busy, before anything of its
 * answer was used.
 *
 * @module
 */

import type { Answer, Ask, Relay, Source } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import { fullJitterMs, longestMs, retryAfterMs } from "../../lib/backoff.ts";
import type { RetryBudget } from "../../lib/retry_budget.ts";
import { isUnreachable } from "./transport.ts";
import type { AnswerReceiver, EagerSource } from "./upstream.ts";

/** How often, and how chance and time come in. */
export interface RetryOptions {
  /** Tries after the first one. */
  readonly retries: number;
  readonly random: () => number;
  readonly wallMs: () => number;
  /** What all upstreams have together for asking again; absent = there is no end of it. */
  readonly budget?: RetryBudget;
}

/**
 * Statuses worth another try (docs/facts/openai_api.md "Retries of the official clients"), and all
 * from 500.
 */
const RETRIED: ReadonlySet<number> = new Set([408, 409, 429]);

/** `source`, asked up to `retries` times more. */
export function retry(source: Source | EagerSource, options: RetryOptions): Source {
  if (options.retries === 0) return source;
  const eager = "begin" in source ? source : eagerOf(source);
  return {
    name: source.name,
    answer: (ask, call) => new Retrying(eager, options, ask, call).run(),
  };
}

/** `source` with callbacks. */
function eagerOf(source: Source): EagerSource {
  return {
    name: source.name,
    answer: (ask, call) => source.answer(ask, call),
    begin(ask, call, receiver) {
      const onError = (error: unknown) => receiver.onError(error);
      try {
        const answer = source.answer(ask, call);
        if (!(answer instanceof Promise)) return receiver.onAnswer(answer);
        answer.then((settled) => receiver.onAnswer(settled), onError);
      } catch (error) {
        onError(error);
      }
    },
  };
}

/** One question, asked as often as it takes. */
class Retrying implements AnswerReceiver {
  readonly #source: EagerSource;
  readonly #options: RetryOptions;
  readonly #ask: Ask;
  readonly #call: Call;
  #attempts = 0;
  #resolve: ((answer: Answer) => void) | undefined;
  #reject: ((reason: unknown) => void) | undefined;
  /** What came of it, where that was known at once. */
  #answer: Answer | undefined;
  #hasFailed = false;
  #error: unknown;

  constructor(source: EagerSource, options: RetryOptions, ask: Ask, call: Call) {
    this.#source = source;
    this.#options = options;
    this.#ask = ask;
    this.#call = call;
  }

  run(): Answer | Promise<Answer> {
    this.#options.budget?.earn();
    this.#try();
    if (this.#answer !== undefined) return this.#answer;
    return new Promise((resolve, reject) => {
      if (this.#hasFailed) return reject(this.#error);
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  #succeed(answer: Answer): void {
    if (this.#resolve === undefined) this.#answer = answer;
    else this.#resolve(answer);
  }

  #fail(error: unknown): void {
    if (this.#reject !== undefined) return this.#reject(error);
    this.#hasFailed = true;
    this.#error = error;
  }

  #try(): void {
    this.#attempts++;
    this.#source.begin(this.#ask, this.#call, this);
  }

  /** Of the source. */
  onAnswer(answer: Answer): void {
    if (!isBusy(answer) || !this.#mayTryAgain()) return this.#succeed(answer);
    const { random, wallMs } = this.#options;
    const askedMs = retryAfterMs(answer.fields, wallMs());
    if (this.#isTooLong(askedMs)) return this.#succeed(answer);
    if (!this.#takeTry()) return this.#succeed(answer);
    answer.body.cancel();
    this.#tryAgain(`status ${answer.status}`, askedMs ?? fullJitterMs(this.#attempts, random));
  }

  /** Of the source. */
  onError(error: unknown): void {
    if (!isUnreachable(error)) return this.#fail(error);
    if (!this.#mayTryAgain()) return this.#fail(this.#isBodyHere ? error : goneBody(error));
    if (!this.#takeTry()) return this.#fail(error);
    this.#tryAgain(error.message, fullJitterMs(this.#attempts, this.#options.random));
  }

  /** True when more patience is asked for than weir has: where another one can be asked, it has little. */
  #isTooLong(askedMs = 0): boolean {
    return askedMs > (this.#call.hasOthers ? longestMs(this.#attempts) : Number.MAX_VALUE);
  }

  /**
   * Nobody is left to try again for when the client has left, and nothing to try with when part of a
   * large body is no longer here.
   */
  #mayTryAgain(): boolean {
    return this.#attempts <= this.#options.retries && !this.#call.leaving.aborted &&
      this.#isBodyHere;
  }

  /** False: too much is asked again already. */
  #takeTry(): boolean {
    const isThere = this.#options.budget?.take() !== false;
    if (!isThere) this.#call.engine.watch({ kind: "retry_forgone" });
    return isThere;
  }

  get #isBodyHere(): boolean {
    return this.#ask.wire?.upload?.canStart !== false;
  }

  #tryAgain(cause: string, delayMs: number): void {
    const { engine: { wheel, watch }, leaving } = this.#call;
    watch({ kind: "upstream_retried", attempt: this.#attempts, delayMs, cause });
    // A client that leaves ends the wait even when its answer would be finished: there is none.
    wheel.until(wheel.nowMs + delayMs, leaving).then((isTime) => {
      if (isTime) this.#try();
      else this.#fail(leaving.reason);
    });
  }
}

/** The upstream's own word counts first, as it does for the official clients. */
function isBusy(answer: Answer): answer is Relay {
  if (answer.kind !== "relay" || answer.status < 400) return false;
  const word = answer.fields.get("x-should-retry");
  if (word === "true" || word === "false") return word === "true";
  return answer.status >= 500 || RETRIED.has(answer.status);
}

/** `error`, which says as well why nobody tried again. */
function goneBody(error: AppError): AppError {
  return new AppError(
    error.code,
    `${error.message} It was not asked again: more of the body had gone up than is kept for that.`,
    { cause: error },
  );
}
