/**
 * The hot path: an answer whose frames are all due leaves in one write. Nothing rare lives here.
 *
 * @module
 */

import type { Exchange } from "./exchange.ts";
import { type Frames, stampWhole } from "./frames.ts";
import type { ResponseWriter } from "./response_writer.ts";
import type { Manner } from "./surface.ts";
import { completeTaken } from "./taken.ts";

/** True when every frame is due at once. */
export function isDueAtOnce({ dueMs }: Frames): boolean {
  return dueMs[dueMs.length - 1] === 0;
}

/** Answers with frames that are all due. */
export function reply(
  frames: Frames,
  exchange: Exchange,
  manner: Manner,
  writer: ResponseWriter,
): void {
  // In place: the writer takes the bytes before anybody else can write to the slots. A copy of our
  // own would double the garbage of a request.
  stampWhole(frames, manner.stamps.shared(frames.idCount));
  exchange.note?.left(frames.dueMs.length, -1);
  exchange.last(200);
  const untaken = writer.whole(200, manner.headers(exchange), frames.bytes);
  completeTaken(exchange, 200, frames.bytes.length, untaken);
}
