/**
 * Whether each event comes when it was written: how late, ever later, or several at once.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import { fitLine, type Line, median, ms, quantile } from "../numbers.ts";
import { type Asked, type Check, finding, isBeyondMachine, type Rig, type Way } from "../rig.ts";
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

const ROUNDS = 3;
/** Of a stream that is looked at for lateness, and of one for coalescing. */
const DENSE = { events: 400, gapMs: 3 } as const;
const SPARSE = { events: 60, gapMs: 20 } as const;
const P99_MS_MAX = 2;
/** Growth of the lateness over a thousand events, beside the direct way. */
const DRIFT_MS_MAX = 1;
/** A slope is one from so many standard errors on. */
const DRIFT_ERRORS_MIN = 4;
/** Of the reads. */
const MERGED_SHARE_MAX = 0.01;
/** Reads that hold two events since the machine slept this long are not the gateway's. */
const MERGED_MACHINE_MS_MAX = 5;

/** One event of a stream. */
interface Timed {
  readonly sequence: number;
  readonly writtenMs: number;
  readonly readMs: number;
  /** The number of the read that had it. */
  readonly read: number;
}

/** Lateness of every event, and its slope. */
export const eventLateness: Check = {
  name: "event-lateness",
  title: "How much later does each event come, and does it get worse?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const rounds: Record<Way, Timed[][]> = { direct: [], through: [] };
    const slopes: Record<Way, Line[]> = { direct: [], through: [] };
    const startMs = performance.now();
    let late = 0;
    let seen = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (const way of ["direct", "through"] as const) {
        const all = await paced(rig, way, DENSE);
        const clean = all.filter(({ writtenMs, readMs }) =>
          rig.watch.worst(writtenMs, readMs) <= MACHINE_MS_MAX
        );
        if (way === "through") {
          late += all.length - clean.length;
          seen += all.length;
        }
        rounds[way].push(clean);
        const line = fitLine(clean.map((event) => [event.sequence, lateness(event)]));
        if (line !== undefined) slopes[way].push(line);
      }
    }
    const floorMs = median(rounds.direct.flat().map(lateness));
    const events = rounds.through.flat();
    const addedMs = events.map((event) => lateness(event) - floorMs);
    const isThin = events.length < DENSE.events / 2;
    // Of the middle round: one in which the machine was busy decides nothing.
    const p99 = median(
      rounds.through.map((round) => quantile(round.map(lateness), 0.99) - floorMs),
    );
    const episodes = rounds.through.reduce((sum, round) => sum + episodesOf(round, floorMs), 0);
    const stalls = rig.watch.stalls(startMs, performance.now(), P99_MS_MAX);
    const isLate = quantile(addedMs, 0.5) > P99_MS_MAX ||
      p99 > P99_MS_MAX && isBeyondMachine(episodes, stalls);
    const driftOf = (way: Way) => median(slopes[way].map(({ slope }) => slope * 1000));
    const driftMs = driftOf("through") - Math.max(0, driftOf("direct"));
    // In most rounds: a slope of one is a machine that got busier.
    const drifting = slopes.through.filter(({ slope, error }) =>
      slope * 1000 > DRIFT_MS_MAX + Math.max(0, driftOf("direct")) &&
      slope > DRIFT_ERRORS_MIN * error
    );
    const p50Text = `p50 ${ms(quantile(addedMs, 0.5))}`;
    const p99Text = `p99 ${ms(p99)} in the middle one of ${ROUNDS} rounds`;
    const driftText = ms(Math.max(0, driftMs));
    const isDrifting = drifting.length > ROUNDS / 2;
    const worst = [...events].sort((one, other) => lateness(other) - lateness(one)).slice(0, 4);
    const verdict = isThin
      ? "void"
      : isLate || isDrifting
      ? "fail"
      : p99 > P99_MS_MAX
      ? "void"
      : "pass";
    return [
      finding("event-lateness", {
        verdict,
        limit: `p99 at most ${P99_MS_MAX} ms; no growth above ${DRIFT_MS_MAX} ms per 1 000 events`,
        measured: isThin
          ? `the machine was late for ${late} of ${seen} events`
          : `${p50Text}, ${p99Text}, ${events.length} events; ${driftText} per 1 000 events`,
        direct: `p50 ${ms(floorMs)}, p99 ${ms(quantile(rounds.direct.flat().map(lateness), 0.99))}`,
        value: p99,
        unit: "ms",
        evidence: worst.map(({ sequence, writtenMs, readMs }) =>
          `event ${sequence}: written at ${ms(writtenMs)}, read ${ms(readMs - writtenMs)} later`
        ),
        mend: isDrifting
          ? "Do less per event the longer a stream gets: something copies or parses all that came before."
          : "Write each event on as it is read: look for timers, for Nagle's algorithm, and for work done per event.",
      }),
    ];
  },
};

/** Several events in one read, although they were written apart. */
export const coalescing: Check = {
  name: "coalescing",
  title: "Do events that were written apart come together?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const startMs = performance.now();
    const found: Record<Way, { reads: number; merged: Timed[][]; excused: number }> = {
      direct: { reads: 0, merged: [], excused: 0 },
      through: { reads: 0, merged: [], excused: 0 },
    };
    for (let round = 0; round < 2; round++) {
      for (const way of ["direct", "through"] as const) {
        const events = await paced(rig, way, SPARSE);
        for (const group of Map.groupBy(events, ({ read }) => read).values()) {
          found[way].reads++;
          // What this process wrote in one go, since it was late itself, may come in one go.
          const apart = group.filter(({ writtenMs }, i) =>
            i === 0 || writtenMs - group[i - 1]!.writtenMs >= SPARSE.gapMs / 2
          );
          if (apart.length < 2) continue;
          const [first] = group;
          const isMachine = rig.watch.worst(first!.writtenMs, first!.readMs) >
            MERGED_MACHINE_MS_MAX;
          if (isMachine) found[way].excused++;
          else found[way].merged.push(group);
        }
      }
    }
    const { reads, merged, excused } = found.through;
    const share = merged.length / Math.max(1, reads);
    const stalls = rig.watch.stalls(startMs, performance.now(), SPARSE.gapMs / 2);
    const shareOf = (way: Way) =>
      (found[way].merged.length + found[way].excused) / Math.max(1, found[way].reads);
    // However late the machine was: it was late for the direct way just as often.
    const isAlways = shareOf("through") > 0.5 && shareOf("direct") < 0.25;
    const isMerging = isAlways ||
      share > MERGED_SHARE_MAX && isBeyondMachine(merged.length, stalls);
    const verdict = reads === 0
      ? "void"
      : isMerging
      ? "fail"
      : share > MERGED_SHARE_MAX
      ? "void"
      : "pass";
    const heldMs = merged.flat().map(lateness);
    return [
      finding("coalescing", {
        verdict,
        limit: `at most ${
          100 * MERGED_SHARE_MAX
        } % of reads hold two events and more, ${SPARSE.gapMs} ms apart`,
        measured: `${(100 * share).toFixed(1)} % of ${reads} reads${
          excused === 0 ? "" : `; ${excused} more while the machine itself slept`
        }${merged.length === 0 ? "" : `, each event held ${ms(median(heldMs))} (p50)`}`,
        direct: `${found.direct.merged.length} of ${found.direct.reads} reads`,
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
      }),
    ];
  },
};

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
