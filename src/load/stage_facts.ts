/**
 * What the runs of one stage say of themselves together: rounds one after the other, or machines side
 * by side.
 *
 * @module
 */

import type { RunFacts } from "./run.ts";

/** How late a client's own loop was, in milliseconds. */
export interface LoopLateness {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** The facts of a stage. */
export interface StageFacts extends Omit<RunFacts, "loopDelayMs"> {
  /** Of the latest of them; null = nobody looked. */
  readonly loop: LoopLateness | null;
  /** Processes that have sent requests at the same time. */
  readonly processes: number;
  /** When it was ended early since what was asked for ran away; null = it was not. */
  readonly saturatedMs: number | null;
  /** What else speaks against its figures: parts that are missing, and the like. One sentence each. */
  readonly troubles: readonly string[];
}

/** The facts of one run. */
export function factsOf({ loopDelayMs, ...facts }: RunFacts): StageFacts {
  const { count, p50, p99, max } = loopDelayMs.summary();
  const loop = count === 0 ? null : { p50, p99, max };
  return { ...facts, loop, processes: 1, saturatedMs: null, troubles: [] };
}

/**
 * Rounds one after the other: their times add up. Machines side by side: their loads add up. What is
 * worst of either stays, since the figures of all are no better than that.
 */
export function joinedFacts(
  facts: readonly StageFacts[],
  how: "in turn" | "side by side",
): StageFacts {
  const sum = (read: (one: StageFacts) => number) =>
    facts.reduce((total, one) => total + read(one), 0);
  const most = (read: (one: StageFacts) => number) => Math.max(0, ...facts.map(read));
  const isInTurn = how === "in turn";
  const [times, places] = isInTurn ? [sum, most] : [most, sum];
  const loops = facts.flatMap(({ loop }) => loop === null ? [] : [loop]);
  const ms = sum(({ measuredMs }) => measuredMs);
  const saturated = facts.flatMap(({ saturatedMs }) => saturatedMs === null ? [] : [saturatedMs]);
  return {
    measuredMs: times((one) => one.measuredMs),
    offeredMs: times((one) => one.offeredMs),
    isInterrupted: facts.some((one) => one.isInterrupted),
    connectionsOpened: sum((one) => one.connectionsOpened),
    requestsOnKept: sum((one) => one.requestsOnKept),
    activeMax: places((one) => one.activeMax),
    waitingMax: places((one) => one.waitingMax),
    loop: loops.length === 0 ? null : loops.reduce((a, b) => b.p99 > a.p99 ? b : a),
    cpuShare: isInTurn && ms > 0
      ? sum((one) => one.cpuShare * one.measuredMs) / ms
      : most((one) => one.cpuShare),
    waitShare: facts.some(({ waitShare }) => waitShare !== null)
      ? most(({ waitShare }) => waitShare ?? 0)
      : null,
    processes: places((one) => one.processes),
    saturatedMs: saturated.length === 0 ? null : Math.min(...saturated),
    troubles: [...new Set(facts.flatMap(({ troubles }) => troubles))],
  };
}
