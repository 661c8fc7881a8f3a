/**
 * The files of tapes: what files, folders, patterns and ids stand for.
 *
 * @module
 */

import { readdirSync, readFileSync, type Stats, statSync } from "node:fs";
import { basename, join } from "node:path";
import { PARTIAL_ENDING, readTape, type Tape, TapeFault } from "../sources/tape/format.ts";
import { fileFailure } from "./settings.ts";
import { Failure } from "./terminal.ts";

/** Files are read whole. */
const FILE_BYTES_MAX = 1024 * 1024 * 1024;
/** How much of an id at its beginning names a tape. */
const ID_START = /^[0-9A-Z]{4,26}$/;
/** What weir may replay, and what it has begun: whoever renames a tape has a tape all the same. */
const IS_TAPE = /\.tape\.jsonl(?:\.partial)?$/;
/** As weir calls them. */
const IS_OWN = /^[0-9A-Z]{26}\.tape\.jsonl(?:\.partial)?$/;

/** Why nothing is made of a tape that is not whole. */
export const PARTIAL_WHY = "it ends before its end, and is never replayed";

/** A file of a tape. */
export interface TapePath {
  readonly path: string;
  /** True: its end was not written. */
  readonly isPartial: boolean;
}

/**
 * The files that `places` stand for: files as they are, folders with the tapes right in them,
 * patterns, and beginnings of ids of tapes in `folder`, which is looked through when `places` is
 * empty. In order of their names, which is the order in which they were recorded; each once.
 *
 * @throws {Failure} when a place stands for nothing.
 */
export function tapePaths(places: readonly string[], folder: string): readonly TapePath[] {
  if (places.length === 0 && folder === "") {
    throw new Failure("There is no folder of tapes: name one, or set tape.folder");
  }
  const files = places.length === 0
    ? filesIn(folder)
    : places.flatMap((one) => pathsOf(one, folder));
  return [...new Set(files)].sort(byName).map((path) => ({
    path,
    isPartial: path.endsWith(PARTIAL_ENDING),
  }));
}

/** True when the file has the name that weir gave it. */
export function isOwnName({ path }: TapePath): boolean {
  return IS_OWN.test(basename(path));
}

/** The tapes right in `folder`; links to files are followed, as a mounted ConfigMap has nothing else. */
function filesIn(folder: string): readonly string[] {
  let names: readonly string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    throw fileFailure(error, `Cannot read the folder ${folder}`);
  }
  return names.filter((name) => IS_TAPE.test(name)).map((name) => join(folder, name))
    .filter((path) => statOfTape(path)?.isFile());
}

function pathsOf(place: string, folder: string): readonly string[] {
  const stat = statOfTape(place);
  if (stat?.isDirectory()) return filesIn(place);
  if (stat !== undefined) return [place];
  const found = /[*?[{]/.test(place)
    ? [...new Bun.Glob(place).scanSync({ onlyFiles: false })].filter((path) =>
      statOfTape(path)?.isFile()
    )
    : ID_START.test(place) && folder !== ""
    ? filesIn(folder).filter((path) => basename(path).startsWith(place))
    : [];
  if (found.length > 0) return found;
  throw new Failure(`${place}: there is no such file, folder or tape`);
}

/** By their names, whatever folder they are in. */
function byName(one: string, other: string): number {
  const [a, b] = [basename(one), basename(other)];
  return a < b ? -1 : a > b ? 1 : one < other ? -1 : 1;
}

/** @throws {Failure} when it cannot be read. */
export function bytesOfTape(path: string): Uint8Array {
  try {
    if (statSync(path).size > FILE_BYTES_MAX) {
      throw new Failure(`Cannot read ${path}: it has more than ${FILE_BYTES_MAX} bytes`);
    }
    return readFileSync(path);
  } catch (error) {
    throw fileFailure(error, `Cannot read ${path}`);
  }
}

/** What is known of a file; undefined = there is none, or nobody may look. */
export function statOfTape(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined; // a link to itself, a folder that is closed
  }
}

/**
 * The whole tape at `path`.
 *
 * @throws {Failure} with the line when it is none.
 */
export function tapeAt({ path, isPartial }: TapePath): Tape {
  if (isPartial) throw new Failure(`${path}: ${PARTIAL_WHY}`);
  try {
    return readTape(bytesOfTape(path));
  } catch (error) {
    throw error instanceof TapeFault ? faultOf(path, error) : error;
  }
}

/** The failure of a file that is no whole tape: "FILE:LINE: what is wrong". */
export function faultOf(path: string, { line, message }: TapeFault): Failure {
  return new Failure(`${path}:${line}: ${message.replace(/^line \d+: /, "")}`);
}
