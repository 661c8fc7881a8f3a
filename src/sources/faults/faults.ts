/**
 * Faults in front of any source, the mock or an upstream: those that a request's own header asks for, or
 * else those of the config's rules that it meets.
 *
 * @module
 */

import { FaultTextError, parseFaults } from "../../config/faults.ts";
import { type Ask, askOf, type Source } from "../../core/answer.ts";
import type { StrikeUnasked } from "../../core/driver.ts";
import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import type { FaultPlan, PlannedFault } from "../../core/fault_plan.ts";
import { EMPTY_TURN } from "../../core/turn.ts";
import { fieldText } from "../../lib/http1/field_text.ts";
import type { Draws } from "../draws.ts";
import { type Asked, type Rule, strikesOf } from "./rules.ts";
import { checkPlan, isBefore, type StrikeDeps, struck } from "./strike.ts";

/** The header that asks for faults: cut@event=3 */
export const FAULT_HEADER = "x-weir-fault";

/** What all of them share. */
export interface FaultsDeps extends StrikeDeps {
  readonly draws: Draws;
  readonly rules: readonly Rule[];
}

/** What differs between sources. */
export interface FaultsPlace {
  /** True: requests may ask for faults of their own. */
  readonly takesHeader: boolean;
  /** True: no upstream answers here. */
  readonly isOwn: boolean;
  /** The model that `ask` names, or the default one. */
  readonly modelOf: (ask: Ask) => string;
  /** The name of the source that would answer it, fixtures aside. */
  readonly sourceOf: (ask: Ask, call: Call) => string;
}

/** Faults in front of `inner`. */
export function faults(inner: Source, place: FaultsPlace, deps: FaultsDeps): Source {
  return {
    name: inner.name,
    answer(ask, call) {
      const header = headerOf(call);
      if (header === null && deps.rules.length === 0) return inner.answer(ask, call);
      const asked: Asked = {
        model: () => place.modelOf(ask),
        source: () => place.sourceOf(ask, call),
      };
      const planned = plannedFor(header, { asked, ask, call, deps, ...place });
      if (planned === undefined) return inner.answer(ask, call);
      const { plan, label } = planned;
      checkPlan(plan, ask, call, place.isOwn ? "weir" : "either");
      return struck(plan, { call, deps, label }, () => inner.answer(ask, call));
    },
  };
}

/**
 * Faults of requests that no source is asked about, for the driver: weir answers by itself, or has
 * found something wrong.
 */
export function unaskedFaults(
  { takesHeader, modelOf }: Pick<FaultsPlace, "takesHeader"> & {
    readonly modelOf: (call: Call) => string;
  },
  deps: FaultsDeps,
): StrikeUnasked {
  const ask = askOf(EMPTY_TURN);
  return (call) => {
    const header = headerOf(call);
    if (header === null && deps.rules.length === 0) return undefined;
    const asked: Asked = { model: () => modelOf(call), source: () => "mock" };
    const planned = plannedFor(header, { asked, ask, call, deps, takesHeader });
    if (planned === undefined) return undefined;
    const { plan, label } = planned;
    return struck(plan, { call, deps, label }, () => undefined);
  };
}

/** The list of faults that a request asks for; null = it does not. */
function headerOf({ request }: Call): string | null {
  const text = request?.head.fields.get(FAULT_HEADER) ?? null;
  return text === null ? null : fieldText(text);
}

/** What is planned for a request, and by whom; undefined = nothing. */
function plannedFor(
  header: string | null,
  { asked, ask, call, deps: { draws, rules }, takesHeader }: {
    readonly asked: Asked;
    readonly ask: Ask;
    readonly call: Call;
    readonly deps: FaultsDeps;
    readonly takesHeader: boolean;
  },
): { readonly plan: FaultPlan; readonly label: string } | undefined {
  const { faults, label } = header === null
    ? strikesOf(rules, asked, call, () => draws.of(ask, call))
    : { faults: ownFaults(header, takesHeader), label: `header ${header}` };
  if (faults.length === 0) return undefined;
  const draw = draws.of(ask, call);
  return { plan: { faults, draw: (purpose, index) => draw.at(purpose, index) }, label };
}

/**
 * Plans the faults that a request asks for itself and that no source answers, such as a workflow's run.
 *
 * @throws {AppError} `fault_refused`, or `fault_impossible` for what only a source can do.
 */
export function planOwn(
  { draws, takesHeader }: Pick<FaultsDeps, "draws"> & Pick<FaultsPlace, "takesHeader">,
): (call: Call) => void {
  return (call) => {
    const header = headerOf(call);
    if (header === null) return;
    const faults = ownFaults(header, takesHeader);
    const before = faults.find(isBefore);
    if (before !== undefined) {
      throw new AppError(
        "fault_impossible",
        `This answer cannot have the fault ${before.name}: a workflow has faults of its stream only`,
      );
    }
    const draw = draws.of(askOf(EMPTY_TURN), call);
    call.faults = { faults, draw: (purpose, index) => draw.at(purpose, index) };
  };
}

/**
 * The faults that a request asks for itself.
 *
 * @throws {AppError} `fault_refused` when it may not, or asks for what there is not.
 */
function ownFaults(header: string, isTaken: boolean): readonly PlannedFault[] {
  if (!isTaken) {
    throw new AppError(
      "fault_refused",
      `${FAULT_HEADER} is not obeyed here, as an upstream may answer: set faults.header: true, or ` +
        "leave the header out",
    );
  }
  try {
    return parseFaults(header);
  } catch (error) {
    if (!(error instanceof FaultTextError)) throw error;
    throw new AppError("fault_refused", `${FAULT_HEADER}: ${error.message}`);
  }
}
