/**
 * The figures that are wanted, and what a run says of each. Of whole answers processor time decides,
 * which holds on a shared machine and says nothing of the client; requests per second stand beside.
 *
 * @module
 */

import { JUDGED_CONNECTIONS } from "./bench_options.ts";
import { IDLE_CASES, PACED_CASES, START_CASE, WHOLE_CASES, type WholeCase } from "./cases.ts";
import { twoCoresEach } from "./machine.ts";
import { count, ratioText } from "./numbers.ts";
import { pacedFigures } from "./paced_figures.ts";
import { bareBun, nginxProxy } from "./peers/peer.ts";
import {
  clientShare,
  firstTool,
  type IdleRow,
  isQuiet,
  median,
  pairRatio,
  type Ratio,
  type Results,
  type StartRow,
  UPSTREAM_ITSELF,
  type WholeRound,
  type WholeRow,
} from "./results.ts";
import { type Figure, spreadOf, standingOf } from "./standing.ts";

const LOW_CONNECTIONS = 1;

/** Every figure that `results` says something of. */
export function figuresOf(results: Results): readonly Figure[] {
  return [
    ...WHOLE_CASES.flatMap((work) => wholeFigures(work, results.whole)),
    ...WHOLE_CASES.flatMap((work) => againstFigures(work, results.whole)),
    ...WHOLE_CASES.flatMap((work) => workersFigure(work, results)),
    ...WHOLE_CASES.flatMap((work) => addedLatency(work, results.whole)),
    ...PACED_CASES.flatMap((work) => pacedFigures(work, results.paced)),
    ...memoryFigures(results.idle),
    ...startFigures(results.starts),
  ];
}

/** One figure for each rival and number of connections at which something is wanted. */
function wholeFigures(work: WholeCase, rows: readonly WholeRow[]): readonly Figure[] {
  const wants = [
    ...work.rivals.map(({ peer, wanted }) => ({ name: peer.name, wanted })),
    ...(work.beside === undefined ? [] : [work.beside]),
  ];
  const ofCase = rows.filter(({ caseTitle }) => caseTitle === work.title);
  return wants.flatMap(({ name, wanted = {} }) =>
    ofCase.filter(({ server }) => server === name).flatMap((row) => {
      const least = wanted[row.connections];
      const weir = weirBeside(row, ofCase);
      if (least === undefined || weir === undefined || row.weirCpuRatio === undefined) return [];
      const [ours, theirs] = [firstTool(weir), firstTool(row)];
      const ceiling = ofCase.find((one) =>
        one.server === bareBun.name && one.connections === row.connections && one !== row
      );
      const itself = ceiling === undefined ? [] : [
        `${bareBun.name} itself ${
          ratioText(pairRatio(theirs, firstTool(ceiling), "cpuUsPerRequest"))
        }`,
      ];
      return [{
        title: `${work.title} vs ${name}, ${connectionsText(row)}`,
        wanted: `≥ ${least}`,
        measured: ratioText(row.weirCpuRatio),
        note: [...speedNotes(row, ours, theirs), ...itself, quietNote(ours, theirs)].join("; "),
        standing: quietRounds(ours, theirs) === 0
          ? "disturbed" as const
          : standingOf(row.weirCpuRatio, least, "least"),
      }];
    })
  );
}

/** Processor time as a share of that of the weir of `--against`, where it is to have fallen. */
function againstFigures(work: WholeCase, rows: readonly WholeRow[]): readonly Figure[] {
  const { againstMax } = work;
  const ofCase = rows.filter(({ caseTitle }) => caseTitle === work.title);
  const row = ofCase.find(({ server, connections }) =>
    server.startsWith("weir at ") && connections === JUDGED_CONNECTIONS
  );
  const weir = row === undefined ? undefined : weirBeside(row, ofCase);
  if (againstMax === undefined || row === undefined || weir === undefined) return [];
  const [ours, theirs] = [firstTool(weir), firstTool(row)];
  const share = pairRatio(ours, theirs, "cpuUsPerRequest");
  return [{
    title: `${work.title}: processor time vs ${row.server}, ${connectionsText(row)}`,
    wanted: `≤ ${againstMax}`,
    measured: ratioText(share),
    note: [...speedNotes(row, ours, theirs), quietNote(ours, theirs)].join("; "),
    standing: quietRounds(ours, theirs) === 0 ? "disturbed" : standingOf(share, againstMax, "most"),
  }];
}

/**
 * What an answer costs with a second process beside it. Nothing is wanted, since requests per second
 * are bounded where client and servers share the cores: the most they can be stands beside, made of
 * requests that cost no more than they did, on cores that are never idle.
 */
