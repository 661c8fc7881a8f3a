/**
 * Reports as CSV: a row for each stage. A figure that there is not is an empty cell.
 *
 * @module
 */

import { SPREADS } from "../tally.ts";
import type { LoadReport } from "./report.ts";

const FIGURES = ["p50", "p90", "p95", "p99", "p999", "max", "mean"] as const;

/** Head and rows, each line with its end. */
export function csvOf(reports: readonly LoadReport[]): string {
  const columns = reports.map(columnsOf);
  const heads = columns[0]?.map(([name]) => name) ?? [];
  const rows = columns.map((cells) => cells.map(([, value]) => cell(value)).join(","));
  return [heads.join(","), ...rows].map((line) => `${line}\n`).join("");
}

type Cell = string | number | null | undefined;

function columnsOf(report: LoadReport): readonly (readonly [string, Cell])[] {
  const { requests, goodput, doubt, tokens, events, connections } = report;
  return [
    ["load", report.load],
    ["sent", requests.sent],
    ["completed", requests.completed],
    ["failed", requests.failed],
    ["left", requests.left],
    ["unfinished", requests.unfinished],
    ["not_sent", requests.not_sent],
    ["errors", requests.errors.map((one) => `${one.count} ${one.phase} ${one.text}`).join("; ")],
    ["seconds", report.seconds],
    ["rounds", report.rounds],
    ["processes", report.processes],
    ["saturated_after_seconds", report.saturated_after_s],
    ["requests_per_second", report.requests_per_second],
    ["output_tokens_per_second_told", report.output_tokens_per_second.told],
    ["output_tokens_per_second_own", report.output_tokens_per_second.own],
    ["prompt_tokens", tokens.prompt],
    ["output_tokens_told", tokens.told],
    ["output_tokens_own", tokens.own],
    ["events", events.count],
    ["events_per_read", events.per_read],
    ["bytes", report.bytes],
    ["connections_opened", connections.opened],
    ["goodput_share", goodput?.share],
    ["goodput_requests_per_second", goodput?.requests_per_second],
    ["doubtful", doubt.is_doubtful ? "yes" : "no"],
    ["doubt", doubt.reasons.join("; ")],
    ["own_loop_ms_p99", doubt.loop_ms?.p99],
    ["own_cpu_share", doubt.cpu_share],
    ...SPREADS.flatMap((name) =>
      FIGURES.map((figure) => [`${name}_${figure}`, report[name]?.[figure]] as const)
    ),
  ];
}

/** RFC 4180; what a spreadsheet would take for a formula is told apart from one by a quote. */
function cell(value: Cell): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(Math.round(1e6 * value) / 1e6);
  const text = /^[=+\-@]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
