/**
 * When the events of a record came.
 *
 * @module
 */

import { eventMs, firstOf, isOnePiece, KIND, type RequestRecord } from "../record.ts";
import { known } from "./values.ts";

/**
 * When each event with one of `kinds` came, after the request was sent. An answer in one piece has none:
 * it is no stream, and there is no first token and no gap.
 */
export function timesOf(record: RequestRecord, kinds: number): readonly number[] {
  if (isOnePiece(record)) return [];
  const times: number[] = [];
  for (let i = 0; i < record.events; i++) {
    if ((record.eventKinds[i]! & kinds) !== 0) times.push(eventMs(record, i) - record.sentMs);
  }
  return times;
}

/** When the last event with one of `kinds` came; of an answer in one piece, when it was over. */
export function lastMsOf(record: RequestRecord, kinds: number): number | undefined {
  return isOnePiece(record) ? known(record.endMs - record.sentMs) : timesOf(record, kinds).at(-1);
}

/** When the end mark came, else the end of the body; undefined = neither did. */
export function doneMs(record: RequestRecord): number | undefined {
  const index = firstOf(record, KIND.done);
  return known((index < 0 ? record.endMs : eventMs(record, index)) - record.sentMs);
}

/** When the last event came that is no comment, end marks included; undefined = none came. */
export function lastEventMs(record: RequestRecord, withoutKinds: number): number | undefined {
  for (let i = record.events - 1; i >= 0; i--) {
    if ((record.eventKinds[i]! & withoutKinds) === 0) return eventMs(record, i) - record.sentMs;
  }
  return undefined;
}
