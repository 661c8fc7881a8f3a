/**
 * Latency profiles by their names and in files.
 *
 * @module
 */

import {
  LATENCY_PROFILES,
  latencyOf,
  latencyProblems,
  type LatencyProfile,
  type LatencyValues,
  PROFILE_FILE,
} from "../config/latency.ts";
import { readLatencyFile } from "../config/latency_file.ts";
import { nearest } from "../lib/nearest.ts";
import { readText, type Settings } from "./settings.ts";
import { EXIT, Failure } from "./terminal.ts";
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

/**
 * The profile that `word` names, one that weir brings or a file in the current folder.
 *
 * @throws {Failure} when there is none, or it is wrong.
 */
export function profileOf(word: string): LatencyProfile {
  if (Object.hasOwn(LATENCY_PROFILES, word)) return latencyOf({ profile: word })!;
  if (word === "plain") {
    throw new Failure("plain is the mock's own even pace: nothing is drawn from it");
  }
  if (!PROFILE_FILE.test(word)) {
    const near = nearest(word, Object.keys(LATENCY_PROFILES));
    const hint = near === undefined ? "" : ` Did you mean ${near}?`;
    throw new Failure(
      `There is no latency profile "${word}".${hint} Try: weir latency list, or a file that ends in ` +
        ".yaml, .yml or .json",
      EXIT.usage,
    );
  }
  const read = readLatencyFile({ name: word, text: readText(word, "the latency profile") });
  if (read.kind === "bad") throw bad(read.problems);
  return latencyOf({ profile: word }, read.values)!;
}

function bad(problems: readonly string[]): Failure {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return new Failure(
    `The latency profile has ${count}:\n${problems.map((line) => `  ${line}`).join("\n")}`,
  );
}
