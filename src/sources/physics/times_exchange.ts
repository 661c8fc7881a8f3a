/**
 * Times of recorded exchanges: tapes, and captures of mock-openai-api. The pieces of an answer are
 * read as an upstream's are; tokens are counted where the answer does not tell them.
 *
 * @module
 */

import type { DialectName, Step, Usage } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import { ANSWER_READERS, LIMITS } from "../fixtures/import_answer.ts";
import { readRecordings } from "../recordings/read.ts";
import { type Piece, plainPieces, type Recording } from "../recordings/recording.ts";
import { readTape, TapeFault } from "../tape/format.ts";
import { encodingOf, TokenCounter } from "../tokens.ts";
import { type ReadTimes, type Times, TimesFault } from "./times.ts";

/** Texts above it are estimated. One piece of an answer is never that long. */
const COUNT_BYTES_MAX = 65_536;

/** How the path of a request ends, and what its answer is written in; the first that fits. */
const DIALECTS = [
  ["/chat/completions", "openai_chat"],
  ["/responses", "openai_responses"],
  ["/messages", "anthropic_messages"],
  ["/completions", "openai_completions"],
] as const satisfies readonly (readonly [string, DialectName])[];

/** The dialects whose answers are read. */
type Dialect = (typeof DIALECTS)[number][1];

/**
 * The times of the tape in `bytes`, of a file that is called `file`.
 *
 * @throws {TimesFault} when it is no whole tape.
 */
export async function readTapeTimes(
  bytes: Uint8Array<ArrayBuffer>,
  file: string,
): Promise<ReadTimes> {
  const left = (why: string): ReadTimes => ({ format: "a tape", times: [], notes: [why] });
  let tape;
  try {
    tape = readTape(bytes);
  } catch (error) {
    if (!(error instanceof TapeFault)) throw error;
    throw new TimesFault(`${file}:${error.line}:1: ${error.message.replace(/^line \d+: /, "")}`);
  }
  const { response, ending } = tape;
  if (ending.how !== "whole") return left(`left out: it ended as ${ending.how}`);
  const recording: Recording = {
    place: file,
    method: tape.request.method,
    path: (tape.base + tape.request.path).replace(/\?.*/, ""),
    request: tape.request.body,
    status: response!.status,
    fields: new Map(response!.fields.map(([name, value]) => [name.toLowerCase(), value])),
    pieces: tape.reads,
    hasTimes: true,
  };
  const times = await timesOfRecording(recording);
  return typeof times === "string" ? left(times) : { format: "a tape", times: [times], notes: [] };
}

/** The times of the captures in `text`; undefined = it is none. */
export async function readCaptureTimes(text: string, file: string): Promise<ReadTimes> {
  const { recordings, untaken } = readRecordings(text, file);
  const [fault] = untaken;
  if (fault !== undefined) throw new TimesFault(`${file}:1:1: ${fault.why}`);
  const read = await Promise.all(recordings.map(timesOfRecording));
  return {
    format: "a capture",
    times: read.filter((one) => typeof one !== "string"),
    notes: read.filter((one) => typeof one === "string"),
  };
}

/** The times of an exchange, or why it has none. */
async function timesOfRecording(recording: Recording): Promise<Times | string> {
  const { place, path, status, fields } = recording;
  const dialect: Dialect | undefined = DIALECTS.find(([end]) => path.endsWith(end))?.[1];
  if (dialect === undefined) return `left out: weir reads no answers of ${path}`;
  if (status >= 300) return `left out: its status is ${status}`;
  if (!(fields.get("content-type") ?? "text/event-stream").includes("event-stream")) {
    return "left out: its answer is no stream";
  }
  const pieces = await plainPieces(recording);
  if (pieces === undefined) return "left out: the encoding of its answer cannot be undone";
  try {
    return timesOfPieces(place, dialect, pieces, modelIn(recording.request));
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return `left out: ${error.message}`;
  }
}

/** The model that a request names, for its encoding; "" = none. */
function modelIn(request: Uint8Array): string {
  const [, model = ""] = /"model"\s*:\s*"([^"\\]*)"/.exec(new TextDecoder().decode(request)) ?? [];
  return model;
}

/** @throws {AppError} when it is no whole answer. */
function timesOfPieces(
  place: string,
  dialect: Dialect,
  pieces: readonly Piece[],
  model: string,
): Times | string {
  const counter = new TokenCounter(COUNT_BYTES_MAX, encodingOf(model));
  const reader = ANSWER_READERS[dialect]({ get: () => null }, LIMITS);
  const atMs: number[] = [];
  const tokens: number[] = [];
  let usage: Usage | undefined;
  const take = (steps: readonly Step[], atUs: number) => {
    usage = steps.findLast((step) => step.kind === "usage")?.usage ?? usage;
    const text = steps.map(textIn).join("");
    if (text === "") return;
    atMs.push(atUs / 1000);
    tokens.push(Math.max(1, counter.count(text)));
  };
  for (const { bytes, atUs } of pieces) {
    if (reader.isDone) break;
    take(reader.feed(bytes), atUs);
  }
  take(reader.end(), pieces.at(-1)?.atUs ?? 0);
  const [firstTokenMs] = atMs;
  if (firstTokenMs === undefined) return "left out: its answer says nothing";
  return {
    place,
    firstTokenMs,
    gapsMs: atMs.slice(1).map((ms, index) => ms - atMs[index]!),
    gapTokens: tokens.slice(1),
    totalMs: atMs.at(-1)!,
    outputTokens: usage?.completionTokens ?? tokens.reduce((sum, count) => sum + count, 0),
    ...(usage === undefined ? {} : { promptTokens: usage.promptTokens }),
    ...(usage?.cachedTokens === undefined ? {} : { cachedTokens: usage.cachedTokens }),
  };
}

/** What a model has said in a step; "" = nothing. */
function textIn(step: Step): string {
  return step.kind === "delta" || step.kind === "arguments" ? step.text : "";
}
