/**
 * When the events of a record came.
 *
 * @module
 */

import { eventMs, firstOf, KIND, type RequestRecord } from "../record.ts";
import { known } from "./values.ts";

/** When each event with one of `kinds` came, after the request was sent. */
export function timesOf(record: RequestRecord, kinds: number): readonly number[] {
  const times: number[] = [];
  for (let i = 0; i < record.events; i++) {
    if ((record.eventKinds[i]! & kinds) !== 0) times.push(eventMs(record, i) - record.sentMs);
  }
  return times;
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
