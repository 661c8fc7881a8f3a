/**
 * Where the results of a load go: one row for each form besides the report on the terminal.
 *
 * @module
 */

import { csvOf } from "../load/report/csv.ts";
import { type About, htmlReport } from "../load/report/html.ts";
import { type FinishedRun, runFileOf } from "../load/report/run_file.ts";
import type { Flags } from "./load_options.ts";
import { leavesReport, writeEach } from "./outputs.ts";
import type { Failure, Terminal } from "./terminal.ts";

/** What a whole run is written as, by the flag that names the file. "-" prints it instead of the report. */
const OUTPUTS = {
  out: (run) => `${JSON.stringify(runFileOf(run))}\n`,
  csv: ({ stages }) => csvOf(stages.map(({ report }) => report)),
  html: ({ stages }, about) => htmlReport(stages, about),
} as const satisfies Readonly<
  Partial<Record<keyof Flags, (run: FinishedRun, about: About) => string>>
>;

const NAMES = Object.keys(OUTPUTS) as readonly (keyof typeof OUTPUTS)[];

/**
 * True when standard output is the report's. Looks at every file that is to be written.
 *
 * @throws {Failure} with exit code 2 when two things would be printed into each other, or a file
 * cannot be written.
 */
export function printsReport(flags: Flags): boolean {
  const whole = Object.fromEntries(NAMES.map((name) => [name, flags[name]]));
  return leavesReport({ isJson: flags.json, whole, growing: ["raw", flags.raw, "load"] });
}

/**
 * Writes `run` in each form that was asked for. Gives what could not be written, a sentence each: what
 * was measured is not lost with one file.
 */
export function writeOutputs(
  run: FinishedRun,
  about: About,
  flags: Flags,
  terminal: Terminal,
): readonly Failure[] {
  return writeEach(
    NAMES.map((name) => [flags[name], () => OUTPUTS[name](run, about)]),
    terminal,
  );
}
