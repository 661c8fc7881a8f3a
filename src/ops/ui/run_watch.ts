/**
 * Measures one run of a workflow.
 *
 * @module
 */

import { durationText } from "./duration.ts";
import { element } from "./element.ts";
import type { Wording } from "./wording.ts";

/** Starts with the run. */
export class RunWatch {
  readonly #startMs = performance.now();
  #firstMs = 0;
  #pieces = 0;

  get elapsedMs(): number {
    return performance.now() - this.#startMs;
  }

  /** `pieces` of a stream came together. */
  count(pieces: number): void {
    if (this.#pieces === 0) this.#firstMs = this.elapsedMs;
    this.#pieces += pieces;
  }

  /** The figures, each in an element of its own that can change its language. */
  summary(wording: Wording): readonly (Node | string)[] {
    const total = wording.say(element("span"), "done_in", durationText(this.elapsedMs));
    if (this.#pieces === 0) return [total];
    return [
      total,
      " · ",
      wording.say(element("span"), "first_after", durationText(this.#firstMs)),
      " · ",
      wording.say(element("span"), "pieces", String(this.#pieces)),
    ];
  }
}
