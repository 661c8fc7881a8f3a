/**
 * A latency profile's file: YAML or JSON with the keys of `mock.latency`.
 *
 * @module
 */

import { type ConfigFile, readSectionFile } from "./file.ts";
import { LATENCY_PROFILES, latencyOf, latencyProblems, type LatencyValues } from "./latency.ts";
import { checkGiven, inOrder } from "./problems.ts";

/** What a file says, or everything that is wrong with it. */
export type LatencyFile =
  | { readonly kind: "ok"; readonly values: LatencyValues }
  | { readonly kind: "bad"; readonly problems: readonly string[] };

/** Reads a profile's file. Its `profile` is what it goes on from; without one that is `realistic`. */
export function readLatencyFile(file: ConfigFile): LatencyFile {
  const layer = readSectionFile(file, ["mock", "latency"]);
  const problems = [...layer.problems];
  const values: Record<string, unknown> = {};
  for (const given of layer.given) {
    const checked = checkGiven(given);
    if (checked.kind === "bad") problems.push(...checked.problems);
    else values[given.path.slice("mock.latency.".length)] = checked.value;
    const { profile } = values;
    if (given.path !== "mock.latency.profile" || profile === undefined) continue;
    const names = Object.keys(LATENCY_PROFILES);
    if (names.includes(profile as string)) continue;
    const { at, label } = given.place([]);
    problems.push({ at, text: `${label}: must be one of ${names.join(", ")} in a file` });
  }
  if (problems.length > 0) return { kind: "bad", problems: inOrder(problems) };
  // The loop above has checked each of them.
  const read = values as LatencyValues;
  const misfits = latencyProblems(latencyOf({ profile: file.name }, read)!);
  if (misfits.length === 0) return { kind: "ok", values: read };
  return { kind: "bad", problems: misfits.map(({ key, text }) => `${file.name} ${key} ${text}`) };
}
