/**
 * When the requests of a stage are due, and what a stage is called.
 *
 * @module
 */

import type { Load } from "../load/run.ts";
import { type Arrivals, arrivals } from "../load/shape/arrivals.ts";
import type { Stage } from "../load/shape/stages.ts";
import type { LoadOptions } from "./load_options.ts";
import type { Shard } from "./load_values.ts";

/** When the requests of a stage are due. */
export function shapeOf(
  { flags, trace }: LoadOptions,
  stage: Stage,
  random: () => number,
): Load {
  const rampMs = flags.ramp ?? 0;
  const { shard } = flags;
  if (stage.kind === "closed") {
    return { kind: "closed", concurrency: shareOf(stage.concurrency, shard), rampMs };
  }
  if (stage.kind === "trace") {
    const times = trace!.map(({ atMs }) => atMs! / flags.speed).values();
    return { kind: "open", times: shardOf(times, shard), concurrencyMax: flags.maxConcurrency };
  }
  const rate = {
    startPerSecond: rampMs === 0 ? stage.ratePerSecond : flags.rampFrom,
    perSecond: stage.ratePerSecond,
    rampMs,
    ramp: flags.rampKind,
  };
  return {
    kind: "open",
    times: shardOf(arrivals(flags.arrivals, rate, random), shard),
    concurrencyMax: flags.maxConcurrency,
  };
}

/** What one of several machines has of a number: the first ones have one more. */
export function shareOf(count: number, shard: Shard | undefined): number {
  if (shard === undefined || !Number.isFinite(count)) return count;
  return Math.floor(count / shard.count) + (shard.index < count % shard.count ? 1 : 0);
}

/** Every machine draws the whole schedule, from the same seed, and takes its own requests of it. */
function* shardOf(
  times: Iterator<number, unknown, void>,
  shard: Shard | undefined,
): Generator<number, void, void> {
  for (let number = 0;; number++) {
    const { value, done } = times.next();
    if (done === true) return;
    if (shard === undefined || number % shard.count === shard.index) yield value as number;
  }
}

/** "8 at once", "50/s poisson" */
export function stageText({ flags }: LoadOptions, stage: Stage): string {
  const ramp = flags.ramp === undefined ? "" : `, reached over ${flags.ramp / 1000} s`;
  if (stage.kind === "trace") return `the trace, ${flags.speed} times as fast`;
  return stage.kind === "closed"
    ? `${stage.concurrency} at once${ramp}`
    : `${Number(stage.ratePerSecond.toPrecision(4))}/s ${arrivalsText(flags.arrivals)}${ramp}`;
}

function arrivalsText(kind: Arrivals): string {
  return kind.kind === "gamma" ? `gamma:${kind.k}` : kind.kind;
}
