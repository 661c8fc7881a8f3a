/**
 * `weir import FILE…`: fixtures of what another program has recorded.
 *
 * @module
 */

import { readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { readRecordings } from "../sources/recordings/read.ts";
import { defineCommand } from "./command.ts";
import { checkFree, OUT_FLAG, putFixtures } from "./fixture_output.ts";
import { fileFailure } from "./settings.ts";
import { EXIT, Failure } from "./terminal.ts";

/** Files are read whole. */
const FILE_BYTES_MAX = 512 * 1024 * 1024;

/** Makes a file of fixtures. */
export const importRecordings = defineCommand({
  name: "import",
  summary: "make fixtures of recorded traffic: tapes, VCR cassettes, .llmcap.jsonl",
  details: "What cannot be taken is told, one line each, and so is what is lost. " +
    "No header of a request gets into a fixture.",
  operands: {
    files: {
      name: "FILE",
      text: "tapes, cassettes of VCR as YAML or JSON, and captures of mock-openai-api",
      isRepeated: true,
      completes: "files",
    },
  },
  flags: OUT_FLAG,
  examples: [
    { line: "weir import cassettes/*.yaml -o fixtures.yaml", text: "all cassettes of a folder" },
    { line: "weir import call.llmcap.jsonl", text: "one call with its times, to look at" },
  ],
  exits: {
    [EXIT.done]: "there are fixtures; what could not be taken was told",
    [EXIT.failed]: "a file cannot be read or written, or there was nothing to take",
  },
  run({ flags: { out }, operands: { files } }, terminal) {
    checkFree(out);
    const read = files.map((file) => readRecordings(textOf(file), basename(file)));
    return putFixtures(read, out, terminal);
  },
});

/** @throws {Failure} when the file cannot be read. */
function textOf(file: string): string {
  try {
    if (statSync(file).size > FILE_BYTES_MAX) {
      throw new Failure(`Cannot read ${file}: it has more than ${FILE_BYTES_MAX} bytes`);
    }
    return readFileSync(file, "utf8");
  } catch (error) {
    throw fileFailure(error, `Cannot read ${file}`);
  }
}
