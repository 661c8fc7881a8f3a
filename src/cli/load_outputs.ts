/**
 * Where the results of a load go: one row for each form besides the report on the terminal.
 *
 * @module
 */

import { writeFileSync } from "node:fs";
import type { RequestRecord } from "../load/record.ts";
import { csvOf } from "../load/report/csv.ts";
import { type About, htmlReport } from "../load/report/html.ts";
import { rawLine } from "../load/report/raw.ts";
import { type FinishedRun, runFileOf } from "../load/report/run_file.ts";
import { longName } from "./flags.ts";
import type { Flags } from "./load_options.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";

/** Bytes of raw lines that are held before they are written. */
const RAW_BYTES_HELD = 1024 * 1024;

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
 * True when standard output is the report's.
 *
 * @throws {Failure} when two things would be printed into each other.
 */
export function printsReport(flags: Flags): boolean {
  const printed = NAMES.filter((name) => flags[name] === "-").map((name) => `${longName(name)} -`);
  const all = [...(flags.json ? ["--json"] : []), ...printed];
  if (all.length > 1) {
    throw new Failure(
      `${all.slice(0, 2).join(" and ")} would be printed into each other`,
      EXIT.usage,
    );
  }
  return printed.length === 0;
}

/**
 * Writes `run` in each form that was asked for.
 *
 * @throws {Failure} when a file cannot be written.
 */
export function writeOutputs(
  run: FinishedRun,
  about: About,
  flags: Flags,
  terminal: Terminal,
): void {
  for (const name of NAMES) {
    const path = flags[name];
    if (path === undefined) continue;
    const text = OUTPUTS[name](run, about);
    if (path === "-") terminal.print(text.trimEnd());
    else writeReport(path, text);
  }
}

/** A file of raw lines. */
export interface RawFile {
  write(record: RequestRecord): void;
  /** Writes what is held. */
  flush(): void;
  close(): void;
}

/** @throws {Failure} when it cannot be written. */
export function rawFile(path: string): RawFile {
  writeReport(path, "");
  const held: string[] = [];
  let bytes = 0;
  const flush = () => {
    if (held.length === 0) return;
    writeFileSync(path, `${held.join("\n")}\n`, { flag: "a" });
    held.length = 0;
    bytes = 0;
  };
  return {
    write(record) {
      const line = rawLine(record);
      held.push(line);
      bytes += line.length;
      if (bytes > RAW_BYTES_HELD) flush();
    },
    flush,
    close: flush,
  };
}

/** @throws {Failure} when it cannot be written. */
export function writeReport(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new Failure(`Cannot write ${path}: ${(error as Error).message}`);
  }
}
