/**
 * Results as Markdown.
 *
 * @module
 */

import { IDLE_CASES } from "./cases.ts";
import { figuresOf } from "./figures.ts";
import { count, decimals, ratioText } from "./numbers.ts";
import {
  clientShare,
  firstTool,
  isQuiet,
  median,
  type PacedRow,
  type Results,
  type WholeRound,
  type WholeRow,
} from "./results.ts";
import { type Figure, spreadOf, type Standing } from "./standing.ts";

/** How a figure stands, in words. */
export const STANDING_TEXT: Readonly<Record<Standing, string>> = {
  met: "met",
  within: "missed, within the spread",
  missed: "missed",
  disturbed: "not decided: no undisturbed round",
  shown: "measured, no limit",
};

/** How it was measured, in ten lines. */
export const METHOD: readonly string[] = [
  "One server at a time works on one core; the client, and a proxy's upstream, on the other; two workers" +
  " have both cores, and share them with the client where there are no more.",
  "Before anything is measured, every answer is compared byte for byte with what the case expects.",
  "Whole answers: wrk, and autocannon once; a run with any error, another status or other bytes stops it.",
  "The servers of a case run in turn, round by round; each ratio is of two runs next to each other.",
  "Ratios are medians of the rounds, with the smallest and the largest in brackets; each round stands below.",
  "Whole answers are judged by processor time, the other's ÷ weir's: the scheduler's own count for the server," +
  " all threads and children. Requests per second stand beside it: there the client may be the limit.",
  "Paced streams: an own raw-socket client with due times made beforehand, the starts spread evenly.",
  "Lateness is |came − due|, for every event while all streams are open; nothing is left out for being late.",
  "A run is invalid when the client's own loop was over 3 ms late (p99); one event lost fails a run.",
  "Invalid runs, and those in which others had over 10 % of the server's cores, are repeated at most twice" +
  " and for 3 minutes in all; a ratio is made of the rounds that were quiet for both.",
];

/** The page `bench/results.md`: the figures first, then everything that was measured. */
export function resultsPage(results: Results): string {
  const { machine } = results;
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return [
    "# Results",
    [
      `Commit ${machine.commit}, ${machine.date} UTC. ${machine.cpu}, ${machine.cores} cores, ` +
      `${machine.memoryGib} GiB, Linux ${machine.kernel}; ${versions.join(", ")}.`,
      `${results.rounds} rounds of ${results.secondsPerRun} s at 64 connections. How to read this: ` +
      "[README.md](README.md). The same with charts: [results.html](results.html).",
    ].join("\n"),
    noiseLine(results),
    "## Wanted and measured",
    figuresTable(figuresOf(results)),
    "## Method",
    METHOD.map((line) => `- ${line}`).join("\n"),
    roundsTable(results.whole) === "" ? "" : "## Round by round",
    roundsTable(results.whole),
    "## Everything measured",
    table(results).trimEnd(),
  ].filter((part) => part !== "").join("\n\n") + "\n";
}

/** How much of the server's core others had: what the figures must be read with. */
export function noiseLine({ whole, paced }: Results): string {
  const shares = [
    ...whole.flatMap(({ results }) => results),
    ...paced.flatMap(({ rounds }) => rounds),
  ].map(({ stolenShare }) => stolenShare);
  if (shares.length === 0) return "";
  const percent = (value: number) => `${decimals(100 * value, 0)} %`;
  return `Others had ${percent(median(shares))} of the server's core in half of the runs, ` +
    `${percent(Math.max(...shares))} in the worst. The client's core is not counted.`;
}

/**
 * The ratio of every round in its order: what the noise was. A round in which others had more of
 * the server's core than a tenth is marked, and no ratio is made of it if there is a better one.
 */
export function roundsTable(rows: readonly WholeRow[]): string {
  const lines = rows.flatMap((row) => {
    const weir = rows.find(({ caseTitle, connections, server }) =>
      server === "weir" && caseTitle === row.caseTitle && connections === row.connections
    );
    if (row.weirCpuRatio === undefined || weir === undefined) return [];
    const ours = firstTool(weir);
    const pairs = firstTool(row).map((theirs, i) => [ours[i]!, theirs] as const);
    const ratios = pairs.map(([our, their]) => {
      const mark = isQuiet(our) && isQuiet(their) ? "" : "*";
      return `${decimals(their.cpuUsPerRequest / our.cpuUsPerRequest, 2)}${mark}`;
    });
    const { median: middle, min, max } = row.weirCpuRatio;
    const spread = decimals((100 * (max - min)) / middle, 0);
    return [[row.caseTitle, count(row.connections), row.server, ratios.join(" · "), `${spread} %`]];
  });
  if (lines.length === 0) return "";
  const head = ["case", "connections", "server", "its CPU ÷ weir's, * = disturbed", "spread"];
  return markdown(head, lines);
}

