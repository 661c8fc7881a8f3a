/**
 * The latency profile that the config names, where it is a file.
 *
 * @module
 */

import { latencyOf, latencyProblems, type LatencyValues, PROFILE_FILE } from "../config/latency.ts";
import { readLatencyFile } from "../config/latency_file.ts";
import { readText, type Settings } from "./settings.ts";
import { Failure } from "./terminal.ts";
import { pathIn } from "./token_files.ts";

/**
 * What the file of `mock.latency.profile` says; undefined = it names no file.
 *
 * @throws {Failure} when it cannot be read, or does not hold a profile.
 */
export function readLatency(
  { config, folder }: Pick<Settings, "config" | "folder">,
): LatencyValues | undefined {
  const { latency } = config.mock;
  if (!PROFILE_FILE.test(latency.profile)) return undefined;
  const path = pathIn(folder, latency.profile);
  const read = readLatencyFile({ name: path, text: readText(path, "mock.latency.profile") });
  if (read.kind === "bad") throw bad(read.problems);
  const misfits = latencyProblems(latencyOf(latency, read.values)!);
  if (misfits.length > 0) {
    throw bad(misfits.map(({ key, text }) => `mock.latency.${key} ${text}, with ${path}`));
  }
  return read.values;
}

function bad(problems: readonly string[]): Failure {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return new Failure(
    `The latency profile has ${count}:\n${problems.map((line) => `  ${line}`).join("\n")}`,
  );
}
