/**
 * The fields that every stream of events begins with.
 *
 * @module
 */

import { HeaderBlock } from "../lib/http1/header_block.ts";

/** Nobody keeps the stream, and pages of other origins may read it. */
const OF_EVENTS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  "access-control-allow-origin": "*",
} as const;

/** nginx passes each event on at once. */
const UNBUFFERED = { "x-accel-buffering": "no" } as const;

/** What a stream's head says, `own` on top of what all have in common. */
export function sseFields(
  own: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  return { ...OF_EVENTS, ...UNBUFFERED, ...own };
}

/** The same, laid once. */
export function sseHeaders(own: Readonly<Record<string, string>> = {}): HeaderBlock {
  return HeaderBlock.of(sseFields(own));
}
