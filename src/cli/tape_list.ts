/**
 * `weir tape list`: a line for each tape.
 *
 * @module
 */

import { globOf } from "../sources/glob.ts";
import { readTape, TapeFault } from "../sources/tape/format.ts";
import { partialSummaryOf, summaryOf, type TapeSummary } from "../sources/tape/summary.ts";
import { bytesOfTape, faultOf, type TapePath } from "./tape_files.ts";
import { EXIT, type Terminal } from "./terminal.ts";
import { counted, msText, sizeText } from "./units.ts";

/** Which tapes are told, and how. */
export interface ListOptions {
  /** Patterns, in which * stands for any text; undefined = all. */
  readonly model: string | undefined;
  readonly path: string | undefined;
  readonly status: number | undefined;
  readonly ending: string | undefined;
  readonly json: boolean;
}

/** Prints the tapes of `files`; one that is broken is told, and makes the exit code 1. */
export function listTapes(
  files: readonly TapePath[],
  options: ListOptions,
  terminal: Terminal,
): number {
  const rows: TapeSummary[] = [];
  let isBroken = false;
  for (const file of files) {
    try {
      const summary = summaryAt(file);
      if (fits(summary, options)) rows.push(summary);
    } catch (error) {
      if (!(error instanceof TapeFault)) throw error;
      isBroken = true;
      terminal.complain(`weir: ${faultOf(file.path, error).message}`);
    }
  }
  if (options.json) { for (const row of rows) terminal.print(JSON.stringify(row)); }
  else if (rows.length === 0) terminal.print("There are no such tapes.");
  else for (const line of columns(rows.map(cellsOf))) terminal.print(line);
  return isBroken ? EXIT.failed : EXIT.done;
}

function summaryAt({ path, isPartial }: TapePath): TapeSummary {
  const bytes = bytesOfTape(path);
  return isPartial ? partialSummaryOf(new TextDecoder().decode(bytes)) : summaryOf(readTape(bytes));
}

function fits(summary: TapeSummary, { model, path, status, ending }: ListOptions): boolean {
  return (model === undefined || globOf(model).test(summary.model)) &&
    (path === undefined || globOf(path).test(summary.path)) &&
    (status === undefined || status === summary.status) &&
    (ending === undefined || ending === summary.ending);
}

function cellsOf(summary: TapeSummary): readonly string[] {
  const { id, when, method, path, model, status, durationUs, firstByteUs } = summary;
  return [
    id,
    when.replace("T", " "),
    `${method} ${path}`,
    model || "-",
    status === undefined ? "no answer" : String(status),
    msText(durationUs),
    firstByteUs === undefined ? "no bytes" : `first ${msText(firstByteUs)}`,
    counted(summary.pieces, "piece"),
    sizeText(summary.bytes),
    summary.ending,
  ];
}

/** Cells below each other, two blanks between them. */
function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = rows.reduce<number[]>(
    (widths, row) => row.map((cell, at) => Math.max(widths[at] ?? 0, Bun.stringWidth(cell))),
    [],
  );
  return rows.map((row) =>
    row.map((cell, at) => cell + " ".repeat(widths[at]! - Bun.stringWidth(cell))).join("  ")
      .trimEnd()
  );
}
