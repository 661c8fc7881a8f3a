/**
 * So many questions to one source at once: the others wait in a line, which has an end.
 *
 * @module
 */

import type { Answer, Ask, Source } from "../core/answer.ts";
import { AppError } from "../core/errors.ts";
import type { Call } from "../core/exchange.ts";
import type { AbortListener } from "../lib/abort.ts";
import { Ticket, type Wheel } from "../lib/wheel.ts";
import { askedFor, whenOver } from "./over.ts";

/** How many; from the config. */
export interface ConcurrencyRules {
  /** Answers that may be open; 0 = any number. */
  readonly concurrency_max: number;
  /** Questions that may wait. */
  readonly waiting_max: number;
  /** For how long each. */
  readonly waiting_timeout_ms: number;
}

/** `source`, which is asked by so many at once; itself where any number may. `upstream`: its name. */
export function concurrency(source: Source, rules: ConcurrencyRules, upstream: string): Source {
  if (rules.concurrency_max === 0) return source;
  const line = new Line(rules, upstream);
  return {
    name: source.name,
    answer(ask, call) {
      const entered = line.enter(call);
      return entered === undefined
        ? inside(source, line, ask, call)
        : entered.then(() => inside(source, line, ask, call));
    },
  };
}

/** Asks, and leaves when the answer is over. */
function inside(source: Source, line: Line, ask: Ask, call: Call): Answer | Promise<Answer> {
  const leave = () => line.leave();
  const take = (answer: Answer) => whenOver(answer, call, leave);
  return askedFor(source, ask, call, take, leave);
}

/** Who is inside, and who waits. */
class Line {
  readonly #rules: ConcurrencyRules;
  readonly #upstream: string;
  #inside = 0;
  readonly #waiting = new Set<Waiter>();

  constructor(rules: ConcurrencyRules, upstream: string) {
    this.#rules = rules;
    this.#upstream = upstream;
  }

  /**
   * Takes a place; undefined = it is taken already.
   *
   * @throws {AppError} when too many wait; a wait that is too long, or given up, rejects.
   */
  enter(call: Call): Promise<void> | undefined {
    const { concurrency_max, waiting_max, waiting_timeout_ms } = this.#rules;
    if (this.#inside < concurrency_max) {
      this.#inside++;
      return undefined;
    }
    if (this.#waiting.size >= waiting_max) throw this.#full();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = new Waiter(call, resolve, (error) => {
      this.#waiting.delete(waiter);
      reject(error);
    }, () => this.#full());
    this.#waiting.add(waiter);
    waiter.wait(waiting_timeout_ms);
    return promise;
  }

  /** Gives a place back: to whoever has waited longest. */
  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#inside--;
      return;
    }
    this.#waiting.delete(next);
    next.pass();
  }

  #full(): AppError {
    return new AppError(
      "upstream_full",
      `The upstream ${this.#upstream} answers as many requests as it may at once: try again`,
      { headers: { "retry-after": "1" } },
    );
  }
}

/** One that waits. */
class Waiter extends Ticket implements AbortListener {
  readonly #call: Call;
  readonly #wheel: Wheel;
  readonly #onPass: () => void;
  readonly #onFail: (error: unknown) => void;
  readonly #full: () => AppError;

  constructor(
    call: Call,
    onPass: () => void,
    onFail: (error: unknown) => void,
    full: () => AppError,
  ) {
    super();
    this.#call = call;
    this.#wheel = call.engine.wheel;
    this.#onPass = onPass;
    this.#onFail = onFail;
    this.#full = full;
  }

  wait(limitMs: number): void {
    const { leaving } = this.#call;
    if (leaving.aborted) return this.#onFail(leaving.reason);
    leaving.addEventListener("abort", this);
    this.#wheel.set(this, this.#wheel.nowMs + limitMs);
  }

  pass(): void {
    this.#stop();
    this.#onPass();
  }

  /** Of the call: whoever asked has left. */
  handleEvent(): void {
    this.#stop();
    this.#onFail(this.#call.leaving.reason);
  }

  /** It has waited too long. */
  override run(): void {
    this.#stop();
    this.#onFail(this.#full());
  }

  #stop(): void {
    this.#wheel.cancel(this);
    this.#call.leaving.removeEventListener("abort", this);
  }
}
