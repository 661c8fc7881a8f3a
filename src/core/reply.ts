/**
 * The hot path: answers with frames. Nothing rare lives here.
 *
 * @module
 */

import type { Exchange } from "./exchange.ts";
import { type Frames, stampWhole } from "./frames.ts";
import { PacedStream } from "./paced_stream.ts";
import type { Keeper, Voice } from "./voice.ts";

/**
 * Answers with `frames`: in one write when all are due at once, else each when it is due. With a
 * `keeper`, the last frame (the end mark) waits for it, and nothing else does.
 */
export function reply(
  frames: Frames,
  exchange: Exchange,
  voice: Voice,
  keeper?: Keeper,
): Response | Promise<Response> {
  const count = frames.dueMs.length;
  if (keeper === undefined && frames.dueMs[count - 1] === 0) {
    // In place: `Response` copies the bytes before anybody else can write to the slots. A copy of
    // our own would double the garbage of a request.
    stampWhole(frames, voice.stamps.sharedId(), voice.stamps.created());
    exchange.complete(200, frames.bytes.length);
    return new Response(frames.bytes, { headers: voice.headers(exchange) });
  }
  return new PacedStream(frames, exchange, voice, keeper).response();
}
