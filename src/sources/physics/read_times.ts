/**
 * Reads a file of times, whichever format it has: its beginning tells.
 *
 * @module
 */

import { isUtf8 } from "node:buffer";
import { readCsv } from "./times_csv.ts";
import { readCaptureTimes, readTapeTimes } from "./times_exchange.ts";
import { readJson } from "./times_json.ts";
import { type ReadTimes, TimesFault, type TimeUnit } from "./times.ts";

/** How a tape begins, and a capture. */
const TAPE = /^\{"n":1,"tape":/;
const CAPTURE = /^\{[^\n]*"schema"\s*:\s*"mock-openai-api\.capture"/;

/**
 * The times in `bytes`, of a file that is called `file`. `unit`: of times that do not say theirs.
 *
 * @throws {TimesFault} with the place of what is wrong.
 */
export async function readTimes(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
  unit: TimeUnit | undefined,
): Promise<ReadTimes> {
  if (!isUtf8(bytes)) {
    throw new TimesFault(`${file}:1:1: it is no text: packed files must be unpacked before`);
  }
  const text = new TextDecoder().decode(bytes); // without a byte order mark
  if (TAPE.test(text)) return await readTapeTimes(bytes, file);
  if (CAPTURE.test(text)) return await readCaptureTimes(text, file);
  if (/^\s*[{[]/.test(text)) return readJson(text, file, unit);
  return readCsv(text, file, unit);
}
