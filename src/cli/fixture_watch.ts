/**
 * The fixtures of files: read when weir starts, and again when a file changes; whole or not at all.
 *
 * @module
 */

import { existsSync, type FSWatcher, realpathSync, statSync, watch } from "node:fs";
import { dirname } from "node:path";
import { checkFixture } from "../sources/fixtures/check.ts";
import type { FixtureState } from "../surfaces/admin/desk.ts";
import { type LoadedFixtures, loadFixtures } from "./fixture_files.ts";
import { pathIn } from "./token_files.ts";
import { Failure, type Terminal } from "./terminal.ts";
import { type Settings, warn } from "./settings.ts";

/** Where files are looked for. */
export interface FixturePlaces {
  readonly paths: readonly string[];
  readonly folder: string;
}

/** Where the config says that they are. */
export function fixturePlaces({ config, folder }: Pick<Settings, "config" | "folder">) {
  return { paths: config.mock.fixtures, folder } satisfies FixturePlaces;
}

/**
 * Looks at the fixtures of the config's files, as serving them begins.
 *
 * @throws {Failure} with every problem.
 */
export function checkFixtures(settings: Settings, terminal: Terminal): void {
  const { paths, folder } = fixturePlaces(settings);
  checkLoaded(loadFixtures(paths, folder, checkFixture), terminal);
}

/** @throws {Failure} with every problem. */
function checkLoaded({ problems, warnings }: LoadedFixtures, terminal: Terminal): void {
  if (problems.length > 0) throw new Failure(`The fixtures have ${problemsText(problems)}`);
  warn(warnings, terminal);
}

/** Whoever writes a file may write it in pieces, and several files one after the other. */
const SETTLE_MS = 100;

/**
 * Names with which something may come or go: those of fixtures, and those without an ending, as folders and
 * links have them. Logs and databases beside them are none.
 */
const MAY_MATTER = /\.(?:json|ya?ml)$|^[^.]*$|(?:^|\/)\.\.[^/]*$/i;
const PATTERN = /[*?[{]/;

/** What it needs. */
export interface FixtureFilesOptions {
  readonly terminal: Terminal;
  /** Told when other fixtures are in force, or why they are not those on the disk. */
  readonly onChange: (state: FixtureState) => void;
}

/** Reads and watches. */
export class FixtureFiles {
  readonly #options: FixtureFilesOptions;
  #places: FixturePlaces = { paths: [], folder: "." };
  #state: FixtureState = { fixtures: [], trouble: "" };
  #watchers: readonly FSWatcher[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: FixtureFilesOptions) {
    this.#options = options;
  }

  /**
   * Reads them for the first time, and watches from now on.
   *
   * @throws {Failure} with every problem.
   */
  open(places: FixturePlaces): FixtureState {
    this.#places = places;
    const loaded = this.#load();
    checkLoaded(loaded, this.#options.terminal);
    this.#state = { fixtures: loaded.fixtures, trouble: "" };
    this.#watch(loaded.files);
    return this.#state;
  }

  /** Reads them again, from `places` if they are others now. */
  reload(places: FixturePlaces = this.#places): void {
    const { terminal, onChange } = this.#options;
    this.#places = places;
    const { fixtures, problems, warnings, files } = this.#load();
    this.#watch(files);
    if (problems.length > 0) {
      const [first] = problems;
      const more = problems.length === 1 ? "" : ` (and ${problems.length - 1} more)`;
      const trouble = `the old ones stay: ${first}${more}`;
      if (trouble === this.#state.trouble) return;
      terminal.complain(
        `weir: fixtures: the old ones stay, as the files have ${problemsText(problems)}`,
      );
      this.#state = { ...this.#state, trouble };
    } else {
      const isSame = this.#state.trouble === "" &&
        JSON.stringify(fixtures) === JSON.stringify(this.#state.fixtures);
      if (isSame) return;
      warn(warnings, terminal);
      terminal.complain(`weir: fixtures: read again, ${fixtures.length} in ${files.length} files`);
      this.#state = { fixtures, trouble: "" };
    }
    onChange(this.#state);
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
  }

  #load(): LoadedFixtures {
    const { paths, folder } = this.#places;
    if (paths.length === 0) return { fixtures: [], problems: [], warnings: [], files: [] };
    return loadFixtures(paths, folder, checkFixture);
  }

  #watch(files: readonly string[]): void {
    for (const watcher of this.#watchers) watcher.close();
    const { paths, folder } = this.#places;
    const places = paths.map((path) => watchedAt(pathIn(folder, path)));
    const folders = new Set([
      ...files.flatMap((file) => [dirname(file), dirname(realPathOf(file))]),
      ...places.map(([at]) => at),
    ]);
    this.#watchers = [...folders].filter((path) => existsSync(path)).flatMap((path) => {
      const recursive = places.some(([at, isDeep]) => at === path && isDeep);
      try {
        return [watch(path, { persistent: false, recursive }, this.#onEvent)];
      } catch (error) {
        const { code } = error as { readonly code?: string };
        this.#options.terminal.complain(
          `weir: warning: ${path} cannot be watched (${code}): SIGHUP reads its fixtures again`,
        );
        return [];
      }
    });
  }

  readonly #onEvent = (_kind: string, file: string | null): void => {
    if (file !== null && !MAY_MATTER.test(file)) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.reload(), SETTLE_MS);
  };
}

/**
 * The folder in which what `path` stands for comes and goes, and whether the folders below it count: a
 * file's folder may be a whole project's.
 */
function watchedAt(path: string): readonly [folder: string, isDeep: boolean] {
  const pattern = PATTERN.exec(path);
  if (pattern !== null) {
    const rest = path.slice(pattern.index);
    return [dirname(`${path.slice(0, pattern.index)}x`), rest.includes("**") || rest.includes("/")];
  }
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  return isFolder ? [path, true] : [dirname(path), false];
}

/** Where a link leads; the path itself where it leads nowhere. */
function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function problemsText(problems: readonly string[]): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return `${count}:\n${problems.map((line) => `  ${line}`).join("\n")}`;
}
