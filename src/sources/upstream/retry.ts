/**
 * Asks a source again when it could not be reached or said that it is busy, before anything of its
 * answer was used.
 *
 * @module
 */

import type { Answer, Ask, Source } from "../../core/answer.ts";
import type { Call } from "../../core/exchange.ts";
import { backoffMs, retryAfterMs } from "../../lib/backoff.ts";
import { isUnreachable } from "./transport.ts";

/** How often, and how chance and time come in. */
export interface RetryOptions {
  /** Tries after the first one. */
  readonly retries: number;
  readonly random: () => number;
  readonly wallMs: () => number;
}

/**
 * Statuses worth another try (docs/facts/openai_api.md "Retries of the official clients"), and all
 * from 500.
 */
const RETRIED: ReadonlySet<number> = new Set([408, 409, 429]);

/** `source`, asked up to `retries` times more. */
export function retry(source: Source, options: RetryOptions): Source {
  if (options.retries === 0) return source;
  return {
    name: source.name,
    answer: (ask, call) => new Retrying(source, options, ask, call).run(),
  };
}

/** One question, asked as often as it takes. */
class Retrying {
  readonly #source: Source;
  readonly #options: RetryOptions;
  readonly #ask: Ask;
  readonly #call: Call;
  #attempts = 0;
  #resolve!: (answer: Answer) => void;
  #reject!: (reason: unknown) => void;

  constructor(source: Source, options: RetryOptions, ask: Ask, call: Call) {
    this.#source = source;
    this.#options = options;
    this.#ask = ask;
    this.#call = call;
  }

  run(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#try();
    });
  }

  #try(): void {
    this.#attempts++;
    try {
      const answer = this.#source.answer(this.#ask, this.#call);
      if (!(answer instanceof Promise)) return this.#onAnswer(answer);
      answer.then((settled) => this.#onAnswer(settled), (error) => this.#onError(error));
    } catch (error) {
      this.#onError(error);
    }
  }

  #onAnswer(answer: Answer): void {
    if (answer.kind !== "relay" || !isBusy(answer.status) || !this.#mayTryAgain()) {
      return this.#resolve(answer);
    }
    const { random, wallMs } = this.#options;
    const askedMs = retryAfterMs({ get: (name) => answer.header(name) }, wallMs());
    if (askedMs === Infinity) return this.#resolve(answer); // more patience than weir has
    answer.body.cancel();
    this.#tryAgain(`status ${answer.status}`, askedMs ?? backoffMs(this.#attempts, random));
  }

  #onError(error: unknown): void {
    if (!this.#mayTryAgain() || !isUnreachable(error)) return this.#reject(error);
    this.#tryAgain(error.message, backoffMs(this.#attempts, this.#options.random));
  }

  /** Nobody is left to try again for when the client has left. */
  #mayTryAgain(): boolean {
    return this.#attempts <= this.#options.retries && !this.#call.leaving.aborted;
  }

  #tryAgain(cause: string, delayMs: number): void {
    const { engine: { wheel, watch }, leaving } = this.#call;
    watch({ kind: "upstream_retried", attempt: this.#attempts, delayMs, cause });
    // A client that leaves ends the wait even when its answer would be finished: there is none.
    wheel.until(wheel.nowMs + delayMs, leaving).then((isTime) => {
      if (isTime) this.#try();
      else this.#reject(leaving.reason);
    });
  }
}

function isBusy(status: number): boolean {
  return status >= 500 || RETRIED.has(status);
}
