/**
 * The load factor: how much slower everything is with so many requests running, in all workers
 * together.
 *
 *   L = 1 + (load_factor − 1) · (running − 1) / (batch_max − 1)
 *
 * It is that of the moment at which a request comes, and holds for all of it.
 *
 * @module
 */

import type { AbortLike } from "../../lib/abort.ts";
import type { Tally } from "../../lib/tally.ts";
import { Ticket, type Wheel } from "../../lib/wheel.ts";

/** What of a profile it follows. */
export interface LoadRule {
  readonly load_factor: number;
  readonly batch_max: number;
}

/** The factor with `running` requests, the one that is asked for among them. */
export function loadFactorOf({ load_factor, batch_max }: LoadRule, running: number): number {
  if (batch_max === 1) return 1;
  const others = Math.min(running, batch_max) - 1;
  return 1 + (load_factor - 1) * Math.max(0, others) / (batch_max - 1);
}

/** Counts what runs. */
export class Running {
  readonly #tally: Tally;
  readonly #row: number;
  readonly #wheel: Wheel;

  constructor(tally: Tally, row: number, wheel: Wheel) {
    this.#tally = tally;
    this.#row = row;
    this.#wheel = wheel;
  }

  /** Requests that run now, and the one that begins. */
  get withOneMore(): number {
    return this.#tally.total(this.#row) + 1;
  }

  /** A request runs until `endMs` on the wheel's clock, or until nobody wants it any more. */
  begin(endMs: number, signal: AbortLike): void {
    if (signal.aborted) return;
    this.#tally.add(this.#row, 1);
    const ticket = new End(() => {
      this.#wheel.cancel(ticket);
      signal.removeEventListener("abort", onAbort);
      this.#tally.add(this.#row, -1);
    });
    const onAbort = { handleEvent: () => ticket.run() };
    signal.addEventListener("abort", onAbort);
    this.#wheel.set(ticket, endMs);
  }
}

class End extends Ticket {
  readonly #end: () => void;

  constructor(end: () => void) {
    super();
    this.#end = end;
  }

  override run(): void {
    this.#end();
  }
}
