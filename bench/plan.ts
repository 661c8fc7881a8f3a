/**
 * What a benchmark runs, and how long that takes on a quiet machine: arithmetic over the cases, and
 * a few seconds that were measured once.
 *
 * @module
 */

import {
  type BenchOptions,
  JUDGED_CONNECTIONS,
  type Rounds,
  roundsAt,
  secondsAt,
} from "./bench_options.ts";
import {
  dueMsOfPaced,
  IDLE_CASES,
  type IdleCase,
  PACED_CASES,
  type PacedCase,
  quickPaced,
  START_CASE,
  SWEEP_CASES,
  WHOLE_CASES,
  type WholeCase,
} from "./cases.ts";
import { tools } from "./load.ts";
import { IDLE_STARTS_PER_SECOND, settleMs } from "./memory.ts";
import type { Peer } from "./peers/peer.ts";
import { startsOf, WARM_STARTS, WATCH_MS } from "./start.ts";
import { connectionsOf, isJudgedAt, isUpstreamShown, WARM_SECONDS } from "./whole.ts";

/** Starting a server and asking it once. */
const START_SECONDS = 0.6;
/** Building the executable, with its packages looked at. */
const BUILD_SECONDS = 5;
/** What a load generator takes besides its own seconds: wrk hardly anything, autocannon its start. */
const LOAD_SECONDS = 0.2;
/** What a run of the stream client takes besides its streams. */
const STREAMS_SECONDS = 1.5;
/** How far behind its schedule a peer with a sleep of its own is when a paced case ends. */
const BEHIND_SHARE = 1;

/** How thorough a run is when nothing else is asked for. */
export interface Thoroughness {
  readonly rounds: Rounds;
  readonly seconds: number;
  readonly connections: readonly number[];
}

/** The published run: some 30 minutes, and 3 more at most on a machine that is not quiet. */
export const PUBLISHED: Thoroughness = {
  rounds: { judged: 5, shown: 3, many: 2, paced: 3, idle: 3 },
  seconds: 2,
  connections: [1, 64, 512, 4000],
};
/** `--quick`: under a minute. */
export const QUICK: Thoroughness = {
  rounds: { judged: 1, shown: 1, many: 1, paced: 1, idle: 1 },
  seconds: 1,
  connections: [JUDGED_CONNECTIONS],
};
/** Time for runs that are repeated because the machine was not quiet, in all. */
export const REPEATED_MS_MAX = 180_000;

/** What runs. */
export interface BenchPlan {
  readonly whole: readonly WholeCase[];
  readonly paced: readonly { readonly work: PacedCase; readonly rounds: number }[];
  readonly idle: readonly IdleCase[];
  readonly isStart: boolean;
}

/** The cases whose name contains `part`. `--quick` has fewer, and `--against` needs no sweep. */
export function planOf(
  part: string,
  { isQuick, against, rounds }: Pick<BenchOptions, "isQuick" | "against" | "rounds">,
): BenchPlan {
  const isAsked = ({ name }: { readonly name: string }) => name.includes(part);
  const paced = isQuick ? PACED_CASES.slice(0, 1).map(quickPaced) : PACED_CASES;
  const sweep = isQuick || against !== undefined ? [] : SWEEP_CASES;
  return {
    whole: WHOLE_CASES.filter((work) => isAsked(work) && (work.isQuick || !isQuick)),
    paced: [
      ...paced.filter(isAsked).map((work) => ({ work, rounds: rounds.paced })),
      ...sweep.filter(isAsked).map((work) => ({ work, rounds: 1 })),
    ],
    idle: IDLE_CASES.filter((work) => isAsked(work) && (work.isQuick || !isQuick)),
    isStart: isAsked(START_CASE) && !(isQuick && part === ""),
  };
}

/** Seconds that a plan takes when no run has to be repeated. */
export function estimateSeconds(
  { whole, paced, idle, isStart }: BenchPlan,
  options: BenchOptions,
): number {
  const wholeSeconds = whole.map((work) => {
    const contenders = contenderCount(work, options);
    const runs = connectionsOf(work, options).map((connections) => {
      const others = options.isQuick ? 0 : tools().length - 1;
      const rounds = roundsAt(connections, isJudgedAt(work, connections), options);
      const times = contenders * rounds +
        others * (connections === JUDGED_CONNECTIONS ? contenders : 1);
      return times * (secondsAt(connections, options) + LOAD_SECONDS);
    });
    return contenders * (START_SECONDS + WARM_SECONDS) + sum(runs);
  });
  const pacedSeconds = paced.map(({ work, rounds }) => {
    const answerSeconds = dueMsOfPaced(work).at(-1)! / 1000;
    const runSeconds = answerSeconds + work.rampMs / 1000 + STREAMS_SECONDS;
    const rivals = options.against === undefined ? work.rivals.filter(isThere) : [];
    const steady = 1 + (work.isProxied ? 1 : 0) + rivals.filter(({ isSameBytes }) =>
      isSameBytes
    ).length +
      (options.against === undefined ? 0 : 1);
    const late = rivals.filter(({ isSameBytes }) => !isSameBytes).length;
    return answerSeconds + START_SECONDS + steady * rounds * runSeconds +
      late * (runSeconds + BEHIND_SHARE * answerSeconds);
  });
  const idleSeconds = idle.map(({ count, rivals }) => {
    const peers = options.against === undefined ? rivals.filter(isThere).length : 1;
    const runSeconds = count / IDLE_STARTS_PER_SECOND + (2 * settleMs(options)) / 1000 +
      START_SECONDS + STREAMS_SECONDS;
    return (1 + peers) * options.rounds.idle * runSeconds;
  });
  const startSeconds = BUILD_SECONDS +
    2 * (startsOf(options) + WARM_STARTS) * (WATCH_MS / 1000 + START_SECONDS);
  return sum(wholeSeconds) + sum(pacedSeconds) + sum(idleSeconds) + (isStart ? startSeconds : 0);
}

function contenderCount(work: WholeCase, options: BenchOptions): number {
  if (options.against !== undefined) return 2;
  return 1 + work.rivals.filter(({ peer }) => isThere(peer)).length +
    (isUpstreamShown(work, options) ? 1 : 0) +
    (work.beside === undefined ? 0 : 1) + (work.oneProcess === undefined ? 0 : 1);
}

function isThere(peer: Peer): boolean {
  return peer.absent() === undefined;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
