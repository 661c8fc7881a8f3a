/**
 * Files that a command reads whole or makes anew.
 *
 * @module
 */

import {
  appendFileSync,
  closeSync,
  constants,
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

/** Lines are held until they have so many characters, */
const HELD_CHARS_MAX = 1024 * 1024;
/** or the first of them is so old. */
const HELD_MS = 100;

/** Lines that are held for a moment, and taken many at a time. */
export interface HeldLines {
  write(line: string): void;
  /** Hands on what is held. */
  flush(): void;
}

/** Gives lines to `take`, many at a time, without the end of the last. */
export function heldLines(take: (lines: string) => void): HeldLines {
  const held: string[] = [];
  let chars = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    chars = 0;
    if (held.length > 0) take(held.splice(0).join("\n"));
  };
  return {
    write(line) {
      held.push(line);
      chars += line.length;
      if (chars > HELD_CHARS_MAX) flush();
      else timer ??= setTimeout(flush, HELD_MS);
    },
    flush,
  };
}

/** A file that grows by lines. */
export interface LineFile {
  /** Takes a line, or several. */
  write(line: string): void;
  /** Nothing more is written, for this reason, in a few words. */
  giveUp(why: string): void;
  /** @throws {Failure} when lines could not be written: until then all goes on without them. */
  close(): void;
}

/**
 * Opens `file` once and keeps it open: whatever takes all descriptors later does not take this one. What
 * was there is lost.
 *
 * @throws {Failure} with exit code 2 when it cannot be written.
 */
export function lineFile(file: string): LineFile {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND } = constants;
  let descriptor: number;
  try {
    descriptor = openSync(file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
  } catch (error) {
    throw writeFailure(error, file, EXIT.usage);
  }
  let failure: Failure | undefined;
  let isOver = false;
  const fail = (error: unknown) => {
    failure ??= writeFailure(error, file);
    isOver = true;
  };
  const { write, flush } = heldLines((lines) => {
    if (isOver) return;
    try {
      appendFileSync(descriptor, `${lines}\n`);
    } catch (error) {
      fail(error);
    }
  });
  return {
    write(line) {
      if (!isOver) write(line);
    },
    giveUp: (why) => fail({ message: why }),
    close() {
      flush();
      isOver = true;
      closeSync(descriptor);
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
