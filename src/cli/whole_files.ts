/**
 * Files that a command reads whole or makes anew.
 *
 * @module
 */

import {
  appendFileSync,
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
 * changed; what is no file, like a pipe, is not tried. `what`: how the failure calls it.
 *
 * @throws {Failure} with exit code 2.
 */
export function mustBeWritable(file: string | undefined, what: string | undefined = file): void {
  if (file === undefined) return;
  const isThere = existsSync(file);
  try {
    const known = isThere ? statSync(file) : undefined;
    if (known !== undefined && !known.isFile() && !known.isDirectory()) return;
    closeSync(openSync(file, "a"));
  } catch (error) {
    throw writeFailure(error, what!, EXIT.usage);
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
  /** @throws {Failure} when lines could not be written: until then all goes on without them. */
  close(): void;
}

/** @throws {Failure} when it cannot be written. What was there is lost. */
export function lineFile(file: string): LineFile {
  writeOver(file, "");
  const held: string[] = [];
  let chars = 0;
  let failure: Failure | undefined;
  const flush = () => {
    const lines = held.splice(0);
    chars = 0;
    if (lines.length === 0 || failure !== undefined) return;
    try {
      appendFileSync(file, `${lines.join("\n")}\n`);
    } catch (error) {
      failure = writeFailure(error, file);
    }
  };
  return {
    write(line) {
      if (failure !== undefined) return;
      held.push(line);
      chars += line.length;
      if (chars > HELD_CHARS_MAX) flush();
    },
    flush,
    close() {
      flush();
      if (failure !== undefined) throw failure;
    },
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

/** What is wrong with a file that is written, in words. */
const WRITE_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such folder",
  ENOTDIR: "there is no such folder",
  EISDIR: "it is a folder",
  EACCES: "it is not allowed",
  EROFS: "it is not allowed",
  ENOSPC: "the disk is full",
};

/** The failure that `error` of writing `what` is. */
export function writeFailure(
  error: unknown,
  what: string,
  exitCode: number = EXIT.failed,
): Failure {
  if (error instanceof Failure) return error;
  const { code = "", message } = error as { readonly code?: string; readonly message?: string };
  return new Failure(`Cannot write ${what}: ${WRITE_ERRORS[code] ?? message ?? code}`, exitCode);
}
