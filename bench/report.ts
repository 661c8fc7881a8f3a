/**
 * Results as Markdown.
 *
 * @module
 */

import type { LoadResult } from "./load.ts";
import { median, type PacedRow, type Ratio, type Results, type WholeRow } from "./results.ts";

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

/** `0.83 (0.81–0.86)`: the median of the rounds, and their spread. */
export function ratioText(ratio: Ratio | undefined): string {
  if (ratio === undefined) return "";
  const [middle, min, max] = [ratio.median, ratio.min, ratio.max].map((value) =>
    decimals(value, 2)
  );
  return `${middle} (${min}–${max})`;
}

function medianOf(
  results: readonly LoadResult[],
  key: "requestsPerSecond" | "p50Ms" | "p99Ms",
): number {
  return median(results.map((result) => result[key]));
}

function count(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, " ");
}

function decimals(value: number, digits: number): string {
  return value.toFixed(digits);
}
