/**
 * The end of an answer that is written: it is over once its client has taken it. Until then it counts
 * as open, and it is told how it ended: whole, left, or cut off.
 *
 * @module
 */

import type { AppError } from "./errors.ts";
import { outcomeOf } from "./events.ts";
import { cutOff, type Exchange, type OpenStream } from "./exchange.ts";
import type { Outcome } from "./facts.ts";
import type { ClientListener, CutReason, Untaken } from "./response_writer.ts";

/** Ends `exchange`, whose answer left in one piece, when that is taken; null = it is. */
export function completeTaken(
  exchange: Exchange,
  status: number,
  bodyBytes: number,
  untaken: Untaken | null,
): void {
  if (untaken === null) return exchange.complete(status, bodyBytes);
  exchange.begin(status);
  exchange.bodyBytes = bodyBytes;
  endTaken(exchange, untaken, exchange.hasLeft ? "client_left" : "completed");
}

/** Ends `exchange` with `outcome`, and with `error` if there is one, when its answer is taken. */
export function endTaken(
  exchange: Exchange,
  untaken: Untaken | null,
  outcome: Outcome,
  error?: AppError,
): void {
  if (untaken === null) exchange.end(outcome, error);
  else untaken.listenTaken(new Taking(exchange, outcome, error));
}

/** One answer that waits for its client. */
class Taking implements OpenStream, ClientListener {
  readonly #exchange: Exchange;
  readonly #outcome: Outcome;
  readonly #error: AppError | undefined;

  constructor(exchange: Exchange, outcome: Outcome, error: AppError | undefined) {
    this.#exchange = exchange;
    this.#outcome = outcome;
    this.#error = error;
    exchange.engine.streams.add(this);
  }

  /** Of the connection: all is taken. */
  onDrain(): void {
    this.#end(this.#outcome, this.#error);
  }

  /** Of the connection. */
  onLeave(reason?: CutReason | "fault"): void {
    if (reason === undefined) return this.#end("client_left");
    if (reason === "fault") return this.#end(this.#outcome, this.#error);
    const error = cutOff(reason, this.#exchange.engine);
    this.#end(outcomeOf(error), error);
  }

  /** weir ends: nothing can be said behind the end of an answer. */
  fail(error: AppError): void {
    this.#end("shut_down", error);
  }

  #end(outcome: Outcome, error?: AppError): void {
    this.#exchange.engine.streams.delete(this);
    this.#exchange.end(outcome, error);
  }
}
