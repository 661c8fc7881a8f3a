/**
 * The figures of the paced cases.
 *
 * @module
 */

import type { PacedCase, PacedWanted } from "./cases.ts";
import { count, ratioText } from "./numbers.ts";
import {
  median,
  type PacedRound,
  type PacedRow,
  type Ratio,
  ratioOf,
  UPSTREAM_ITSELF,
} from "./results.ts";
import { type Figure, spreadOf, type Standing, standingOf } from "./standing.ts";

/** Everything that `rows` say of a case. */
export function pacedFigures(work: PacedCase, rows: readonly PacedRow[]): readonly Figure[] {
  const ofCase = rows.filter(({ caseTitle }) => caseTitle === work.title);
  const row = ofCase.find(({ server }) => server === "weir");
  if (row === undefined) return [];
  const beside = ofCase.find(({ server }) => server === work.wanted?.peer.name);
  return [
    ...ownFigures(work, row, ofCase),
    ...(work.wanted === undefined || beside === undefined
      ? []
      : besideFigures(work, work.wanted, row, beside, ofCase)),
  ];
}

/** What can be said of weir alone. */
function ownFigures(
  work: PacedCase,
  row: PacedRow,
  ofCase: readonly PacedRow[],
): readonly Figure[] {
  const believed = row.rounds.filter(isBelieved);
  const rounds = believed.length > 0 ? believed : row.rounds;
  const standing = (found: Standing) => believed.length > 0 ? found : "disturbed";
  const late = spreadOf(rounds.map(latenessMs));
  const drift = spreadOf(rounds.map(({ found }) => found.report.driftPercent.p99));
  const faults = sum(
    rounds.map(({ found: { report } }) => report.lost + report.doubled + report.strange),
  );
  const broken = sum(rounds.map(({ found: { report } }) => sum(Object.values(report.failed))));
  const others = ofCase.filter((other) => other !== row).map(({ server, rounds }) =>
    `${server} ${median(rounds.map(latenessMs)).toFixed(1)}`
  );
  const valid = `${believed.length} of ${row.rounds.length} rounds valid`;
  const merged = rounds.map(({ found }) => found.report.merged);
  const heldBack = rounds.filter((round) => !isLoopLate(round, work));
  const latest = rounds.map(({ loopLateMs }) => loopLateMs).filter((ms) => ms !== undefined)
    .map((ms) => ms ?? Infinity);
  return [
    {
      title: `${work.title}: lateness p99`,
      wanted: work.latenessMsMax === undefined ? "" : `≤ ${work.latenessMsMax} ms`,
      measured: `${ratioText(late)} ms`,
      note: [valid, ...(others.length === 0 ? [] : [`${others.join(", ")} ms`])].join("; "),
      standing: standing(
        work.latenessMsMax === undefined ? "shown" : standingOf(late, work.latenessMsMax, "most"),
      ),
    },
    {
      title: `${work.title}: drift of a whole stream, p99`,
      wanted: `≤ ${work.driftPercentMax} %`,
      measured: `${ratioText(drift)} %`,
      note: "",
      standing: standing(standingOf(drift, work.driftPercentMax, "most")),
    },
    {
      title: `${work.title}: events lost, doubled or strange`,
      wanted: "0",
      measured: count(faults),
      note: [
        `of ${count(sum(rounds.map(({ found }) => found.report.events)))}`,
        ...(broken === 0 ? [] : [`${count(broken)} streams broke off`]),
      ].join("; "),
      standing: standing(faults + broken === 0 ? "met" : "missed"),
    },
    {
      title: `${work.title}: events merged while the loop was not late`,
      wanted: "0",
      measured: count(sum(heldBack.map(({ found }) => found.report.merged))),
      note: `${count(sum(merged))} in all rounds${
        latest.length === 0
          ? ""
          : `; the loop was up to ${Math.max(...latest)} ms late, by weir's own count`
      }`,
      standing: standing(
        heldBack.length === 0
          ? "disturbed"
          : heldBack.every(({ found }) => found.report.merged === 0)
          ? "met"
          : "missed",
      ),
    },
  ];
}

/** What is wanted beside a peer, of the rounds in which the client kept up with both. */
function besideFigures(
  { title }: PacedCase,
  { peer, cpuRatioMax, latenessRatioMax, addedMsMax }: PacedWanted,
  weir: PacedRow,
  other: PacedRow,
  ofCase: readonly PacedRow[],
): readonly Figure[] {
  const alone = ofCase.find(({ server }) => server === UPSTREAM_ITSELF);
  const all = weir.rounds.map((round, i) => [round, other.rounds[i]!, alone?.rounds[i]] as const);
  const valid = all.filter((pair) => pair.every((one) => one === undefined || isBelieved(one)));
  const pairs = valid.length > 0 ? valid : all;
  const said = `${valid.length} of ${all.length} rounds valid`;
  const standing = (found: Ratio, most: number) =>
    valid.length > 0 ? standingOf(found, most, "most") : "disturbed";
  const ratio = (value: (round: PacedRound) => number) =>
    ratioOf(pairs.map(([one]) => value(one)), pairs.map(([, their]) => value(their)));
  const middle = (value: (round: PacedRound) => number, side: 0 | 1, digits: number) =>
    median(pairs.map((pair) => value(pair[side]))).toFixed(digits);
  const cpu = ratio(cpuUs);
  const figures: Figure[] = [{
    title: `${title}: processor time per event vs ${peer.name}`,
    wanted: `≤ ${cpuRatioMax}`,
    measured: ratioText(cpu),
    note: `${middle(cpuUs, 0, 1)} and ${middle(cpuUs, 1, 1)} µs; ${said}`,
    // The scheduler's count holds whatever the client saw.
    standing: standingOf(cpu, cpuRatioMax, "most"),
  }];
  if (latenessRatioMax !== undefined) {
    const late = ratio(latenessMs);
    figures.push({
      title: `${title}: lateness p99 vs ${peer.name}`,
      wanted: `≤ ${latenessRatioMax}`,
      measured: ratioText(late),
      note: `${middle(latenessMs, 0, 1)} and ${middle(latenessMs, 1, 1)} ms; ${said}`,
      standing: standing(late, latenessRatioMax),
    });
  }
  if (addedMsMax !== undefined && alone !== undefined) {
    const added = (side: 0 | 1) =>
      spreadOf(pairs.map((pair) => latenessMs(pair[side]) - latenessMs(pair[2]!)));
    // What the upstream itself is late is in both, so that it falls out.
    const more = spreadOf(pairs.map(([one, their]) => latenessMs(one) - latenessMs(their)));
    figures.push({
      title: `${title}: lateness added, p99`,
      wanted: `≤ ${peer.name}'s + ${addedMsMax} ms`,
      measured: `${ratioText(added(0))} ms`,
      note: `${peer.name} adds ${ratioText(added(1))} ms; weir's is ${
        ratioText(more)
      } ms more; ${said}`,
      standing: standing(more, addedMsMax),
    });
  }
  return figures;
}

function isBelieved({ found }: PacedRound): boolean {
  return !found.verdict.isDoubtful;
}

/**
 * Two events of a stream can only come together when the first is as late as the second is apart
 * from it. Where the loop was held up for that long, that is its fault; else they were held back.
 */
function isLoopLate({ loopLateMs }: PacedRound, { delayMs }: PacedCase): boolean {
  return loopLateMs !== undefined && (loopLateMs === null || loopLateMs > delayMs);
}

function latenessMs({ found }: PacedRound): number {
  return found.report.latenessMs.p99;
}

function cpuUs({ cpuUsPerEvent }: PacedRound): number {
  return cpuUsPerEvent;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
