/**
 * Reads a file of recorded exchanges: which format it has, its first line tells.
 *
 * @module
 */

import { readCapture } from "./llmcap.ts";
import type { Recordings } from "./recording.ts";
import { readTapeText } from "./tape.ts";
import { readCassette } from "./vcr.ts";

/** The exchanges in `text`, whose file is called `file` in what is said of them. */
export function readRecordings(text: string, file: string): Recordings {
  const untaken = (why: string): Recordings => ({
    recordings: [],
    untaken: [{ place: file, why }],
  });
  try {
    return readTapeText(text, file) ?? readCapture(text, file) ?? readCassette(text, file) ??
      untaken("it is no tape, no VCR cassette (interactions) and no .llmcap.jsonl capture");
  } catch (error) {
    return untaken((error as Error).message);
  }
}
