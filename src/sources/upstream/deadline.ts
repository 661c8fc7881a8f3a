/**
 * A deadline on the wheel that aborts an upstream call, and says which wait was too long.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { Abort } from "../../lib/abort.ts";
import { Ticket, type Wheel } from "../../lib/wheel.ts";

/** The waits of one upstream call, each with a limit of its own in the config. */
export type Phase = "headers" | "first_token" | "idle" | "whole";

const WAITS: Readonly<Record<Phase, string>> = {
  headers: "sent no response headers",
  first_token: "sent no first chunk",
  whole: "had not finished its answer",
  idle: "was silent between two chunks",
};

/** What a deadline gives up: an `Abort`, or an `AbortController`. */
export type Aborter = Pick<Abort, "abort">;

/** One call's clock: set it for each phase, clear it at the end. */
export class Deadline extends Ticket {
  readonly #wheel: Wheel;
  readonly #abort: Aborter;
  readonly #section: string;
  #phase: Phase = "headers";
  #limitMs = 0;
  #dueMs = 0;

  /**
   * Aborts `abort` with an `AppError` when the phase that is set lasts too long. `section` is where
   * the config has the limits: "llm".
   */
  constructor(wheel: Wheel, abort: Aborter, section: string) {
    super();
    this.#section = section;
    this.#wheel = wheel;
    this.#abort = abort;
  }

  /** Starts the clock of `phase` anew: it may last `limitMs` milliseconds. */
  start(phase: Phase, limitMs: number): void {
    this.#phase = phase;
    this.#limitMs = limitMs;
    this.#dueMs = this.#wheel.nowMs + limitMs;
    // A later end needs no new place on the wheel: the ticket looks again when it runs.
    if (this.dueTick < 0 || this.dueTick > this.#dueMs) this.#wheel.set(this, this.#dueMs);
  }

  stop(): void {
    this.#wheel.cancel(this);
  }

  override run(nowMs: number): void {
    if (nowMs < this.#dueMs) return this.#wheel.set(this, this.#dueMs);
    this.#abort.abort(
      new AppError(
        "upstream_timeout",
        `The upstream ${WAITS[this.#phase]} for ${this.#limitMs} ms ` +
          `(${this.#section}.${this.#phase}_timeout_ms)`,
      ),
    );
  }
}