function workersFigure(work: WholeCase, { machine, whole }: Results): readonly Figure[] {
  const ofCase = whole.filter(({ caseTitle }) => caseTitle === work.title);
  const row = ofCase.find(({ server }) => server === work.oneProcess);
  const two = row === undefined ? undefined : weirBeside(row, ofCase);
  if (row?.weirCpuRatio === undefined || two === undefined) return [];
  const places = twoCoresEach(machine.cores);
  const cores = places.server.length;
  const [ones, twos] = [firstTool(row), firstTool(two)];
  const most = spreadOf(
    ones.map((one, i) => places.client === places.server ? mostWorth(one, twos[i]!, cores) : cores),
  );
  const share = median(
    ones.map(({ cpuUsPerRequest, besideUsPerRequest }) =>
      besideUsPerRequest / (cpuUsPerRequest + besideUsPerRequest)
    ),
  );
  return [{
    title: `${work.title} vs 1 process, ${connectionsText(row)}`,
    wanted: "",
    measured: ratioText(row.weirCpuRatio),
    note: [
      ...speedNotes(row, twos, ones),
      `at most ${ratioText(most)} of its requests/s on these cores: ${
        Math.round(100 * share)
      } % of a request's processor time is the client's and the upstream's`,
      `at most ${(cores * row.weirCpuRatio.median).toFixed(2)} with the client elsewhere`,
      quietNote(twos, ones),
    ].join("; "),
    standing: "shown",
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

/** What stands between a client and the upstream costs this much time, with one request at once. */
function addedLatency(work: WholeCase, rows: readonly WholeRow[]): readonly Figure[] {
  const p50Ms = (name: string) => {
    const row = rows.find(({ caseTitle, connections, server }) =>
      caseTitle === work.title && connections === LOW_CONNECTIONS && server === name
    );
    return row === undefined ? undefined : firstTool(row).map((one) => one.p50Ms);
  };
  const [weir, direct, nginx] = ["weir", UPSTREAM_ITSELF, nginxProxy.name].map(p50Ms);
  if (weir === undefined || direct === undefined || nginx === undefined) return [];
  const added = (values: readonly number[]) =>
    milliseconds(spreadOf(values.map((value, i) => value - direct[i]!)));
  // Compared as wrk gives them, in whole microseconds: the third digit decides.
  const more = spreadOf(weir.map((value, i) => Math.round(1000 * (value - nginx[i]!))));
  return [{
    title: `${work.title}: p50 added, ${LOW_CONNECTIONS} connection`,
    wanted: `≤ ${nginxProxy.name}'s`,
    measured: added(weir),
    note: `${nginxProxy.name} adds ${
      added(nginx)
    }; weir's is ${more.median} (${more.min}–${more.max}) µs more`,
    standing: standingOf(more, 0, "most"),
  }];
}

function memoryFigures(rows: readonly IdleRow[]): readonly Figure[] {
  return IDLE_CASES.flatMap(({ name, things, kibMax }) => {
    const ofCase = rows.filter((row) => row.name === name);
    const weir = ofCase.find(({ server }) => server === "weir");
    if (weir === undefined) return [];
    const kib = (row: IdleRow) => spreadOf(row.rounds.map(({ kibEach }) => kibEach));
    const others = ofCase.filter((row) => row !== weir);
    return [{
      title: `memory of ${count(weir.count)} ${things}, each`,
      wanted: `≤ ${kibMax} KiB`,
      measured: `${ratioText(kib(weir))} KiB`,
      note: others.map((row) => `${row.server} ${ratioText(kib(row))} KiB`).join("; "),
      standing: standingOf(kib(weir), kibMax, "most"),
    }];
  });
}

function startFigures(rows: readonly StartRow[]): readonly Figure[] {
  const weir = rows.find(({ server }) => server === "weir");
  if (weir === undefined) return [];
  const { title, readyMsMax, blockMsMax } = START_CASE;
  const wants = [
    { what: "until /health answers 200", key: "readyMs", most: readyMsMax },
    {
      what: "longest block of the loop from the first answer on",
      key: "blockMs",
      most: blockMsMax,
    },
  ] as const;
  return wants.map(({ what, key, most }) => {
    const of = ({ starts }: StartRow) => spreadOf(starts.map((start) => start[key]));
    const others = rows.filter((row) => row !== weir);
    return {
      title: `${title}: ${what}`,
      wanted: `≤ ${most} ms`,
      measured: `${ratioText(of(weir))} ms`,
      note: [
        `${weir.starts.length} starts`,
        ...others.map((row) => `${row.server} ${ratioText(of(row))} ms`),
      ].join("; "),
      standing: standingOf(of(weir), most, "most"),
    };
  });
}

/** Requests per second of both, their ratio, and whether the client was the limit. */
function speedNotes(
  row: WholeRow,
  ours: readonly WholeRound[],
  theirs: readonly WholeRound[],
): readonly string[] {
  const rate = (rounds: readonly WholeRound[]) =>
    count(median(rounds.map((round) => round.requestsPerSecond)));
  const micros = (rounds: readonly WholeRound[]) =>
    median(rounds.map((round) => round.cpuUsPerRequest)).toFixed(1);
  return [
    `${micros(ours)} and ${micros(theirs)} µs`,
    `${rate(ours)} and ${rate(theirs)} requests/s: ${ratioText(row.weirRatio)}`,
    `client busy ${Math.round(100 * median(ours.map(clientShare)))} %`,
  ];
}

function quietNote(ours: readonly WholeRound[], theirs: readonly WholeRound[]): string {
  return `${quietRounds(ours, theirs)} of ${theirs.length} rounds quiet`;
}

/** Rounds in which both had the core to themselves. */
function quietRounds(ours: readonly WholeRound[], theirs: readonly WholeRound[]): number {
  return theirs.filter((round, i) => isQuiet(round) && isQuiet(ours[i] ?? round)).length;
}

function weirBeside(row: WholeRow, ofCase: readonly WholeRow[]): WholeRow | undefined {
  return ofCase.find(({ server, connections }) =>
    server === "weir" && connections === row.connections
  );
}

function connectionsText({ connections }: WholeRow): string {
  return `${count(connections)} connection${connections === 1 ? "" : "s"}`;
}

/** With a digit more than ratios have: a proxy adds a tenth of a millisecond. */
function milliseconds({ median, min, max }: Ratio): string {
  return `${median.toFixed(3)} (${min.toFixed(3)}–${max.toFixed(3)}) ms`;
}
