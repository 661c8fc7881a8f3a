/**
 * What calling an upstream takes: how to reach it, how patient to be, and the failures it knows.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import { Ticket, type Wheel } from "../lib/wheel.ts";
import type { AskLlm } from "./llm.ts";

/** The part of `fetch` that calls use. */
export type FetchLike = (url: string, init: RequestInit) => Promise<Response>;

/** How long each wait of a call may last, in milliseconds; from the `llm` section of the config. */
export interface CallLimits {
  readonly headersMs: number;
  readonly firstChunkMs: number;
  readonly idleMs: number;
}

/** What a run's calls share. */
export interface Calls {
  readonly fetch: FetchLike;
  /** Answers calls to `weir:`, this weir itself. */
  readonly askLlm: AskLlm;
  readonly wheel: Wheel;
  readonly limits: CallLimits;
}

/** The ends of a call: its own time limits and the run's signal, in one signal for `fetch`. */
export class CallEnd extends Ticket {
  readonly #abort = new AbortController();
  readonly #wheel: Wheel;
  readonly #outer: AbortSignal;
  readonly #host: string;
  #wait = "";
  #limitMs = 0;
  readonly #onOuter = () => this.#abort.abort(this.#outer.reason);

  /** `host` is named when the call takes too long. Call `stop` when it is over. */
  constructor(wheel: Wheel, outer: AbortSignal, host: string) {
    super();
    this.#wheel = wheel;
    this.#outer = outer;
    this.#host = host;
    if (outer.aborted) this.#onOuter();
    else outer.addEventListener("abort", this.#onOuter, { once: true });
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Starts a wait: "no response headers" for at most `limitMs`. */
  start(wait: string, limitMs: number): void {
    this.#wait = wait;
    this.#limitMs = limitMs;
    this.#wheel.set(this, this.#wheel.nowMs + limitMs);
  }

  /** The wait is over. */
  pause(): void {
    this.#wheel.cancel(this);
  }

  /** The call is over; what is still open of it is closed. */
  stop(): void {
    this.pause();
    this.#outer.removeEventListener("abort", this.#onOuter);
    this.#abort.abort();
  }

  override run(): void {
    this.#abort.abort(
      new AppError("upstream_timeout", `${this.#host} sent ${this.#wait} for ${this.#limitMs} ms`),
    );
  }
}

/** A failure of the workflow. Its sentence is for whoever runs it. */
export function failed(message: string, cause?: unknown): AppError {
  return new AppError("workflow_failed", message, cause === undefined ? {} : { cause });
}
