/**
 * weir's own definitions. A token event is one with text, reasoning or a piece of a tool call.
 *
 * - time to first token: to the first token event
 * - inter-token latency: every gap between two token events
 * - time per output token: from the first token event to the last, by the tokens less one
 * - end to end: to the last byte of the answer
 *
 * An answer in one piece has no first token and no gaps. How its request ended says which of them an
 * answer has at all: `MEASURED`.
 *
 * All of them from when the request should have been sent; `service` from when it was.
 *
 * @module
 */

import {
  eventMs,
  firstOf,
  isOnePiece,
  KIND,
  lastOf,
  MEASURED,
  type RequestRecord,
  TOKENS,
} from "../record.ts";
import { known } from "./values.ts";

/** One request. Times are milliseconds; undefined where there is no such thing, or it is no figure. */
export interface OwnValues {
  readonly ttftMs: number | undefined;
  /** To the first event that is no comment. */
  readonly firstEventMs: number | undefined;
  readonly firstTextMs: number | undefined;
  readonly firstReasoningMs: number | undefined;
  readonly tpotMs: number | undefined;
  readonly e2eMs: number | undefined;
  /** The same two from when the request was sent. */
  readonly serviceTtftMs: number | undefined;
  readonly serviceE2eMs: number | undefined;
  /** How long it waited in the client. */
  readonly queueMs: number;
  readonly connectMs: number | undefined;
}

/** The figures of one request. `outputTokens`: by whichever count there is. */
export function ownValues(record: RequestRecord, outputTokens: number | undefined): OwnValues {
  const { dueMs, sentMs, endMs, outcome } = record;
  const { inside, whole } = MEASURED[outcome];
  const isStream = inside && !isOnePiece(record);
  const first = isStream ? firstOf(record, TOKENS) : -1;
  const firstMs = first < 0 ? undefined : eventMs(record, first);
  const last = isStream ? lastOf(record, TOKENS) : -1;
  const e2eMs = whole ? known(endMs) : undefined;
  const tokens = outputTokens ?? 0;
  return {
    ttftMs: since(firstMs, dueMs),
    firstEventMs: isStream ? since(at(record, ~KIND.comment), dueMs) : undefined,
    firstTextMs: isStream ? since(at(record, KIND.text), dueMs) : undefined,
    firstReasoningMs: isStream ? since(at(record, KIND.reasoning), dueMs) : undefined,
    tpotMs: whole && tokens > 1 && last > first
      ? (eventMs(record, last) - firstMs!) / (tokens - 1)
      : undefined,
    e2eMs: since(e2eMs, dueMs),
    serviceTtftMs: since(firstMs, sentMs),
    serviceE2eMs: since(e2eMs, sentMs),
    queueMs: sentMs - dueMs,
    connectMs: connectMsOf(record),
  };
}

/** From when a connection was asked for to when it was ready; undefined = it was there. */
export function connectMsOf({ sentMs, resentMs, connectedMs }: RequestRecord): number | undefined {
  return since(known(connectedMs), known(resentMs) ?? sentMs);
}

/**
 * Calls `found` with every gap between two token events of an answer that has figures, and with how
 * much longer or shorter it may be than it was on the wire: the second event may have lain there, or
 * the first.
 */
export function eachGap(
  record: RequestRecord,
  found: (gapMs: number, offMs: number) => void,
): void {
  const { events, eventKinds, eventRead, readMs, readLateMs, outcome } = record;
  if (!MEASURED[outcome].inside) return;
  let before = -1;
  for (let i = 0; i < events; i++) {
    if ((eventKinds[i]! & TOKENS) === 0) continue;
    const read = eventRead[i]!;
    if (before >= 0) {
      found(readMs[read]! - readMs[before]!, Math.max(readLateMs[read]!, readLateMs[before]!));
    }
    before = read;
  }
}

function at(record: RequestRecord, kinds: number): number | undefined {
  const index = firstOf(record, kinds);
  return index < 0 ? undefined : eventMs(record, index);
}

function since(ms: number | undefined, startMs: number): number | undefined {
  return ms === undefined ? undefined : ms - startMs;
}
