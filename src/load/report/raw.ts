/**
 * One request with all its times, as a line of JSON.
 *
 * @module
 */

import { KIND, type RequestRecord } from "../record.ts";
import { snakeKeys } from "./json_text.ts";
import { remarksIn } from "../remarks.ts";

const NAMES = Object.entries(KIND);
const known = new Map<number, string>();

/** Where in its run a request was. */
export interface RawPlace {
  /** From 0, as stages are in the report. */
  readonly stage: number;
  /** From 0. */
  readonly round: number;
}

/**
 * The line, without its end. Times are milliseconds since the start of the round; what did not happen
 * is null. Each event: when it came, what it says, bytes on the wire, bytes of text. `ownTokens`: of the
 * answer as they were counted here; undefined = they were not.
 */
export function rawLine(
  record: RequestRecord,
  { stage, round }: RawPlace,
  ownTokens: number | undefined,
): string {
  const events: unknown[] = [];
  for (let i = 0; i < record.events; i++) {
    events.push([
      rounded(record.readMs[record.eventRead[i]!]!),
      kindsText(record.eventKinds[i]!),
      record.eventBytes[i],
      record.eventTextBytes[i],
    ]);
  }
  const { dueMs, sentMs, connectedMs, writtenMs, headMs, endMs } = record;
  return JSON.stringify({
    stage,
    round,
    number: record.number,
    endpoint: record.endpoint,
    session: record.session,
    turn: record.turn,
    warmup: record.isWarmup,
    outcome: record.outcome,
    status: record.status === 0 ? null : record.status,
    failure: record.failure ?? null,
    remarks: remarksIn(record.remarks),
    due_ms: rounded(dueMs),
    sent_ms: rounded(sentMs),
    resent_ms: rounded(record.resentMs),
    connected_ms: rounded(connectedMs),
    written_ms: rounded(writtenMs),
    head_ms: rounded(headMs),
    end_ms: rounded(endMs),
    body_bytes: record.bodyBytes,
    usage: record.usage === undefined ? null : snakeKeys(record.usage),
    prompt_tokens: rounded(record.promptTokens),
    own_tokens: ownTokens ?? null,
    reads: Array.from(
      { length: record.reads },
      (_, i) => [rounded(record.readMs[i]!), record.readBytes[i]],
    ),
    events,
  });
}

/** "choice+text" */
export function kindsText(kinds: number): string {
  let text = known.get(kinds);
  if (text === undefined) {
    text = NAMES.filter(([, bit]) => (kinds & bit) !== 0).map(([name]) => name).join("+");
    known.set(kinds, text);
  }
  return text;
}

/** To a microsecond; null = it is not known. */
function rounded(ms: number): number | null {
  return Number.isNaN(ms) ? null : Math.round(1000 * ms) / 1000;
}
