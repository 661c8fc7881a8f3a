/**
 * What weir does with each fault, and how a client meets it.
 *
 * @module
 */

import type { FaultName } from "./fault_plan.ts";

/** A fault as a client meets it: an error, an answer that breaks off, or one that cannot be read. */
export type Fault = "error" | "cut" | "malformed";

/** What carries a fault out: a stage of the writer; absent = its source, or head and ending. */
export type StageKind = "edit" | "cut" | "silence" | "glue" | "pace";

/** What is to be known of a fault. */
export interface FaultTraits {
  readonly stage?: StageKind;
  /** True: it happens at one event of a stream. */
  readonly isAtEvent?: true;
  /** True: only a stream can have it. */
  readonly isOfStream?: true;
  /** True: it needs an answer over HTTP, which a workflow's job has not. */
  readonly isOfWire?: true;
  /** Absent: a client that does everything right has the whole answer all the same. */
  readonly meets?: Fault;
}

/** In which order stages stand, the first one nearest to the source. */
export const STAGE_ORDER: readonly (readonly StageKind[])[] = [
  ["edit"],
  ["cut", "silence"],
  ["glue"],
  ["pace"],
];

const edit = { stage: "edit", isOfWire: true } as const;
const cut = { stage: "cut", isOfWire: true, meets: "cut" } as const;

/** How a client met an answer with `faults`; undefined = as one without. */
export function faultMetAs(faults: readonly FaultName[] = []): Fault | undefined {
  return faults.map((name) => FAULT_TRAITS[name].meets).find((meets) => meets !== undefined);
}

/** Every fault. */
export const FAULT_TRAITS: Readonly<Record<FaultName, FaultTraits>> = {
  refuse: { isOfWire: true, meets: "cut" },
  hang: { stage: "silence", meets: "cut" },
  status: { meets: "error" },
  "fail-first": { meets: "error" },
  "rate-limit": { meets: "error" },
  "slow-head": {},
  "slow-first": { stage: "silence", isOfWire: true },
  stall: { stage: "silence", isOfWire: true },
  trickle: { stage: "pace", isOfWire: true },
  cut,
  "cut-clean": cut,
  reset: cut,
  "half-open": cut,
  "error-event": { ...edit, isAtEvent: true, meets: "cut" },
  "html-200": { isOfWire: true, meets: "malformed" },
  "json-200": { isOfWire: true, meets: "malformed" },
  malformed: { ...edit, isAtEvent: true, meets: "malformed" },
  split: { stage: "pace", isOfWire: true },
  glue: { stage: "glue", isOfStream: true, isOfWire: true },
  framing: edit,
  "no-done": { ...edit, meets: "cut" },
  "double-done": edit,
  "after-done": edit,
  dup: { ...edit, isAtEvent: true },
  reorder: { ...edit, isAtEvent: true },
  "index-gap": { ...edit, isAtEvent: true },
  "usage-late": edit,
  "usage-missing": edit,
  "usage-twice": edit,
  "no-finish": edit,
  "no-role": edit,
  filter: { ...edit, isAtEvent: true },
  huge: { ...edit, isAtEvent: true },
  "length-lie": { isOfWire: true, meets: "cut" },
  "slow-close": { isOfWire: true },
  "close-idle": { isOfWire: true },
};
