/**
 * Notices that a client leaves before its answer begins.
 *
 * A request's abort signal costs 3 µs to make and listen to, so it is not asked for before the
 * answer has been waited for some milliseconds: most local answers are there by then. Bun 1.4.5
 * tells a signal that is asked for late of a client that has left before.
 *
 * @module
 */

import type { Exchange } from "../core/exchange.ts";
import { Waiting, WaitingLine } from "../lib/waiting_line.ts";
import type { Wheel } from "../lib/wheel.ts";

/** Milliseconds, up to a quarter more, after which a request's signal is asked for. */
const PATIENCE_MS = 8;

/** The requests whose signals nobody has asked for yet. One for each upstream. */
export class LeaveLine extends WaitingLine {
  constructor(wheel: Wheel) {
    super(wheel, PATIENCE_MS);
  }
}

/** Whoever wants to know that a client has left. */
export interface LeaveListener {
  /** Called once. */
  onLeave(): void;
}

/** Watches one request until `stop`. */
export class LeaveWatch extends Waiting {
  readonly #line: LeaveLine;
  readonly #exchange: Exchange;
  readonly #listener: LeaveListener;
  #signal: AbortSignal | undefined = undefined;
  #hasLeft = false;

  constructor(line: LeaveLine, exchange: Exchange, listener: LeaveListener) {
    super();
    this.#line = line;
    this.#exchange = exchange;
    this.#listener = listener;
    line.join(this);
  }

  /** True when the client is known to have left. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** Watches no longer: whoever writes the answer notices by itself. */
  stop(): void {
    this.#line.leave(this);
    this.#signal?.removeEventListener("abort", this);
  }

  /** The signal's call. */
  handleEvent(): void {
    this.#hasLeft = true;
    this.#listener.onLeave();
  }

  /** The line's call: the answer takes its time. */
  override expire(): void {
    const { signal } = this.#exchange;
    if (signal.aborted) return this.handleEvent();
    this.#signal = signal;
    signal.addEventListener("abort", this, { once: true });
  }
}
