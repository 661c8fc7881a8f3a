/**
 * Results as Markdown.
 *
 * @module
 */

import { type Figure, figuresOf, type Standing } from "./figures.ts";
import { count, decimals, ratioText } from "./numbers.ts";
import { median, type PacedRow, type Results, type WholeRound, type WholeRow } from "./results.ts";

/** How a figure stands, in words. */
export const STANDING_TEXT: Readonly<Record<Standing, string>> = {
  met: "met",
  within: "missed, within the spread",
  missed: "missed",
  disturbed: "not decided: no undisturbed round",
  limited: "not decided: too few cores",
};

/** How it was measured, in ten lines. */
export const METHOD: readonly string[] = [
  "One server at a time works on one core; the client, and a proxy's upstream, on the other; two workers" +
  " have both cores, and share them with the client where there are no more.",
  "Before anything is measured, every answer is compared byte for byte with what the case expects.",
  "Whole answers: wrk, and autocannon once; a run with any error, another status or other bytes stops it.",
  "The servers of a case run in turn, round by round; each ratio is of two runs next to each other.",
  "Ratios are medians of the rounds, with the smallest and the largest in brackets.",
  "Processor time is the scheduler's own count for the server, all threads and children.",
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
  const parts = [wholeTable(results.whole), pacedTable(results.paced), idleTable(results)];
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
      count(medianOf(results, "requestsPerSecond")),
      decimals(medianOf(results, "p50Ms"), 2),
      decimals(medianOf(results, "p99Ms"), 2),
      i === 0 ? ratioText(row.weirRatio) : "",
      decimals(medianOf(results, "cpuUsPerRequest"), 1),
      i === 0 ? ratioText(row.weirCpuRatio) : "",
      `${decimals(100 * medianOf(results, "stolenShare"), 0)} %`,
      decimals(row.peakRssKib / 1024, 0),
    ]);
  });
  return markdown([
    "case",
    "connections",
    "server",
    "tool",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "weir ÷ it",
    "CPU µs/request",
    "its CPU ÷ weir's",
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
      "core taken",
      "verdict",
    ],
    rows.flatMap(({ caseTitle, server, rounds }) =>
      rounds.map(({ found: { report, verdict }, cpuUsPerEvent, peakRssKib, stolenShare }) => [
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
        `${decimals(100 * stolenShare, 0)} %`,
        [verdict.kind, ...verdict.reasons].join(": "),
      ])
    ),
  );
}

function idleTable({ idle }: Results): string {
  if (idle.length === 0) return "";
  return markdown(
    ["server", "idle streams", "before MiB", "with them MiB", "KiB per stream"],
    idle.map((row) => [
      row.server,
      count(row.streams),
      decimals(row.idleKib / 1024, 0),
      decimals(row.openKib / 1024, 0),
      decimals(row.kibPerStream, 2),
    ]),
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
