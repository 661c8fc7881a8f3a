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

/** Watches one request until `stop`. */
export class LeaveWatch {
  readonly #line: LeaveLine;
  readonly #exchange: Exchange;
  readonly #onLeave: () => void;
  readonly #waiting = new Waiting(() => this.#listen());
  #signal: AbortSignal | undefined = undefined;
  #hasLeft = false;

  /** `onLeave` is called once, when the client leaves. */
  constructor(line: LeaveLine, exchange: Exchange, onLeave: () => void) {
    this.#line = line;
    this.#exchange = exchange;
    this.#onLeave = onLeave;
    line.join(this.#waiting);
  }

  /** True when the client is known to have left. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** Watches no longer: whoever writes the answer notices by itself. */
  stop(): void {
    this.#line.leave(this.#waiting);
    this.#signal?.removeEventListener("abort", this);
  }

  /** The signal's call. */
  handleEvent(): void {
    this.#hasLeft = true;
    this.#onLeave();
  }

  #listen(): void {
    const { signal } = this.#exchange;
    if (signal.aborted) return this.handleEvent();
    this.#signal = signal;
    signal.addEventListener("abort", this, { once: true });
  }
}
