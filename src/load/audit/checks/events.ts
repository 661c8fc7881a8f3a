/**
 * Whether each event comes when it was written: how late, ever later, or several at once.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import { counted, fitLine, type Line, median, ms, quantile } from "../numbers.ts";
import {
  type Asked,
  type Check,
  finding,
  isBeyondMachine,
  isRule,
  type Rig,
  type Way,
} from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import {
  chunk,
  DONE,
  endBody,
  finishEvent,
  roleEvent,
  sequenceOf,
  streamHead,
  textEvent,
} from "../stream.ts";
import { MACHINE_MS_MAX } from "./first_byte.ts";

/** A fault must show in most of them. */
const ROUNDS = 3;
/** Of a stream that is looked at for lateness, and of one for coalescing. */
const DENSE = { events: 400, gapMs: 3 } as const;
const SPARSE = { events: 40, gapMs: 20 } as const;
const P99_MS_MAX = 2;
/** Growth of the lateness over a thousand events, beside the direct way. */
const DRIFT_MS_MAX = 1;
/** A slope is one from so many standard errors on. */
const DRIFT_ERRORS_MIN = 4;
/** A slope is that of the medians of so many parts of a stream: one hole is none. */
const PARTS = 10;
/** Of the reads. */
const MERGED_SHARE_MAX = 0.01;
/** Reads that hold two events since the machine slept this long are not the gateway's. */
const MERGED_MACHINE_MS_MAX = 5;

/** One event of a stream. */
export interface Timed {
  readonly sequence: number;
  readonly writtenMs: number;
  readonly readMs: number;
  /** The number of the read that had it. */
  readonly read: number;
}

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
    return line !== undefined && line.slope * 1000 > DRIFT_MS_MAX + directDrift &&
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

/** The reads of one stream. */
export interface MergedRound {
  readonly reads: number;
  /** Events that came in one read and were written apart. */
  readonly merged: readonly (readonly Timed[])[];
  /** The same, while this machine was late itself. */
  readonly excused: number;
  readonly stalls: number;
  readonly isBusy: boolean;
}

/** Several events in one read, although they were written apart. */
export const coalescing: Check = {
  name: "coalescing",
  title: "Do events that were written apart come together?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const rounds: Record<Way, MergedRound[]> = { direct: [], through: [] };
    for (let round = 0; round < ROUNDS; round++) {
      for (const way of ["direct", "through"] as const) {
        const startMs = performance.now();
        const events = await paced(rig, way, SPARSE);
        rounds[way].push(mergedIn(rig, events, startMs));
      }
    }
    return [mergedFinding(rounds)];
  },
};

function mergedIn(rig: Rig, events: readonly Timed[], startMs: number): MergedRound {
  const groups = [...Map.groupBy(events, ({ read }) => read).values()];
  const together = groups.filter((group) => {
    // What this process wrote in one go, since it was late itself, may come in one go.
    const apart = group.filter(({ writtenMs }, i) =>
      i === 0 || writtenMs - group[i - 1]!.writtenMs >= SPARSE.gapMs / 2
    );
    return apart.length > 1;
  });
  const merged = together.filter(([first]) =>
    rig.watch.worst(first!.writtenMs, first!.readMs) <= MERGED_MACHINE_MS_MAX
  );
  const endMs = performance.now();
  return {
    reads: groups.length,
    merged,
    excused: together.length - merged.length,
    stalls: rig.watch.stalls(startMs, endMs, SPARSE.gapMs / 2),
    isBusy: rig.watch.isBusy(startMs, endMs),
  };
}

/** What the rounds say. */
export function mergedFinding(
  { direct, through }: Readonly<Record<Way, readonly MergedRound[]>>,
): Finding {
  const sum = (rounds: readonly MergedRound[], one: (round: MergedRound) => number) =>
    rounds.reduce((total, round) => total + one(round), 0);
  const reads = sum(through, (round) => round.reads);
  const merged = through.flatMap((round) => round.merged);
  const excused = sum(through, (round) => round.excused);
  const share = merged.length / Math.max(1, reads);
  const shareOf = (rounds: readonly MergedRound[]) =>
    sum(rounds, (round) => round.merged.length + round.excused) /
    Math.max(1, sum(rounds, (round) => round.reads));
  // However late the machine was: it was late for the direct way just as often.
  const isAlways = shareOf(through) > 0.5 && shareOf(direct) < 0.25;
  const isMerging = isAlways ||
    share > MERGED_SHARE_MAX &&
      isBeyondMachine(merged.length, sum(through, ({ stalls }) => stalls)) &&
      isRule(through.map((round) => !round.isBusy && round.merged.length > 1));
  const isExcused = !isMerging && share > MERGED_SHARE_MAX;
  const heldMs = merged.flat().map(lateness);
  return finding("coalescing", {
    verdict: reads === 0 || isExcused ? "void" : isMerging ? "fail" : "pass",
    limit: `at most ${
      100 * MERGED_SHARE_MAX
    } % of reads hold two events and more, ${SPARSE.gapMs} ms apart`,
    measured: `${(100 * share).toFixed(1)} % of ${counted(reads, "read")}${
      excused === 0 ? "" : `; ${excused} more while the machine itself slept`
    }${merged.length === 0 ? "" : `, each event held ${ms(median(heldMs))} (p50)`}${
      isExcused ? "; single ones, or while other work waited for the processors" : ""
    }`,
    direct: `${sum(direct, (round) => round.merged.length)} of ${
      counted(sum(direct, (round) => round.reads), "read")
    }`,
    value: 100 * share,
    unit: "%",
    evidence: merged.slice(0, 3).map((group) =>
      `one read at ${ms(group[0]!.readMs)} holds ${
        group.map(({ sequence, writtenMs }) => `event ${sequence} written at ${ms(writtenMs)}`)
          .join(", ")
      }`
    ),
    mend:
      "Write what was read at once, with TCP_NODELAY set: 25, 40 and 100 ms between a write and its read are timers and Nagle's algorithm.",
  });
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

function lateness({ writtenMs, readMs }: Timed): number {
  return readMs - writtenMs;
}

/** A stream at a pace, and when each event was written and read. */
async function paced(
  rig: Rig,
  way: Way,
  { events, gapMs }: { readonly events: number; readonly gapMs: number },
): Promise<readonly Timed[]> {
  const writtenMs = new Map<number, number>();
  const asked = await rig.tell(way, async (attempt: Attempt, mark: string) => {
    attempt.write(Buffer.concat([Buffer.from(streamHead()), chunk(roleEvent(mark))]));
    const startMs = performance.now() + gapMs;
    for (let sequence = 1; sequence <= events; sequence++) {
      const dueMs = startMs + sequence * gapMs;
      if (!await attempt.pause(Math.max(0, dueMs - performance.now()))) return;
      writtenMs.set(sequence, performance.now());
      attempt.write(chunk(textEvent(mark, sequence)));
    }
    await attempt.pause(gapMs);
    endBody(attempt, finishEvent(mark) + DONE);
  }, { timeoutMs: events * gapMs * 2 + 10_000 });
  return timed(asked, writtenMs);
}

function timed({ mark, exchange }: Asked, writtenMs: ReadonlyMap<number, number>): Timed[] {
  return exchange.events().flatMap(({ data, atMs, read }) => {
    const sequence = sequenceOf(data, mark);
    const written = sequence === undefined ? undefined : writtenMs.get(sequence);
    if (sequence === undefined || written === undefined) return [];
    return [{ sequence, writtenMs: written, readMs: atMs, read }];
  });
}
