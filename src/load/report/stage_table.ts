/**
 * All stages of a load in one table, a line for each: what became of the figures as the load rose.
 *
 * @module
 */

import type { LoadReport } from "./report.ts";
import { percent, shown } from "./terminal.ts";

type Column = readonly [head: string, cell: (report: LoadReport) => string];

const figure = (value: number | null | undefined) =>
  value === null || value === undefined ? "" : shown(value);

const COLUMNS: readonly Column[] = [
  ["answers/s", ({ requests_per_second }) => figure(requests_per_second)],
  ["failed", ({ requests }) => String(requests.failed)],
  ["ttft p50", ({ ttft_ms }) => figure(ttft_ms?.p50)],
  ["ttft p99", ({ ttft_ms }) => figure(ttft_ms?.p99)],
  ["tpot p50", ({ tpot_ms }) => figure(tpot_ms?.p50)],
  ["e2e p50", ({ e2e_ms }) => figure(e2e_ms?.p50)],
  ["e2e p99", ({ e2e_ms }) => figure(e2e_ms?.p99)],
  ["good", ({ goodput }) => goodput === null ? "" : percent(goodput.share)],
  ["", ({ doubt, saturated_after_s }) =>
    [
      ...(saturated_after_s === null ? [] : ["ran away"]),
      ...(doubt.is_doubtful ? ["doubtful"] : []),
    ].join(", ")],
];

/** The lines; columns that no stage has anything for are left out. Times are milliseconds. */
export function stageTable(reports: readonly LoadReport[]): readonly string[] {
  const columns = COLUMNS
    .map(([head, cell]) => ({ head, cells: reports.map(cell) }))
    .filter(({ cells }) => cells.some((one) => one !== ""));
  const title = Math.max(...reports.map(({ load }) => load.length));
  const rows = [
    ["", ...columns.map(({ head }) => head)],
    ...reports.map(({ load }, at) => [load, ...columns.map(({ cells }) => cells[at]!)]),
  ];
  return rows.map(([load, ...cells]) =>
    `${load!.padEnd(title)}${
      cells.map((cell, at) => columns[at]!.head === "" ? `  ${cell}` : cell.padStart(10)).join("")
    }`.trimEnd()
  );
}
