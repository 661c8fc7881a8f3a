/**
 * Files that a command reads whole or makes anew.
 *
 * @module
 */

import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { fileFailure } from "./settings.ts";
import { Failure } from "./terminal.ts";

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

/** @throws {Failure} when the file is there, or cannot be written. */
export function writeNew(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: "wx" });
  } catch (error) {
    throw fileFailure(error, `Cannot write ${file}`);
  }
}

/** @throws {Failure} when the file cannot be written. What was there is lost. */
export function writeOver(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw fileFailure(error, `Cannot write ${file}`);
  }
}
