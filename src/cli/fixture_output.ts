/**
 * Writes fixtures of recordings, and says what could not be taken and what is lost.
 *
 * @module
 */

import { existsSync, writeFileSync } from "node:fs";
import { importFixtures } from "../sources/fixtures/import.ts";
import { fixturesJson, fixturesYaml } from "../sources/fixtures/import_text.ts";
import type { Recordings } from "../sources/recordings/recording.ts";
import { textFlag } from "./flags.ts";
import { fileFailure } from "./settings.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import { counted } from "./units.ts";

/** The flag of commands that write fixtures. */
export const OUT_FLAG = {
  out: textFlag({
    short: "o",
    value: "FILE",
    text: "where the fixtures go; one that is there already is not overwritten",
    notes: ["default standard output", ".json = as JSON, anything else as YAML"],
    completes: "files",
    mustHaveText: true,
  }),
} as const;

/** @throws {Failure} when something is at `out` already. */
export function checkFree(out: string | undefined): void {
  if (out !== undefined && existsSync(out)) {
    throw new Failure(`${out} is there already, and is not overwritten`);
  }
}

/**
 * Makes fixtures of what was read, and writes them to the file `out`, or prints them.
 *
 * @throws {Failure} when there was nothing to take, or the file cannot be written.
 */
export async function putFixtures(
  read: readonly Recordings[],
  out: string | undefined,
  terminal: Terminal,
): Promise<number> {
  const recordings = read.flatMap(({ recordings }) => recordings);
  const { fixtures, untaken, notes } = await importFixtures(recordings);
  const unread = read.flatMap(({ untaken }) => untaken)
    .map(({ place, why }) => `${place}: not taken: ${why}`);
  for (const line of [...unread, ...untaken, ...notes]) terminal.complain(`weir: ${line}`);
  const lostCount = unread.length + untaken.length;
  const all = counted(recordings.length + unread.length, "recording");
  const count = `${counted(fixtures.length, "fixture")} of ${all}, ${lostCount} not taken`;
  if (fixtures.length === 0) throw new Failure(`Nothing was written: ${count}`);
  const text = out?.endsWith(".json") ? fixturesJson(fixtures) : fixturesYaml(fixtures);
  if (out === undefined) terminal.print(text.trimEnd());
  else write(out, text);
  terminal.complain(`weir: ${count}${out === undefined ? "" : `: ${out}`}`);
  return EXIT.done;
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: "wx" });
  } catch (error) {
    throw fileFailure(error, `Cannot write ${file}`);
  }
}
