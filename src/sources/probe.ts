/**
 * Asks an upstream from time to time whether it is there, so that its breaker knows before a client does.
 *
 * @module
 */

import { Ticket, type Wheel } from "../lib/wheel.ts";
import type { Breaker } from "./breaker.ts";

/** An upstream that has not answered by then is not there. */
const ANSWER_MS = 10_000;

/** What a probe is made of. */
export interface ProbeDeps {
  /** From the end of one question to the next. */
  readonly everyMs: number;
  /** Asks once: gives the status of the answer, or rejects. */
  readonly ask: (signal: AbortSignal) => Promise<number>;
  readonly breaker: Breaker;
  readonly wheel: Wheel;
}

/** The probe of one upstream. */
export class Probe extends Ticket {
  readonly #deps: ProbeDeps;
  readonly #stopped = new AbortController();

  constructor(deps: ProbeDeps) {
    super();
    this.#deps = deps;
  }

  /** Asks for the first time in a while. */
  start(): void {
    const { wheel, everyMs } = this.#deps;
    wheel.set(this, wheel.nowMs + everyMs);
  }

  stop(): void {
    this.#stopped.abort();
    this.#deps.wheel.cancel(this);
  }

  override run(): void {
    void this.#ask();
  }

  async #ask(): Promise<void> {
    const { ask, breaker } = this.#deps;
    const signal = AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(ANSWER_MS)]);
    // Whatever it says of the question, it is there.
    const isThere = await ask(signal).then((status) => status < 500, () => false);
    if (this.#stopped.signal.aborted) return;
    breaker.probed(isThere);
    this.start();
  }
}
