/**
 * Faults that are planned for one answer, and how a dialect edits its events for them. Who plans them
 * is a source; what happens to the bytes the driver carries out (`faulty_writer.ts`).
 *
 * @module
 */

/** Every fault by its name; what each takes is said in `src/config/faults.ts`. */
export const FAULT_NAMES = [
  "refuse",
  "hang",
  "status",
  "fail-first",
  "rate-limit",
  "slow-head",
  "slow-first",
  "stall",
  "trickle",
  "cut",
  "cut-clean",
  "reset",
  "half-open",
  "error-event",
  "html-200",
  "json-200",
  "malformed",
  "split",
  "glue",
  "framing",
  "no-done",
  "double-done",
  "after-done",
  "dup",
  "reorder",
  "index-gap",
  "usage-late",
  "usage-missing",
  "usage-twice",
  "no-finish",
  "no-role",
  "filter",
  "huge",
  "length-lie",
  "slow-close",
  "close-idle",
] as const;

/** One of them. */
export type FaultName = (typeof FAULT_NAMES)[number];

/** Faults of which every dialect has a way of its own, or has none. */
export type EditedFault = Extract<
  FaultName,
  | "error-event"
  | "malformed"
  | "framing"
  | "no-done"
  | "double-done"
  | "after-done"
  | "dup"
  | "reorder"
  | "index-gap"
  | "usage-late"
  | "usage-missing"
  | "usage-twice"
  | "no-finish"
  | "no-role"
  | "filter"
>;

/** Where in an answer something happens. */
export interface FaultPlace {
  /**
   * "event": whole events of a stream, comments not counted. "byte": bytes of the body. "ms":
   * milliseconds after the request. "share": a part of the body, 0 to 1.
   */
  readonly unit: "event" | "byte" | "ms" | "share";
  readonly at: number;
}

/** One fault as it is planned. */
export interface PlannedFault {
  readonly name: FaultName;
  /** Absent: where the fault says so, its usual place. */
  readonly place?: FaultPlace;
  /** What else was said, by its key, and what is usual of the rest: a key without either is absent. */
  readonly keys: Readonly<Record<string, number | string>>;
}

/** What is planned for one answer. */
export interface FaultPlan {
  /** In the order in which they were written, which is the order in which they take an answer. */
  readonly faults: readonly PlannedFault[];
  /** Chance of this request, 0 < x < 1: the same for the same purpose and index, in every run. */
  readonly draw: (purpose: string, index?: number) => number;
}

/**
 * Edits the events of one stream. It gets each whole event as text, blank line and all, in order and
 * without comments, and gives what is sent in its place: whole events, or "" for nothing. What it
 * holds back it gives later.
 */
export interface EventEdit {
  /** True from when it has changed something: the fault has happened. */
  readonly hasHappened: boolean;
  /** True: nothing follows what it gave last, and the body ends there as HTTP has it. */
  readonly isOver: boolean;
  /**
   * What is sent in place of `event`. `isHere`: it is the one at which the fault's place lies, true
   * once in a stream. Of a fault without a place it is never true.
   */
  event(event: string, isHere: boolean): string;
  /** What is sent behind the last event, before the body ends. Not called when the stream breaks off. */
  end(): string;
}

/** How a dialect has one fault. A way that is absent is none: the fault is refused there. */
export interface FaultEdit {
  /** Why the dialect cannot have it, for whoever asks for it: "its events have no roles". */
  readonly why?: string;
  /** Of a stream. `draw`: chance of this fault alone, 0 < x < 1. */
  stream?(fault: PlannedFault, draw: (index: number) => number): EventEdit;
  /** Of an answer in one piece: `body` with the fault in it; the same text = it cannot have it. */
  whole?(body: string, fault: PlannedFault, draw: (index: number) => number): string;
}

/** How a dialect has the faults that need its words; absent = it cannot have them. */
export type FaultEdits = { readonly [Name in EditedFault]?: FaultEdit };

/** The number that `fault` has under `key`. @throws {TypeError} when there is none: a bug. */
export function numberOf({ name, keys }: PlannedFault, key: string): number {
  const value = keys[key];
  if (typeof value !== "number") throw new TypeError(`${name} has no number under ${key}`);
  return value;
}

/** The text that `fault` has under `key`; undefined = none was said. */
export function wordOf({ keys }: PlannedFault, key: string): string | undefined {
  const value = keys[key];
  return value === undefined ? undefined : String(value);
}
