/**
 * What several weirs tell each other of an upstream's circuit breaker.
 *
 * @module
 */

import type { BreakerState } from "./events.ts";

/** A breaker, as it is told what others have found out. */
export interface ToldBreaker {
  readonly state: BreakerState;
  /**
   * Another one has opened and will try the upstream in `leftMs`: this one is open, too, and leaves the
   * first try to that one for as long as it is open itself.
   */
  follow(leftMs: number): void;
  /** Another one has found that the upstream answers. */
  recover(): void;
}

/** Tells others, and is told. */
export interface BreakerShare {
  /** `breaker` of the upstream `name` wants to know what others find out, and for how long they open. */
  join(name: string, breaker: ToldBreaker): void;
  /** The breaker of `name` has opened for `openMs` by what it has seen itself, maybe again. */
  opened(name: string, openMs: number): void;
  /** It has closed by what it has seen itself. */
  closed(name: string): void;
}
