/**
 * Streams with faults in them: what an edit makes of events.
 *
 * @module
 */

import { parseFaults } from "../../src/config/faults.ts";
import type { EditedFault, FaultEdits, PlannedFault } from "../../src/core/fault_plan.ts";

/** What came of a stream. */
export interface Edited {
  readonly events: readonly string[];
  /** What each event became, and what was said behind the last one. */
  readonly pieces: readonly string[];
  readonly text: string;
  readonly hasHappened: boolean;
  readonly isOver: boolean;
}

/** The event of a place that nobody told. */
const USUAL_EVENT = 2;

/** The fault that `written` plans, for a stream or a whole answer. */
export function planned(written: string): PlannedFault & { readonly name: EditedFault } {
  const [fault] = parseFaults(written);
  return fault as PlannedFault & { readonly name: EditedFault };
}

/** `text` with the fault `written` in it: "filter@event=3". Its events end in two LF or CRLF. */
export function edited(edits: FaultEdits, text: string, written: string): Edited {
  const fault = planned(written);
  const edit = edits[fault.name]?.stream?.(fault, () => 0.5);
  if (edit === undefined) throw new Error(`There is no edit for ${written}`);
  const events = eventsOf(text);
  const pieces: string[] = [];
  const here = fault.place?.at ?? USUAL_EVENT;
  for (const [i, event] of events.entries()) {
    if (edit.isOver) break;
    pieces.push(edit.event(event, i + 1 === here));
  }
  pieces.push(edit.isOver ? "" : edit.end());
  const { hasHappened, isOver } = edit;
  return { events, pieces, text: pieces.join(""), hasHappened, isOver };
}

/** The events of `text`, each with its empty line. */
export function eventsOf(text: string): readonly string[] {
  return text.match(/[^]*?(?:\r\n\r\n|\n\n)/g) ?? [];
}

/** The JSON in each event of `text` that has some. */
export function jsonsIn(text: string): readonly Record<string, unknown>[] {
  return eventsOf(text).flatMap((event) => {
    const data = /^data: ?(\{.*)$/m.exec(event)?.[1];
    return data === undefined ? [] : [JSON.parse(data) as Record<string, unknown>];
  });
}
