/**
 * A relay's body that is made while it flows: never more of it is there than one piece, and the event
 * loop gets its turn in between.
 *
 * @module
 */

import type { PieceSink, RelayBody } from "../../core/answer.ts";
import { SLICE_MS } from "./sliced.ts";
import { Ticket, type Wheel } from "../../lib/wheel.ts";

/** The pieces of an iterator. */
export class MadeBody extends Ticket implements RelayBody {
  readonly #pieces: Iterator<string>;
  readonly #wheel: Wheel;
  #sink: PieceSink | undefined = undefined;
  #beganMs = 0;
  #isPaused = false;
  /** True while it makes: what the sink says meanwhile is heeded behind the piece. */
  #isMaking = false;

  /** No piece is empty. */
  constructor(pieces: Iterator<string>, wheel: Wheel) {
    super();
    this.#pieces = pieces;
    this.#wheel = wheel;
  }

  whole(): undefined {}

  flow(sink: PieceSink): void {
    this.#sink = sink;
    this.#beganMs = this.#wheel.nowMs;
    this.run(this.#beganMs);
  }

  pause(): void {
    this.#isPaused = true;
    this.#wheel.cancel(this);
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#sink !== undefined && !this.#isMaking) this.#wheel.set(this, this.#wheel.nowMs);
  }

  cancel(): void {
    this.#sink = undefined;
    this.#wheel.cancel(this);
  }

  override run(nowMs: number): void {
    this.#isMaking = true;
    for (;;) {
      const sink = this.#sink;
      if (sink === undefined || this.#isPaused) break;
      const atMs = this.#wheel.nowMs;
      if (atMs - nowMs > SLICE_MS) {
        this.#wheel.set(this, atMs);
        break;
      }
      const { done, value } = this.#pieces.next();
      if (done) {
        this.#sink = undefined;
        sink.onEnd("end");
        break;
      }
      sink.onPiece(Buffer.from(value), (atMs - this.#beganMs) * 1000);
    }
    this.#isMaking = false;
  }
}
