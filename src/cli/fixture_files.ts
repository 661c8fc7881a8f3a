/**
 * The files of fixtures: what files, folders and patterns stand for, in their order, and what is in
 * them.
 *
 * @module
 */

import { isUtf8 } from "node:buffer";
import { readdirSync, readFileSync, realpathSync, type Stats, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import type { Fixture } from "../sources/fixtures/fixture.ts";
import { type CheckFixture, FILE_CHARS_MAX, readFixtures } from "../sources/fixtures/read.ts";
import { nameOf, shadowsOf } from "../sources/fixtures/shadows.ts";
import { pathIn } from "./token_files.ts";

const FILES_MAX = 10_000;
/** As many as its characters can have in UTF-8, more or less. */
const FILE_BYTES_MAX = 3 * FILE_CHARS_MAX;
/** Of all files together: each worker has them in memory. */
const FIXTURES_MAX = 100_000;
const IS_FIXTURES = /\.(?:ya?ml|json)$/i;

/** Files, in the order in which their fixtures stand. */
export interface FixtureFiles {
  readonly files: readonly string[];
  readonly problems: readonly string[];
}

/** What is in them. */
export interface LoadedFixtures extends FixtureFiles {
  readonly fixtures: readonly Fixture[];
  /** What is odd and no problem: fixtures that can never be given. */
  readonly warnings: readonly string[];
}

/**
 * The files that `places` stand for: files as they are, folders with the YAML and JSON below them
 * (their own files before those of the folders in them, hidden ones left out), patterns such as
 * more/*.yaml. All of one place are in order, and a file counts once. Relative ones are in `folder`.
 */
export function fixtureFilesOf(places: readonly string[], folder: string): FixtureFiles {
  const files = new Set<string>();
  const problems: string[] = [];
  for (const place of places) {
    try {
      const found = filesOf(pathIn(folder, place));
      if (found.length === 0) problems.push(`${place}: there is no file of fixtures`);
      for (const file of found) files.add(file);
    } catch (error) {
      const { code } = error as { readonly code?: string };
      if (code === undefined) throw error;
      problems.push(`${place}: ${code === "ENOENT" ? "there is no such file or folder" : code}`);
    }
    if (files.size <= FILES_MAX) continue;
    return { files: [], problems: [`${place}: there must be at most ${FILES_MAX} files`] };
  }
  return { files: [...files], problems };
}

/** @throws {Error} with a `code` when it cannot be looked at. */
function filesOf(path: string): readonly string[] {
  const stat = statOf(path);
  if (stat?.isDirectory()) return filesIn(path, new Set());
  if (stat !== undefined) return [path];
  if (!/[*?[{]/.test(path)) throw Object.assign(new Error(path), { code: "ENOENT" });
  // Links to files are followed, as in folders: a mounted ConfigMap has nothing else.
  const found = [...new Bun.Glob(path).scanSync({ onlyFiles: false })].sort();
  return found.filter((file) => statOf(file)?.isFile());
}

/** What `path` leads to; undefined = nothing, as of a link to itself. */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if ((error as { readonly code?: string }).code === "ELOOP") return undefined;
    throw error;
  }
}

/** `seen`: folders that were read, without links: one that leads back to them has nothing new. */
function filesIn(folder: string, seen: Set<string>): readonly string[] {
  const real = realpathSync(folder);
  if (seen.has(real)) return [];
  seen.add(real);
  const files: string[] = [];
  const folders: string[] = [];
  for (const name of readdirSync(folder).sort()) {
    if (name.startsWith(".")) continue;
    const path = join(folder, name);
    const stat = statOf(path);
    if (stat?.isDirectory()) folders.push(path);
    else if (stat?.isFile() && IS_FIXTURES.test(name)) files.push(path);
  }
  return [...files, ...folders.flatMap((inner) => filesIn(inner, seen))];
}

/**
 * Reads what `places` stand for, with every problem of every file. Whoever has any uses none of it.
 * `check`: what else has to hold of each fixture.
 */
export function loadFixtures(
  places: readonly string[],
  folder: string,
  check?: CheckFixture,
): LoadedFixtures {
  const found = fixtureFilesOf(places, folder);
  const problems = [...found.problems];
  const fixtures: Fixture[] = [];
  const ids = new Map<string, Fixture>();
  for (const file of found.files) {
    const text = textOf(file, problems);
    if (text === undefined) continue;
    const read = readFixtures(text, shownIn(folder, file), check);
    problems.push(...read.problems);
    for (const fixture of read.fixtures) {
      const other = ids.get(fixture.id);
      ids.set(fixture.id, other ?? fixture);
      if (other === undefined) fixtures.push(fixture);
      else problems.push(`${nameOf(fixture)}: the id is that of ${nameOf(other)}, too`);
    }
    if (fixtures.length > FIXTURES_MAX) {
      problems.push(`${file}: there must be at most ${FIXTURES_MAX} fixtures in all files`);
      break;
    }
  }
  const warnings = problems.length === 0 ? shadowsOf(fixtures) : [];
  return { files: found.files, fixtures, problems, warnings };
}

/** `file` as somebody in `folder` would name it: clients read it, too, and need not know what is around. */
function shownIn(folder: string, file: string): string {
  const short = relative(resolve(folder), resolve(file));
  return short.startsWith("..") ? file : short;
}

function textOf(file: string, problems: string[]): string | undefined {
  try {
    if (statSync(file).size <= FILE_BYTES_MAX) {
      const bytes = readFileSync(file);
      if (isUtf8(bytes)) return bytes.toString("utf8");
      problems.push(`${file}: the file must be UTF-8`);
      return undefined;
    }
    problems.push(`${file}: the file must have at most ${FILE_BYTES_MAX} bytes`);
    return undefined;
  } catch (error) {
    const { code } = error as { readonly code?: string };
    problems.push(`${file}: cannot be read: ${code ?? String(error)}`);
    return undefined;
  }
}
