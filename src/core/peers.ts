/**
 * The other workers of this weir, for objects that live in one of them
 * (docs/decisions/0013-state-across-workers.md).
 *
 * @module
 */

/** A question to another worker, as JSON carries it. `of` says whose business it is. */
export interface PeerQuestion {
  readonly of: string;
  readonly [key: string]: unknown;
}

/** Asks other workers. Never rejects, and waits no longer than its maker says. */
export interface Peers {
  /** This worker's number, from 1; 0 = it is the only one. */
  readonly own: number;
  /** The answer of worker number `worker`; undefined = it has gone, is silent, or knows nothing. */
  ask(worker: number, question: PeerQuestion): Promise<unknown>;
  /** The answers of all workers but this one: of those that gave one. */
  askAll(question: PeerQuestion): Promise<readonly unknown[]>;
  /**
   * The answers of all workers, this one with them. What is told so comes to all of them in one order,
   * whoever tells it.
   */
  tellAll(question: PeerQuestion): Promise<ToldAll>;
}

/** What all workers have answered. */
export interface ToldAll {
  readonly answers: readonly unknown[];
  /** How many gave no answer in time and are still there. */
  readonly missing: number;
}

/** Nobody else is there. */
export const NO_PEERS: Peers = {
  own: 0,
  ask: () => Promise.resolve(undefined),
  askAll: () => Promise.resolve([]),
  tellAll: () => Promise.resolve({ answers: [], missing: 0 }),
};

/** Answers a question of another worker; undefined = it knows nothing of that. */
export type AnswerPeer = (question: PeerQuestion) => unknown;
