/**
 * The keys of one upstream, used in turn: one that is limited or refused rests, and the others go on.
 *
 * @module
 */

import { retryAfterMs } from "../../lib/backoff.ts";

/** How long a key rests that is limited, where nobody says. */
const LIMITED_MS = 5_000;
/** How long one rests that is refused: somebody has to do something about it. */
const REFUSED_MS = 60_000;
/** The longest rest, whatever an upstream asks for. */
const REST_MS_MAX = 60_000;

/** How long a key rests after an answer of this status; undefined = the key is not to blame. */
const RESTS: Readonly<Record<number, number>> = {
  401: REFUSED_MS,
  403: REFUSED_MS,
  429: LIMITED_MS,
};

/** Whose turn it is. Keys are numbers from 0. */
export class KeyTurns {
  readonly #nowMs: () => number;
  readonly #wallMs: () => number;
  /** When each may be used again. */
  readonly #wakesMs: number[];
  #last = -1;

  /** `nowMs`: a clock that never goes back; `wallMs`: milliseconds since 1970. */
  constructor(count: number, nowMs: () => number, wallMs: () => number) {
    this.#wakesMs = new Array(count).fill(-Infinity);
    this.#nowMs = nowMs;
    this.#wallMs = wallMs;
  }

  /** The next key that does not rest; where all do, the one that wakes first. */
  next(): number {
    const nowMs = this.#nowMs();
    const { length } = this.#wakesMs;
    for (let step = 1; step <= length; step++) {
      const key = (this.#last + step) % length;
      if (this.#wakesMs[key]! <= nowMs) return this.#last = key;
    }
    return this.#last = this.#wakesMs.indexOf(Math.min(...this.#wakesMs));
  }

  /** True when some key does not rest. */
  get isAwake(): boolean {
    const nowMs = this.#nowMs();
    return this.#wakesMs.some((wakesMs) => wakesMs <= nowMs);
  }

  /** True when an answer of `status` says that `key` is limited or refused: it rests now. */
  rests(
    key: number,
    status: number,
    fields: { get(name: string): string | null },
  ): boolean {
    const usualMs = RESTS[status];
    if (usualMs === undefined) return false;
    const askedMs = retryAfterMs(fields, this.#wallMs());
    const restMs = Math.min(REST_MS_MAX, askedMs ?? usualMs);
    this.#wakesMs[key] = Math.max(this.#wakesMs[key]!, this.#nowMs() + restMs);
    return true;
  }
}
