/**
 * Reads the fixtures of files.
 *
 * @module
 */

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type CheckFixture, readFixtures } from "../sources/fixtures/read.ts";
import { templateProblems } from "../sources/fixtures/template.ts";
import type { LoadedFixtures } from "./fixture_watch.ts";
import { pathIn } from "./token_files.ts";

/** What is wrong with the templates of a fixture. */
export const checkTemplates: CheckFixture = ({ isTemplate, responses }) =>
  isTemplate
    ? responses.flatMap((response) =>
      templateProblems(response).map((text) => ({ path: ["response"], text }))
    )
    : [];

/** Reads files, and folders of them. */
export function loadFixtures(paths: readonly string[], folder: string): LoadedFixtures {
  const problems: string[] = [];
  const files = paths.flatMap((path) => {
    const full = pathIn(folder, path);
    const stat = statSync(full, { throwIfNoEntry: false });
    if (stat === undefined) problems.push(`${path}:1:1 there is no such file`);
    if (stat?.isDirectory() !== true) return stat === undefined ? [] : [path];
    return readdirSync(full).filter((name) => /\.(json|ya?ml)$/.test(name)).sort()
      .map((name) => join(path, name));
  });
  const fixtures = files.flatMap((file) => {
    const read = readFixtures(readFileSync(pathIn(folder, file), "utf8"), file, checkTemplates);
    problems.push(...read.problems);
    return read.fixtures;
  });
  return { fixtures, problems, warnings: [], files };
}
