/**
 * Records written by hand, for tests.
 *
 * @module
 */

import { Recording, type ToldUsage } from "../../src/load/record.ts";

/** One event: when it came, what it says (bits of `KIND`), its text. */
export type ToldEvent = readonly [atMs: number, kinds: number, text?: string];

/** What a record says besides its events. */
export interface ToldRecord {
  readonly dueMs?: number;
  readonly sentMs?: number;
  readonly endMs?: number;
  readonly usage?: ToldUsage;
  readonly outcome?: Recording["outcome"];
  readonly status?: number;
  readonly isWhole?: boolean;
}

/** A record of an answer whose events came one by one. Completed, unless it says otherwise. */
export function recorded(events: readonly ToldEvent[], facts: ToldRecord = {}): Recording {
  const record = new Recording();
  record.dueMs = facts.dueMs ?? 0;
  record.sentMs = facts.sentMs ?? record.dueMs;
  record.status = facts.status ?? 200;
  record.headMs = events[0]?.[0] ?? NaN;
  for (const [atMs, kinds, text = ""] of events) {
    const said = Buffer.from(JSON.stringify(text));
    record.read(atMs, said.length);
    record.event(kinds, said.length, said, 1, said.length - 1);
  }
  record.endMs = facts.endMs ?? events.at(-1)?.[0] ?? NaN;
  record.usage = facts.usage;
  record.outcome = facts.outcome ?? "completed";
  record.isWhole = facts.isWhole ?? record.outcome === "completed";
  return record;
}