/** Wanted and measured. */
export function figuresTable(figures: readonly Figure[]): string {
  return markdown(
    ["figure", "wanted", "measured", "", "beside"],
    figures.map(({ title, wanted, measured, standing, note }) => [
      title,
      wanted,
      measured,
      STANDING_TEXT[standing],
      note,
    ]),
  );
}

/** Everything that was measured, as Markdown tables. */
export function table(results: Results): string {
  const parts = [
    wholeTable(results.whole),
    pacedTable(results.paced),
    idleTable(results),
    startTable(results),
  ];
  if (results.skipped.length > 0) {
    parts.push(["Left out:", "", ...results.skipped.map((reason) => `- ${reason}`)].join("\n"));
  }
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function wholeTable(rows: readonly WholeRow[]): string {
  if (rows.length === 0) return "";
  const lines = rows.flatMap((row) => {
    const tools = Map.groupBy(row.results, ({ tool }) => tool);
    return [...tools].map(([tool, results], i) => [
      row.caseTitle,
      String(row.connections),
      row.server,
      tool,
      decimals(medianOf(results, "cpuUsPerRequest"), 1),
      i === 0 ? ratioText(row.weirCpuRatio) : "",
      count(medianOf(results, "requestsPerSecond")),
      i === 0 ? ratioText(row.weirRatio) : "",
      decimals(medianOf(results, "p50Ms"), 2),
      decimals(medianOf(results, "p99Ms"), 2),
      `${decimals(100 * median(results.map(clientShare)), 0)} %`,
      `${decimals(100 * medianOf(results, "stolenShare"), 0)} %`,
      decimals(row.peakRssKib / 1024, 0),
    ]);
  });
  return markdown([
    "case",
    "connections",
    "server",
    "tool",
    "CPU µs/request",
    "its CPU ÷ weir's",
    "requests/s",
    "weir's ÷ its",
    "p50 ms",
    "p99 ms",
    "client busy",
    "core taken",
    "peak MiB",
  ], lines);
}

function pacedTable(rows: readonly PacedRow[]): string {
  if (rows.length === 0) return "";
  return markdown(
    [
      "case",
      "server",
      "events/s",
      "late p50 ms",
      "p90",
      "p99",
      "p99.9",
      "max",
      "drift p99",
      "first event p99 ms",
      "lost · doubled · merged · strange",
      "CPU µs/event",
      "peak MiB",
      "client p99 ms",
      "its loop ms at most",
      "core taken",
      "verdict",
    ],
    rows.flatMap(({ caseTitle, server, rounds }) =>
      rounds.map((
        { found: { report, verdict }, cpuUsPerEvent, peakRssKib, stolenShare, loopLateMs },
      ) => [
        caseTitle,
        server,
        count(report.eventsPerSecond),
        ...(["p50", "p90", "p99", "p999", "max"] as const).map((key) =>
          decimals(report.latenessMs[key], 1)
        ),
        `${decimals(report.driftPercent.p99, 2)} %`,
        decimals(report.firstEventMs.p99, 1),
        [report.lost, report.doubled, report.merged, report.strange].join(" · "),
        decimals(cpuUsPerEvent, 2),
        decimals(peakRssKib / 1024, 0),
        decimals(report.loopDelayMs.p99, 1),
        loopLateMs === undefined ? "" : String(loopLateMs ?? Infinity),
        `${decimals(100 * stolenShare, 0)} %`,
        [verdict.kind, ...verdict.reasons].join(": "),
      ])
    ),
  );
}

function idleTable({ idle }: Results): string {
  if (idle.length === 0) return "";
  return markdown(
    ["server", "what", "before MiB", "with them MiB", "KiB each"],
    idle.map(({ name, server, count: number, rounds }) => [
      server,
      `${count(number)} ${IDLE_CASES.find((work) => work.name === name)?.things ?? name}`,
      decimals(median(rounds.map(({ idleKib }) => idleKib)) / 1024, 0),
      decimals(median(rounds.map(({ openKib }) => openKib)) / 1024, 0),
      rounds.map(({ kibEach }) => decimals(kibEach, 2)).join(" · "),
    ]),
  );
}

function startTable({ starts }: Results): string {
  if (starts.length === 0) return "";
  const milliseconds = (values: readonly number[]) =>
    values.map((value) => decimals(value, 0)).join(" · ");
  return markdown(
    ["server", "starts", "ready ms", "each", "longest block ms", "each"],
    starts.map(({ server, starts: each }) => {
      const readyMs = each.map((start) => start.readyMs);
      const blockMs = each.map((start) => start.blockMs);
      return [
        server,
        String(each.length),
        ratioText(spreadOf(readyMs)),
        milliseconds(readyMs),
        ratioText(spreadOf(blockMs)),
        milliseconds(blockMs),
      ];
    }),
  );
}

function markdown(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [row(head), row(head.map(() => "---")), ...lines.map(row)].join("\n");
}

function medianOf(
  results: readonly WholeRound[],
  key: "requestsPerSecond" | "p50Ms" | "p99Ms" | "cpuUsPerRequest" | "stolenShare",
): number {
  return median(results.map((result) => result[key]));
}
