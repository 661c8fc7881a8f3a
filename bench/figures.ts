/**
 * The figures that are wanted, and what a run says of each.
 *
 * @module
 */

import { JUDGED_CONNECTIONS } from "./bench_options.ts";
import { IDLE_KIB_MAX, PACED_CASES, type PacedCase, WHOLE_CASES, type WholeCase } from "./cases.ts";
import {
  isQuiet,
  median,
  type PacedRow,
  pairRatio,
  type Ratio,
  ratioOf,
  type Results,
  type WholeRound,
  type WholeRow,
} from "./results.ts";
import { twoCoresEach } from "./machine.ts";
import { bareBun } from "./peers/peer.ts";
import { count, ratioText } from "./numbers.ts";

/** The most that weir may add to a proxied answer while there is nothing else to do. */
const ADDED_MS_MAX = 0.3;
const LOW_CONNECTIONS = 1;
/** Two workers that reach less than this share of what the cores allow are held up by something else. */
const LIMITED_SHARE = 0.9;

/**
 * `within`: the median misses it and the spread of the rounds reaches it. `disturbed`: no round was
 * quiet or valid, so that nothing can be said. `limited`: the machine has too few cores to show it.
 */
export type Standing = "met" | "within" | "missed" | "disturbed" | "limited";

/** A figure that was wanted, and what it is. */
export interface Figure {
  readonly title: string;
  readonly wanted: string;
  /** The median of the rounds, and their spread. */
  readonly measured: string;
  /** What else is to be known: the processor time, the peer's own figure. */
  readonly note: string;
  readonly standing: Standing;
}

/** Every figure that `results` says something of. */
export function figuresOf(results: Results): readonly Figure[] {
  return [
    ...WHOLE_CASES.flatMap((work) => wholeFigures(work, results.whole)),
    ...WHOLE_CASES.flatMap((work) => workersFigure(work, results)),
    ...addedLatency(results.whole),
    ...PACED_CASES.flatMap((work) => pacedFigures(work, results.paced)),
    ...results.idle.map(({ streams, kibPerStream }) => ({
      title: `memory per idle stream, ${count(streams)} of them`,
      wanted: `≤ ${IDLE_KIB_MAX} KiB`,
      measured: `${kibPerStream.toFixed(2)} KiB`,
      note: "",
      standing: kibPerStream <= IDLE_KIB_MAX ? "met" as const : "missed" as const,
    })),
  ];
}

function wholeFigures(work: WholeCase, rows: readonly WholeRow[]): readonly Figure[] {
  const wants = [
    ...work.rivals.map(({ peer, wanted }) => ({ name: peer.name, wanted })),
    ...(work.beside === undefined ? [] : [work.beside]),
  ];
  const ofCase = rows.filter(({ caseTitle }) => caseTitle === work.title);
  return wants.flatMap(({ name, wanted }) => {
    const ofPeer = ofCase.filter(({ server }) => server === name);
    const row = ofPeer.find(({ connections }) => connections === JUDGED_CONNECTIONS) ?? ofPeer[0];
    const ratio = row?.weirRatio;
    if (wanted === undefined || row === undefined || ratio === undefined) return [];
    const weir = ofCase.find((one) => one.server === "weir" && one.connections === row.connections);
    const all = firstTool(row);
    const ours = weir === undefined ? [] : firstTool(weir);
    const quiet = all.filter((round, i) => isQuiet(round) && isQuiet(ours[i] ?? round)).length;
    const ceiling = ofCase.find((one) =>
      one.server === bareBun.name && one.connections === row.connections && one !== row
    );
    return [{
      title: `${work.title} vs ${name}, ${row.connections} connections`,
      wanted: `≥ ${wanted}`,
      measured: ratioText(ratio),
      note: [
        `per processor time ${ratioText(row.weirCpuRatio)}`,
        ...(ceiling === undefined ? [] : [`${bareBun.name} itself ${
          ratioText(
            pairRatio(firstTool(ceiling), all, "requestsPerSecond"),
          )
        }`]),
        `${quiet} of ${all.length} rounds quiet`,
      ].join("; "),
      standing: quiet === 0 ? "disturbed" as const : standingOf(ratio, wanted, "least"),
    }];
  });
}

