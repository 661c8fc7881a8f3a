/**
 * `weir import FILE…`: fixtures of what another program has recorded.
 *
 * @module
 */

import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { importFixtures } from "../sources/fixtures/import.ts";
import { fixturesJson, fixturesYaml } from "../sources/fixtures/import_text.ts";
import { readRecordings } from "../sources/recordings/read.ts";
import { defineCommand } from "./command.ts";
import { textFlag } from "./flags.ts";
import { EXIT, Failure } from "./terminal.ts";

/** Files are read whole. */
const FILE_BYTES_MAX = 512 * 1024 * 1024;

/** Makes a file of fixtures. */
export const importRecordings = defineCommand({
  name: "import",
  summary: "make fixtures of recorded traffic: VCR cassettes, .llmcap.jsonl",
  details: "What cannot be taken is told, one line each, and so is what is lost. " +
    "No header of a request gets into a fixture.",
  operands: {
    files: {
      name: "FILE",
      text: "cassettes of VCR, as YAML or JSON, and captures of mock-openai-api",
      isRepeated: true,
      completes: "files",
    },
  },
  flags: {
    out: textFlag({
      short: "o",
      value: "FILE",
      text: "where the fixtures go; one that is there already is not overwritten",
      notes: ["default standard output", ".json = as JSON, anything else as YAML"],
      completes: "files",
      mustHaveText: true,
    }),
  },
  examples: [
    { line: "weir import cassettes/*.yaml -o fixtures.yaml", text: "all cassettes of a folder" },
    { line: "weir import call.llmcap.jsonl", text: "one call with its times, to look at" },
  ],
  exits: {
    [EXIT.done]: "there are fixtures; what could not be taken was told",
    [EXIT.failed]: "a file cannot be read or written, or there was nothing to take",
  },
  async run({ flags: { out }, operands: { files } }, terminal) {
    if (out !== undefined && existsSync(out)) {
      throw new Failure(`${out} is there already, and is not overwritten`);
    }
    const read = files.map((file) => readRecordings(textOf(file), basename(file)));
    const recordings = read.flatMap(({ recordings }) => recordings);
    const { fixtures, untaken, notes } = await importFixtures(recordings);
    const unread = read.flatMap(({ untaken }) => untaken)
      .map(({ place, why }) => `${place}: not taken: ${why}`);
    for (const line of [...unread, ...untaken, ...notes]) terminal.complain(`weir: ${line}`);
    const lostCount = unread.length + untaken.length;
    const all = counted(recordings.length + unread.length, "recording");
    const count = `${counted(fixtures.length, "fixture")} of ${all}, ${lostCount} not taken`;
    if (fixtures.length === 0) throw new Failure(`Nothing was written: ${count}`);
    const text = out?.endsWith(".json") ? fixturesJson(fixtures) : fixturesYaml(fixtures);
    if (out === undefined) terminal.print(text.trimEnd());
    else write(out, text);
    terminal.complain(`weir: ${count}${out === undefined ? "" : `: ${out}`}`);
    return EXIT.done;
  },
});

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** @throws {Failure} when the file cannot be read. */
function textOf(file: string): string {
  try {
    if (statSync(file).size > FILE_BYTES_MAX) {
      throw new Failure(`Cannot read ${file}: it has more than ${FILE_BYTES_MAX} bytes`);
    }
    return readFileSync(file, "utf8");
  } catch (error) {
    throw failure(error, `Cannot read ${file}`);
  }
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: "wx" });
  } catch (error) {
    throw failure(error, `Cannot write ${file}`);
  }
}

function failure(error: unknown, what: string): Failure {
  if (error instanceof Failure) return error;
  const { code } = error as { readonly code?: string };
  const reason = code === "ENOENT" ? "there is no such file or folder" : code ?? String(error);
  return new Failure(`${what}: ${reason}`);
}
