/**
 * A relay's body that is made while it flows: never more of it is there than one piece, and the event
 * loop gets its turn in between.
 *
 * @module
 */

import { OwnBody } from "../../core/relay_body.ts";
import type { Wheel } from "../../lib/wheel.ts";
import { SLICE_MS } from "./sliced.ts";

/** The pieces of an iterator. */
export class MadeBody extends OwnBody {
  readonly #pieces: Iterator<string>;
  /** True while it makes: what the sink says meanwhile is heeded behind the piece. */
  #isMaking = false;

  /** No piece is empty. */
  constructor(pieces: Iterator<string>, wheel: Wheel) {
    super(wheel);
    this.#pieces = pieces;
  }

  whole(): undefined {}

  resume(): void {
    this.isPaused = false;
    if (this.sink !== undefined && !this.#isMaking) this.wheel.set(this, this.wheel.nowMs);
  }

  override run(nowMs: number): void {
    this.#isMaking = true;
    for (;;) {
      const sink = this.sink;
      if (sink === undefined || this.isPaused) break;
      const atMs = this.wheel.nowMs;
      if (atMs - nowMs > SLICE_MS) {
        this.wheel.set(this, atMs);
        break;
      }
      const { done, value } = this.#pieces.next();
      if (done) {
        this.sink = undefined;
        sink.onEnd("end");
        break;
      }
      sink.onPiece(Buffer.from(value), (atMs - this.beganMs) * 1000);
    }
    this.#isMaking = false;
  }
}
