/**
 * Which faults an answer can have, by what is known of it: before it is asked for, and when it begins.
 *
 * @module
 */

import type { Ask } from "./answer.ts";
import { AppError } from "./errors.ts";
import type { FaultEdit, FaultEdits, FaultName, FaultPlan, PlannedFault } from "./fault_plan.ts";
import { FAULT_TRAITS } from "./fault_traits.ts";
import { HUGE } from "./huge_event.ts";
import type { Turn } from "./turn.ts";

/** What is known of an answer before it begins. */
export interface AnswerShape {
  readonly isStream: boolean;
  /** True: it is known how long its body is, when it begins. */
  readonly isLengthKnown: boolean;
}

/** How an answer has `fault` whose dialect has `edits`; undefined = it has no words for it. */
export function editOf(
  { name }: PlannedFault,
  edits: FaultEdits | undefined,
): FaultEdit | undefined {
  if (name === "huge") return HUGE;
  const known: Readonly<Partial<Record<FaultName, FaultEdit>>> = edits ?? {};
  return known[name];
}

/** Why an answer of `shape` at `surface` cannot have `fault`; undefined = it can. */
export function whyNot(
  fault: PlannedFault,
  { isStream, isLengthKnown }: AnswerShape,
  edits: FaultEdits | undefined,
  surface: string,
): string | undefined {
  const { name, place } = fault;
  const { stage, isOfStream } = FAULT_TRAITS[name];
  if (stage === "edit" || stage === "swell") {
    const edit = editOf(fault, edits);
    if (edit === undefined) return `${surface} has no such thing`;
    if (edit.why !== undefined) return edit.why;
    if (isStream && edit.stream === undefined) return "it is a stream";
    if (!isStream && edit.whole === undefined) return "it is no stream";
  }
  if (!isStream && isOfStream) return "it is no stream";
  if (!isStream && place?.unit === "event") return "it has no events, as it is no stream";
  if (!isStream && name === "cut-clean" && place?.unit === "ms") {
    return "its length is told before: give its place in byte or share";
  }
  const needsLength = name === "length-lie" || place?.unit === "share";
  if (needsLength && !isLengthKnown) {
    return "its length is not known before it ends" +
      (name === "length-lie" ? "" : ": give its place in event, byte or ms");
  }
  return undefined;
}

/** The error that an answer cannot have `fault`. */
export function impossible({ name }: PlannedFault, why: string): AppError {
  return new AppError("fault_impossible", `This answer cannot have the fault ${name}: ${why}`);
}

/**
 * Who will answer: weir says what was asked for and no more, an upstream may say anything, and how long its
 * streams are nobody knows; or nobody knows yet which of them.
 */
export type Answering = "weir" | "upstream" | "either";

/**
 * Looks at what is asked whether its answer can have the faults of `plan`, as far as that can be known:
 * nothing is asked in vain, and nothing waited for.
 *
 * @throws {AppError} `fault_impossible`.
 */
export function checkAsked(
  { faults }: FaultPlan,
  ask: Ask,
  surface: string,
  who: Answering,
): void {
  const { manner } = ask;
  const turn = manner === undefined ? undefined : turnOf(ask);
  if (turn === undefined) return;
  const { isStream } = turn;
  const shape = { isStream, isLengthKnown: who !== "upstream" || !isStream };
  for (const fault of faults) {
    if (fault.mayMiss) continue;
    const why = whyNot(fault, shape, manner?.faultEdits, surface) ??
      (who === "weir" ? editOf(fault, manner?.faultEdits)?.whyNot?.(turn) : undefined);
    if (why !== undefined) throw impossible(fault, why);
  }
}

/** What `ask` asks; undefined = nobody here can read it. */
function turnOf(ask: Ask): Turn | undefined {
  try {
    return ask.turn();
  } catch {
    return undefined; // whoever is asked says what is wrong with it
  }
}
