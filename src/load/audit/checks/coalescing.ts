/**
 * Whether events that were written apart come together.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import { counted } from "../../../lib/counted.ts";
import { median, ms } from "../numbers.ts";
import { type Check, finding, isBeyondMachine, isRule, type Rig, type Way } from "../rig.ts";
import { lateness, paced, type Timed } from "./paced.ts";

/** A fault must show in most of them. */
const ROUNDS = 3;
/** Of a stream. */
const SPARSE = { events: 40, gapMs: 20 } as const;
/** Of the reads. */
const MERGED_SHARE_MAX = 0.01;
/** Reads that hold two events since the machine slept this long are not the gateway's. */
const MERGED_MACHINE_MS_MAX = 5;

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