/**
 * What a second process is worth, and where client and server share the cores, the most it can be:
 * requests that cost no more than they did, on cores that are never idle.
 */
function workersFigure(work: WholeCase, { machine, whole }: Results): readonly Figure[] {
  const ofCase = whole.filter(({ caseTitle }) => caseTitle === work.title);
  const row = ofCase.find(({ server }) => server === work.oneProcess?.name);
  const two = ofCase.find((one) => one.server === "weir" && one.connections === row?.connections);
  if (work.oneProcess === undefined || two === undefined || !row?.weirRatio) return [];
  const { weirRatio, weirCpuRatio } = row;
  const places = twoCoresEach(machine.cores);
  const { wanted } = work.oneProcess;
  const [ones, twos] = [firstTool(row), firstTool(two)];
  const quiet = ones.filter((round, i) => isQuiet(round) && isQuiet(twos[i]!)).length;
  const cores = places.server.length;
  const most = spreadOf(
    ones.map((one, i) => places.client === places.server ? mostWorth(one, twos[i]!, cores) : cores),
  );
  const share = median(
    ones.map(({ cpuUsPerRequest, besideUsPerRequest }) =>
      besideUsPerRequest / (cpuUsPerRequest + besideUsPerRequest)
    ),
  );
  const elsewhere = cores * weirCpuRatio!.median;
  const standing = standingOf(weirRatio, wanted, "least");
  const isLimited = standing === "missed" && most.median < wanted &&
    weirRatio.median >= LIMITED_SHARE * most.median && elsewhere >= wanted;
  return [{
    title: `${work.title} vs 1 process, ${row.connections} connections`,
    wanted: `≥ ${wanted}`,
    measured: ratioText(weirRatio),
    note: [
      `at most ${ratioText(most)} on these cores: ${Math.round(100 * share)} % of a request's ` +
      "processor time is the client's and the upstream's",
      `per processor time ${ratioText(weirCpuRatio)}, so at most ${
        elsewhere.toFixed(2)
      } with the ` +
      "client elsewhere",
      `${quiet} of ${ones.length} rounds quiet`,
    ].join("; "),
    standing: quiet === 0 ? "disturbed" : isLimited ? "limited" : standing,
  }];
}

/**
 * Requests per second with every core full, and each request as cheap as it was with one process or
 * with two, over those of one process. No round can be above its own.
 */
function mostWorth(one: WholeRound, two: WholeRound, cores: number): number {
  const usPerRequest = Math.min(one.cpuUsPerRequest, two.cpuUsPerRequest) +
    Math.min(one.besideUsPerRequest, two.besideUsPerRequest);
  return (cores * 1e6) / usPerRequest / one.requestsPerSecond;
}

/** The rounds that ratios are made of. */
function firstTool({ results }: WholeRow): readonly WholeRound[] {
  return results.filter(({ tool }) => tool === results[0]!.tool);
}

/** What stands between a client and the upstream costs this much time, with one request at once. */
function addedLatency(rows: readonly WholeRow[]): readonly Figure[] {
  const work = WHOLE_CASES.find(({ name }) => name === "proxy")!;
  const p50Ms = (name: string) => {
    const row = rows.find(({ caseTitle, connections, server }) =>
      caseTitle === work.title && connections === LOW_CONNECTIONS && server === name
    );
    return row === undefined ? undefined : firstTool(row).map((one) => one.p50Ms);
  };
  const [weir, direct, nginx] = ["weir", "the upstream itself", "nginx proxy_pass"].map(p50Ms);
  if (weir === undefined || direct === undefined) return [];
  const added = spreadOf(weir.map((value, i) => value - direct[i]!));
  const theirs = nginx?.map((value, i) => value - direct[i]!);
  return [{
    title: `${work.title}: p50 added, ${LOW_CONNECTIONS} connection`,
    wanted: `≤ ${ADDED_MS_MAX} ms`,
    measured: `${ratioText(added)} ms`,
    note: theirs === undefined ? "" : `nginx adds ${ratioText(spreadOf(theirs))} ms`,
    standing: standingOf(added, ADDED_MS_MAX, "most"),
  }];
}

