/**
 * `weir tape diff`: what differs between two tapes.
 *
 * @module
 */

import { plainPieces } from "../sources/recordings/recording.ts";
import { recorded } from "../sources/recordings/tape.ts";
import { bodyOfTape, type Tape } from "../sources/tape/format.ts";
import { type Compared, tapeDifferences } from "../sources/tape/differences.ts";
import { EXIT, type Terminal } from "./terminal.ts";

/** Prints what `one` has in place of what `other` has. Other times alone are no difference. */
export async function diffTapes(one: Tape, other: Tape, terminal: Terminal): Promise<number> {
  const found = tapeDifferences(await compared(one), await compared(other));
  const sections = [
    ["request", found.asked],
    ["answer", found.answered],
    ["pieces", found.pieces],
    ["times", found.times],
  ] as const;
  for (const [name, lines] of sections) {
    if (lines.length > 0) terminal.print(`${name}:`);
    for (const line of lines) terminal.print(`  ${line}`);
  }
  const count = found.asked.length + found.answered.length + found.pieces.length;
  if (count > 0) return EXIT.failed;
  terminal.print(found.times.length === 0 ? "no difference" : "no difference but the times");
  return EXIT.done;
}

async function compared(tape: Tape): Promise<Compared> {
  const { response } = tape;
  const pieces = response && await plainPieces(recorded(tape, response, ""));
  const answer = pieces === undefined
    ? bodyOfTape(tape)
    : Buffer.concat(pieces.map(({ bytes }) => bytes));
  return { tape, answer };
}
