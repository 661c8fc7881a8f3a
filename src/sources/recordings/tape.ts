/**
 * weir's own tapes (`*.tape.jsonl`): one exchange a file, with the time of every read.
 *
 * @module
 */

import { readTape, type Tape, TapeFault, type TapeResponse } from "../tape/format.ts";
import { keptFields, pathOf, type Recording, type Recordings } from "./recording.ts";

/** How a tape's file begins. */
const START = /^\{"n":1,"tape":/;

/** Why nothing is made of a tape that ended so. */
const ENDS: Readonly<Record<Exclude<Tape["ending"]["how"], "whole">, string>> = {
  client_left: "its client left before the answer had ended",
  upstream_broke: "its answer broke off",
  timed_out: "its answer did not come in time",
};

/** The exchange in `text`, a tape that is called `file`; undefined = it is none. */
export function readTapeText(text: string, file: string): Recordings | undefined {
  if (!START.test(text)) return undefined;
  const untaken = (why: string) => ({ recordings: [], untaken: [{ place: file, why }] });
  let tape: Tape;
  try {
    tape = readTape(new TextEncoder().encode(text));
  } catch (error) {
    if (!(error instanceof TapeFault)) throw error;
    return untaken(error.message);
  }
  const read = recordingOf(tape, file);
  return typeof read === "string" ? untaken(read) : { recordings: [read], untaken: [] };
}

/** The exchange of `tape`, which is called `place`, or why nothing is made of it. */
export function recordingOf(tape: Tape, place: string): Recording | string {
  const { response, ending } = tape;
  if (ending.how !== "whole") return ENDS[ending.how];
  return response === undefined ? "nothing was answered" : recorded(tape, response, place);
}

/** The exchange of `tape` as far as it went. */
export function recorded(
  { base, request, reads }: Tape,
  { status, fields }: TapeResponse,
  place: string,
): Recording {
  return {
    place,
    method: request.method,
    path: pathOf(base + request.path) ?? request.path,
    request: request.body,
    status,
    fields: keptFields(fields),
    pieces: reads,
    hasTimes: true,
  };
}