function pacedFigures(work: PacedCase, rows: readonly PacedRow[]): readonly Figure[] {
  const row = rows.find(({ caseTitle, server }) => caseTitle === work.title && server === "weir");
  if (row === undefined) return [];
  const believed = row.rounds.filter(({ found }) => found.verdict.kind !== "invalid");
  const rounds = believed.length > 0 ? believed : row.rounds;
  const standing = (found: Standing) => believed.length > 0 ? found : "disturbed";
  const late = spreadOf(rounds.map(({ found }) => found.report.latenessMs.p99));
  const drift = spreadOf(rounds.map(({ found }) => found.report.driftPercent.p99));
  const faults = rounds.map(({ found: { report } }) =>
    report.lost + report.doubled + report.merged + report.strange
  ).reduce((sum, count) => sum + count, 0);
  const others = rows.filter(({ caseTitle, server }) =>
    caseTitle === work.title && server !== "weir"
  ).map(({ server, rounds }) =>
    `${server} ${median(rounds.map(({ found }) => found.report.latenessMs.p99)).toFixed(1)}`
  );
  const wheel = rows.find(({ caseTitle, server }) =>
    caseTitle === work.title && server === "bare wheel"
  );
  const figures: Figure[] = [
    {
      title: `${work.title}: lateness p99`,
      wanted: `≤ ${work.latenessMsMax} ms`,
      measured: `${ratioText(late)} ms`,
      note: `${believed.length} of ${row.rounds.length} rounds valid${
        others.length === 0 ? "" : `; ${others.join(", ")} ms`
      }`,
      standing: standing(standingOf(late, work.latenessMsMax, "most")),
    },
    {
      title: `${work.title}: drift of a whole stream, p99`,
      wanted: `≤ ${work.driftPercentMax} %`,
      measured: `${ratioText(drift)} %`,
      note: "",
      standing: standing(standingOf(drift, work.driftPercentMax, "most")),
    },
    {
      title: `${work.title}: events lost, doubled, merged or strange`,
      wanted: "0",
      measured: count(faults),
      note: `of ${count(rounds.reduce((sum, { found }) => sum + found.report.events, 0))}`,
      standing: standing(faults === 0 ? "met" : "missed"),
    },
  ];
  if (wheel !== undefined && work.cpuRatioMax !== undefined) {
    const cpu = (of: PacedRow) => of.rounds.map(({ cpuUsPerEvent }) => cpuUsPerEvent);
    const ratio = ratioOf(cpu(row), cpu(wheel));
    figures.push({
      title: `${work.title}: processor time per event vs a bare wheel`,
      wanted: `≤ ${work.cpuRatioMax}`,
      measured: ratioText(ratio),
      note: `${median(cpu(row)).toFixed(1)} and ${median(cpu(wheel)).toFixed(1)} µs`,
      standing: standingOf(ratio, work.cpuRatioMax, "most"),
    });
  }
  return figures;
}

function spreadOf(values: readonly number[]): Ratio {
  return ratioOf(values, values.map(() => 1));
}

function standingOf({ median, min, max }: Ratio, wanted: number, way: "least" | "most"): Standing {
  const isMet = (value: number) => way === "least" ? value >= wanted : value <= wanted;
  if (isMet(median)) return "met";
  return isMet(way === "least" ? max : min) ? "within" : "missed";
}
