/**
 * Whether each event comes when it was written: how late, or ever later.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import { counted } from "../../../lib/counted.ts";
import { fitLine, type Line, median, ms, quantile } from "../numbers.ts";
import { type Check, finding, isBeyondMachine, isRule, type Rig, type Way } from "../rig.ts";
import { MACHINE_MS_MAX } from "./first_byte.ts";
import { lateness, paced, type Timed } from "./paced.ts";

/** A fault must show in most of them. */
const ROUNDS = 3;
/** Of a stream. */
const DENSE = { events: 400, gapMs: 3 } as const;
const P99_MS_MAX = 2;
/** Growth of the lateness over a thousand events, beside the direct way. */
const DRIFT_MS_MAX = 1;
/** The same while other work waits for the processors. */
const DRIFT_BUSY_MS_MAX = 4;
/** A slope is one from so many standard errors on. */
const DRIFT_ERRORS_MIN = 4;
/** A slope is that of the medians of so many parts of a stream: one hole is none. */
const PARTS = 10;

/** A stream of one way, and what the machine did meanwhile. */
export interface PacedRound {
  readonly events: readonly Timed[];
  /** Those of them for which the machine was not late itself. */
  readonly calm: readonly Timed[];
  /** How often the machine was late. */
  readonly stalls: number;
  /** True when other work waited for the processors. */
  readonly isBusy: boolean;
}

/** Lateness of every event, and its slope. */
export const eventLateness: Check = {
  name: "event-lateness",
  title: "How much later does each event come, and does it get worse?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const rounds: Record<Way, PacedRound[]> = { direct: [], through: [] };
    for (let round = 0; round < ROUNDS; round++) {
      for (const way of ["direct", "through"] as const) {
        const startMs = performance.now();
        const events = await paced(rig, way, DENSE);
        const endMs = performance.now();
        rounds[way].push({
          events,
          calm: events.filter(({ writtenMs, readMs }) =>
            rig.watch.worst(writtenMs, readMs) <= MACHINE_MS_MAX
          ),
          stalls: rig.watch.stalls(startMs, endMs, P99_MS_MAX),
          isBusy: rig.watch.isBusy(startMs, endMs),
        });
      }
    }
    return [latenessFinding(rounds)];
  },
};

/** What the rounds say. */
export function latenessFinding(
  { direct, through }: Readonly<Record<Way, readonly PacedRound[]>>,
): Finding {
  const directMs = direct.flatMap(({ calm }) => calm.map(lateness));
  const floorMs = median(directMs) || 0;
  const addedOf = (events: readonly Timed[]) => events.map((event) => lateness(event) - floorMs);
  const all = addedOf(through.flatMap(({ events }) => events));
  const calm = through.flatMap((round) => round.calm);
  const isThin = calm.length < DENSE.events / 2;
  const shown = isThin ? all : addedOf(calm);
  const p50 = quantile(shown, 0.5);
  // Of the middle round: one in which the machine was busy decides nothing.
  const p99 = isThin
    ? quantile(all, 0.99)
    : median(through.map((round) => quantile(addedOf(round.calm), 0.99)));
  // A machine makes many events late, but not nine of ten.
  const isAlways = quantile(all, 0.1) > P99_MS_MAX;
  const isLate = isRule(through.map((round) => isLateRound(round, floorMs)));
  const directDrift = Math.max(0, median(direct.map(driftOf)) || 0);
  const driftMs = (median(through.map(driftOf)) || 0) - directDrift;
  const isDrifting = isRule(through.map((round) => {
    const line = lineOf(round);
    // Other work makes a slope now and then, but no steep one in most rounds.
    const driftMax = round.isBusy ? DRIFT_BUSY_MS_MAX : DRIFT_MS_MAX;
    return line !== undefined && line.slope * 1000 > driftMax + directDrift &&
      line.slope > DRIFT_ERRORS_MIN * line.error;
  }));
  const worst = [...isThin ? through.flatMap(({ events }) => events) : calm]
    .sort((one, other) => lateness(other) - lateness(one)).slice(0, 4);
  const isExcused = p99 > P99_MS_MAX && !isAlways && !isLate && !isDrifting;
  const verdict = isAlways
    ? "fail"
    : isThin
    ? "void"
    : isLate || isDrifting
    ? "fail"
    : isExcused
    ? "void"
    : "pass";
  return finding("event-lateness", {
    verdict,
    limit: `p99 at most ${P99_MS_MAX} ms; no growth above ${DRIFT_MS_MAX} ms per 1 000 events`,
    measured: `p50 ${ms(p50)}, p99 ${ms(p99)}${
      isThin ? "" : ` in the middle one of ${ROUNDS} rounds`
    }, ${counted(shown.length, "event")}; ${ms(Math.max(0, driftMs))} per 1 000 events${
      isThin && !isAlways
        ? `; the machine itself was late for ${all.length - calm.length} of them`
        : isExcused
        ? "; in single holes, or while other work waited for the processors"
        : ""
    }`,
    direct: `p50 ${ms(floorMs)}, p99 ${ms(quantile(directMs, 0.99))}`,
    value: p99,
    unit: "ms",
    evidence: worst.map(({ sequence, writtenMs, readMs }) =>
      `event ${sequence}: written at ${ms(writtenMs)}, read ${ms(readMs - writtenMs)} later`
    ),
    mend: isDrifting
      ? "Do less per event the longer a stream gets: something copies or parses all that came before."
      : "Write each event on as it is read: look for timers, for Nagle's algorithm, and for work done per event.",
  });
}

/** More late events than the machine explains, and none other that waits. */
function isLateRound({ calm, events, stalls, isBusy }: PacedRound, floorMs: number): boolean {
  if (isBusy || calm.length < events.length / 2) return false;
  const added = calm.map((event) => lateness(event) - floorMs);
  if (quantile(added, 0.5) > P99_MS_MAX) return true;
  return quantile(added, 0.99) > P99_MS_MAX &&
    isBeyondMachine(episodesOf(calm, floorMs), stalls);
}

function driftOf(round: PacedRound): number {
  return (lineOf(round)?.slope ?? NaN) * 1000;
}

/** The lateness over the number of the event. */
function lineOf({ calm }: PacedRound): Line | undefined {
  const size = Math.ceil(calm.length / PARTS) || 1;
  const parts = Array.from({ length: PARTS }, (_, i) => calm.slice(i * size, (i + 1) * size));
  return fitLine(
    parts.filter(({ length }) => length > 0).map((part) => [
      median(part.map(({ sequence }) => sequence)),
      median(part.map(lateness)),
    ]),
  );
}

/** How often events were late, those that followed each other counted once. */
function episodesOf(events: readonly Timed[], floorMs: number): number {
  let count = 0;
  let last = -Infinity;
  for (const event of events) {
    if (lateness(event) - floorMs <= P99_MS_MAX) continue;
    if (event.sequence > last + 1) count++;
    last = event.sequence;
  }
  return count;
}
