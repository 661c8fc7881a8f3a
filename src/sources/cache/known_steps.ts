/**
 * Steps of an answer that is kept, told at a pace.
 *
 * @module
 */

import type { Step } from "../../core/answer.ts";
import { Abort } from "../../lib/abort.ts";
import type { Wheel } from "../../lib/wheel.ts";

/** How fast kept streams are told: all at once, as they came, or so many events a second. */
export type CachePace = "at_once" | "recorded" | number;

/** Steps that are told together, `atMs` after the first. */
export interface TimedBatch {
  readonly steps: readonly Step[];
  readonly atMs: number;
}

/** What is kept of steps. */
export interface KeptSteps {
  /** A list of lists of steps, as JSON. */
  readonly bytes: Buffer;
  /** When each list was told, in microseconds. */
  readonly atUs: Float64Array;
}

/** The steps in `kept`, as they are to be told. The first ones are told at once. */
export function batchesAt({ bytes, atUs }: KeptSteps, pace: CachePace): readonly TimedBatch[] {
  const batches: readonly (readonly Step[])[] = JSON.parse(bytes.toString());
  if (pace === "at_once") return [{ steps: batches.flat(), atMs: 0 }];
  if (pace === "recorded") {
    return batches.map((steps, i) => ({ steps, atMs: (atUs[i]! - atUs[0]!) / 1000 }));
  }
  return batches.flat().map((step, i) => ({ steps: [step], atMs: i * 1000 / pace }));
}

type Turn = IteratorResult<readonly Step[]>;
const DONE: Turn = { done: true, value: undefined };

/** Tells batches, from its first question on. */
export class KnownSteps implements AsyncIterableIterator<readonly Step[]> {
  readonly #batches: readonly TimedBatch[];
  readonly #wheel: Wheel;
  readonly #isGivenUp = new Abort();
  #next = 0;
  #beganMs = -1;

  constructor(batches: readonly TimedBatch[], wheel: Wheel) {
    this.#batches = batches;
    this.#wheel = wheel;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<Turn> {
    const batch = this.#batches[this.#next];
    if (batch === undefined || this.#isGivenUp.aborted) return DONE;
    if (this.#beganMs < 0) this.#beganMs = this.#wheel.nowMs;
    this.#next++;
    const dueMs = this.#beganMs + batch.atMs;
    if (dueMs > this.#wheel.nowMs && !await this.#wheel.until(dueMs, this.#isGivenUp)) return DONE;
    return { done: false, value: batch.steps };
  }

  return(): Promise<Turn> {
    this.#isGivenUp.abort(undefined);
    return Promise.resolve(DONE);
  }
}
