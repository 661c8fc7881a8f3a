/**
 * `weir tape show`: all that a tape holds, for people or as JSON.
 *
 * @module
 */

import { isUtf8 } from "node:buffer";
import type { Field } from "../lib/http1/fields.ts";
import { type Piece, plainPieces } from "../sources/recordings/recording.ts";
import { recorded } from "../sources/recordings/tape.ts";
import { bodyOfTape, type Tape, type TapeResponse } from "../sources/tape/format.ts";
import { tapeAt, type TapePath } from "./tape_files.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import { counted, msText, sizeText } from "./units.ts";

/** What a terminal would obey: everything that is no character to be seen, line ends aside. */
// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Prints the tapes of `files`; one that is broken is told, and makes the exit code 1. */
export async function showTapes(
  files: readonly TapePath[],
  json: boolean,
  terminal: Terminal,
): Promise<number> {
  let code: number = EXIT.done;
  for (const [at, file] of files.entries()) {
    if (at > 0 && !json) terminal.print("");
    try {
      const tape = tapeAt(file);
      if (json) terminal.print(JSON.stringify(jsonOf(tape), null, 2));
      else for await (const line of linesOf(tape)) terminal.print(seen(line));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      code = error.exitCode;
      terminal.complain(`weir: ${error.message}`);
    }
  }
  return code;
}

async function* linesOf(tape: Tape): AsyncIterable<string> {
  const { id, when, weir, upstream, host, base, dialect, request, response, ending } = tape;
  yield id;
  yield `${when}, upstream ${upstream} at ${host}, ${dialect}, recorded by weir ${weir}`;
  yield "";
  yield `${request.method} ${base}${request.path}`;
  yield* fieldLines(request.fields);
  if (request.body.length > 0) {
    yield "";
    yield* bodyLines(request.body);
  }
  yield "";
  if (response === undefined) yield "no answer";
  else yield* answerLines(tape, response);
  yield "";
  const { reads } = tape;
  const bytes = reads.reduce((sum, { bytes }) => sum + bytes.length, 0);
  yield `${ending.how} after ${msText(ending.atUs)}: ` +
    `${counted(reads.length, "piece")}, ${sizeText(bytes)}`;
  if (ending.error !== "") yield ending.error;
  for (const { where, name, at, bytes, by } of tape.redactions) {
    const field = name === undefined ? "" : ` ${name}`;
    yield `redacted: ${where}${field}, ${bytes} bytes from byte ${at}, by ${by}`;
  }
}

async function* answerLines(tape: Tape, response: TapeResponse): AsyncIterable<string> {
  const { status, reason, atUs, fields } = response;
  yield `${`${status} ${reason}`.trimEnd()} after ${msText(atUs)}`;
  yield* fieldLines(fields);
  if (tape.reads.length === 0) return;
  yield "";
  const pieces = await plainPieces(recorded(tape, response, ""));
  if (pieces !== undefined && isUtf8(Buffer.concat(pieces.map(({ bytes }) => bytes)))) {
    yield* pieceLines(pieces);
    return;
  }
  for (const { bytes, atUs } of tape.reads) yield `${timeText(atUs)}  ${bytes.length} bytes`;
}

/** Each piece with its time; a character stands where its last byte came. */
function* pieceLines(pieces: readonly Piece[]): Iterable<string> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  for (const { bytes, atUs } of pieces) {
    const lines = decoder.decode(bytes, { stream: true }).split(/\r\n|\n|\r/)
      .filter((line) => line !== "");
    const indent = " ".repeat(timeText(atUs).length);
    if (lines.length === 0) yield `${timeText(atUs)}  ${bytes.length} bytes`;
    for (const [at, line] of lines.entries()) {
      yield `${at === 0 ? timeText(atUs) : indent}  ${line}`;
    }
  }
}

function timeText(us: number): string {
  return msText(us).padStart(12);
}

function* fieldLines(fields: readonly Field[]): Iterable<string> {
  for (const [name, value] of fields) yield `${name}: ${value}`;
}

/** JSON is laid out, other text stands as it is. */
function* bodyLines(body: Uint8Array): Iterable<string> {
  if (!isUtf8(body)) return yield `${body.length} bytes`;
  const text = new TextDecoder().decode(body);
  yield* laidOut(text).split("\n");
}

function laidOut(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** `line` without what a terminal would obey. */
function seen(line: string): string {
  return line.replaceAll(
    CONTROL,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Bodies as text where they are UTF-8, else as base64. */
function jsonOf(tape: Tape): unknown {
  const { request, response, reads, ...rest } = tape;
  return {
    ...rest,
    request: { ...request, body: undefined, ...bytesAs("body", request.body) },
    response: response ?? null,
    ...bytesAs("answer", bodyOfTape(tape)),
    reads: reads.map(({ bytes, atUs }) => ({ atUs, ...bytesAs("text", bytes) })),
  };
}

function bytesAs(name: string, bytes: Uint8Array): Readonly<Record<string, string>> {
  return isUtf8(bytes)
    ? { [name]: Buffer.from(bytes).toString() }
    : { [`${name}_base64`]: Buffer.from(bytes).toString("base64") };
}
