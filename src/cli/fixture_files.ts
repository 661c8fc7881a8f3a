/**
 * Reads the fixtures of files.
 *
 * @module
 */

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { readAdded } from "../sources/fixtures/kit.ts";
import type { LoadedFixtures } from "./fixture_watch.ts";
import { pathIn } from "./token_files.ts";

/** Reads JSON files and folders of them. */
export function loadFixtures(paths: readonly string[], folder: string): LoadedFixtures {
  const problems: string[] = [];
  const files = paths.flatMap((path) => {
    const full = pathIn(folder, path);
    const stat = statSync(full, { throwIfNoEntry: false });
    if (stat === undefined) problems.push(`${path}:1:1 there is no such file`);
    return stat?.isDirectory() === true
      ? readdirSync(full).sort().map((name) => join(path, name))
      : stat === undefined
      ? []
      : [path];
  });
  const fixtures = files.flatMap((file) => {
    try {
      const { fixtures } = JSON.parse(readFileSync(pathIn(folder, file), "utf8"));
      const read = readAdded(fixtures, () => `${file}:1:1`);
      problems.push(...read.problems.map((problem) => `${file}:1:1 ${problem}`));
      return read.fixtures.map((one) => ({ ...one, place: { file, line: 1, column: 1 } }));
    } catch (error) {
      problems.push(`${file}:1:1 ${(error as Error).message}`);
      return [];
    }
  });
  return { fixtures, problems, warnings: [], files };
}
