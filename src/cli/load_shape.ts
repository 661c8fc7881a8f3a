/**
 * When the requests of a stage are due, and what a stage is called.
 *
 * @module
 */

import { seeded } from "../lib/seeded.ts";
import type { Load } from "../load/run.ts";
import { type Arrivals, arrivals } from "../load/shape/arrivals.ts";
import type { Shard } from "../load/shape/shards.ts";
import type { Stage } from "../load/shape/stages.ts";
import type { LoadOptions } from "./load_options.ts";
import { placesOf } from "./load_places.ts";
import { type Warmup, warmupOf } from "./load_values.ts";

/** When the requests of a stage are due, all of them: a run takes its own part, one of `parts`. */
export function shapeOf(
  { flags, trace }: LoadOptions,
  stage: Stage,
  random: () => number,
  parts = 1,
): Load {
  const rampMs = flags.ramp ?? 0;
  if (stage.kind === "closed") {
    return { kind: "closed", concurrency: stage.concurrency, rampMs };
  }
  const concurrencyMax = placesOf(flags, parts);
  if (stage.kind === "trace") {
    const times = trace!.map(({ atMs }) => atMs! / flags.speed).values();
    return { kind: "open", times, concurrencyMax };
  }
  const rate = {
    startPerSecond: rampMs === 0 ? stage.ratePerSecond : flags.rampFrom,
    perSecond: stage.ratePerSecond,
    rampMs,
    ramp: flags.rampKind,
  };
  return {
    kind: "open",
    times: arrivals(flags.arrivals, rate, random),
    concurrencyMax,
  };
}

/**
 * What warms up in a round. Where there is a schedule, both are known, and the same to all of several
 * processes and machines: when the last of these requests is due, and how many there are in the whole
 * load. In a closed loop it is what `--warmup` says.
 */
export function warmupIn(options: LoadOptions, stage: Stage, round: number): Warmup {
  const { flags } = options;
  const warmup = warmupOf(flags.warmup);
  const load = shapeOf(options, stage, seeded(flags.seed + round));
  if (flags.warmup === undefined || load.kind === "closed") return warmup;
  const isCounted = warmup.requests > 0;
  let { ms } = warmup;
  let requests = 0;
  for (let next = load.times.next(); next.done !== true; next = load.times.next()) {
    if (isCounted ? requests === warmup.requests : next.value > ms) break;
    if (isCounted) ms = next.value;
    requests++;
  }
  return { ms, requests };
}

/**
 * True when nothing that counts is due in any round of a stage: its rate is too low for its time. A
 * closed loop always sends.
 */
export function sendsNothing(options: LoadOptions, stage: Stage): boolean {
  const { flags, durationMs } = options;
  const isEmpty = (round: number) => {
    const load = shapeOf(options, stage, seeded(flags.seed + round));
    if (load.kind === "closed") return false;
    const { ms, requests } = warmupIn(options, stage, round);
    let next = load.times.next();
    for (let number = 0; number < requests; number++) next = load.times.next();
    return next.done === true || next.value > ms + durationMs;
  };
  return Array.from({ length: flags.rounds }, (_, round) => round).every(isEmpty);
}

/**
 * How many requests of a round are due for a shard by its schedule, warm-up included, and up to `untilMs`
 * after its start; 0 for a closed loop, which has none. Of conversations only the first questions are.
 */
export function scheduledCount(
  options: LoadOptions,
  stage: Stage,
  round: number,
  shard: Shard,
  untilMs: number,
): number {
  const { flags, durationMs } = options;
  const load = shapeOf(options, stage, seeded(flags.seed + round));
  if (load.kind === "closed") return 0;
  const warmup = warmupIn(options, stage, round);
  const lastMs = Math.min(warmup.ms + durationMs, untilMs);
  const count = warmup.requests + (flags.requests ?? Infinity);
  let own = 0;
  for (let number = 0; number < count; number++) {
    const next = load.times.next();
    if (next.done === true || next.value > lastMs) break;
    if (number % shard.count === shard.index) own++;
  }
  return own;
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
