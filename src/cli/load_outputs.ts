/**
 * Where the results of a load go: one row for each form besides the report on the terminal.
 *
 * @module
 */

import { resolve } from "node:path";
import type { RequestRecord } from "../load/record.ts";
import { csvOf } from "../load/report/csv.ts";
import { type About, htmlReport } from "../load/report/html.ts";
import { rawLine, type RawPlace } from "../load/report/raw.ts";
import { type FinishedRun, runFileOf } from "../load/report/run_file.ts";
import { longName } from "./flags.ts";
import type { Flags } from "./load_options.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import { lineFile, mustBeWritable, writeFailure, writeOver } from "./whole_files.ts";

/** What a whole run is written as, by the flag that names the file. "-" prints it instead of the report. */
const OUTPUTS = {
  out: (run) => `${JSON.stringify(runFileOf(run))}\n`,
  csv: ({ stages }) => csvOf(stages.map(({ report }) => report)),
  html: ({ stages }, about) => htmlReport(stages, about),
} as const satisfies Readonly<
  Partial<Record<keyof Flags, (run: FinishedRun, about: About) => string>>
>;

const NAMES = Object.keys(OUTPUTS) as readonly (keyof typeof OUTPUTS)[];

/** Names that stand for what is printed, and for what nobody reads. */
const SHARED = /^(?:-|\/dev\/.*)$/;

/**
 * True when standard output is the report's. Looks at every file that is to be written: a run of an
 * hour is not to end with one that cannot be.
 *
 * @throws {Failure} with exit code 2 when two things would be printed into each other, or a file
 * cannot be written.
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
  if (flags.raw === "-") {
    throw new Failure(
      "--raw needs a file: its lines come while the load runs (/dev/stderr, /dev/stdout)",
      EXIT.usage,
    );
  }
  const files = new Map<string, string>();
  for (const name of [...NAMES, "raw"] as const) {
    const path = flags[name];
    if (path === undefined || path === "-") continue;
    mustBeWritable(path, `${longName(name)} ${path}`);
    const place = resolve(path);
    const other = files.get(place);
    if (other !== undefined && !SHARED.test(path)) {
      throw new Failure(`${other} and ${longName(name)} are the same file: ${path}`, EXIT.usage);
    }
    files.set(place, longName(name));
  }
  return printed.length === 0;
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
  return NAMES.flatMap((name) => {
    const path = flags[name];
    if (path === undefined) return [];
    try {
      const text = OUTPUTS[name](run, about);
      if (path === "-") terminal.print(text.trimEnd());
      else writeOver(path, text);
      return [];
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return [error];
    }
  });
}

/**
 * Watches standard output from now on. Gives the function that gives what went wrong with it: a reader
 * that has seen enough is no trouble.
 */
export function watchPrinted(): () => Promise<readonly Failure[]> {
  const failures: Failure[] = [];
  const note = (error: Error & { readonly code?: string }) => {
    if (error.code !== "EPIPE") failures[0] = writeFailure(error, "to standard output");
  };
  process.stdout.on("error", note);
  return async () => {
    await new Promise((resolve) => setImmediate(resolve)); // it is told behind what is printed
    process.stdout.off("error", note);
    return failures;
  };
}

/** A file of raw lines. */
export interface RawFile {
  write(record: RequestRecord, place: RawPlace): void;
  /** Writes what is held. */
  flush(): void;
  /** @throws {Failure} when lines could not be written. */
  close(): void;
}

/** @throws {Failure} when it cannot be written. */
export function rawFile(path: string): RawFile {
  const { write, flush, close } = lineFile(path);
  return { write: (record, place) => write(rawLine(record, place)), flush, close };
}
