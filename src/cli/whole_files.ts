/**
 * Files that a command reads whole or makes anew.
 *
 * @module
 */

import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { fileFailure } from "./settings.ts";
import { EXIT, Failure } from "./terminal.ts";

/** Larger ones are not read. */
const FILE_BYTES_MAX = 512 * 1024 * 1024;

/** @throws {Failure} when the file cannot be read. */
export function readWhole(file: string): Buffer<ArrayBuffer> {
  try {
    if (statSync(file).size > FILE_BYTES_MAX) {
      throw new Failure(`Cannot read ${file}: it has more than ${FILE_BYTES_MAX} bytes`);
    }
    return readFileSync(file);
  } catch (error) {
    throw error instanceof Failure ? error : fileFailure(error, `Cannot read ${file}`);
  }
}

/** @throws {Failure} when `file`, if one is named, is there: before anything is done for it. */
export function mustBeNew(file: string | undefined): void {
  if (file !== undefined && existsSync(file)) {
    throw new Failure(`${file} is there already, and is not overwritten`);
  }
}

/**
 * Says of `file`, if one is named, that it cannot be written before anything is done for it. Nothing is
 * changed; what is no file, like a pipe, is not tried.
 *
 * @throws {Failure} with exit code 2.
 */
export function mustBeWritable(file: string | undefined): void {
  if (file === undefined) return;
  const isThere = existsSync(file);
  try {
    const known = isThere ? statSync(file) : undefined;
    if (known !== undefined && !known.isFile() && !known.isDirectory()) return;
    closeSync(openSync(file, "a"));
  } catch (error) {
    throw writeFailure(error, file, EXIT.usage);
  }
  if (!isThere) unlinkSync(file);
}

/** Bytes of lines that are held before they are written. */
const HELD_CHARS_MAX = 1024 * 1024;

/** A file that grows by lines, which are written many at a time. */
export interface LineFile {
  write(line: string): void;
  /** Writes what is held. */
  flush(): void;
}

/** @throws {Failure} when it cannot be written. What was there is lost. */
export function lineFile(file: string): LineFile {
  writeOver(file, "");
  const held: string[] = [];
  let chars = 0;
  const flush = () => {
    if (held.length === 0) return;
    writeFileSync(file, `${held.join("\n")}\n`, { flag: "a" });
    held.length = 0;
    chars = 0;
  };
  return {
    write(line) {
      held.push(line);
      chars += line.length;
      if (chars > HELD_CHARS_MAX) flush();
    },
    flush,
  };
}

/** @throws {Failure} when the file is there, or cannot be written. */
export function writeNew(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: "wx" });
  } catch (error) {
    throw writeFailure(error, file);
  }
}

/** @throws {Failure} when the file cannot be written. What was there is lost. */
export function writeOver(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw writeFailure(error, file);
  }
}

/** What is missing when a new file cannot be made is its folder. */
function writeFailure(error: unknown, file: string, exitCode: number = EXIT.failed): Failure {
  const { code } = error as { readonly code?: string };
  return code === "ENOENT" || code === "ENOTDIR"
    ? new Failure(`Cannot write ${file}: there is no such folder`, exitCode)
    : fileFailure(error, `Cannot write ${file}`, exitCode);
}
