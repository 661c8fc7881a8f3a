/**
 * Faults in front of any source, the mock or an upstream: those that a request's own header asks for, or
 * else those of the config's rules that it meets.
 *
 * @module
 */

import { FaultTextError, parseFaults } from "../../config/faults.ts";
import { type Answer, type Ask, askOf, type Source } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import type { PlannedFault } from "../../core/fault_plan.ts";
import { EMPTY_TURN } from "../../core/turn.ts";
import type { Draws } from "../draws.ts";
import { type Asked, type Rule, strikesOf } from "./rules.ts";
import { isBefore, type StrikeDeps, struck } from "./strike.ts";

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
  /** The model that `ask` names, or the default one. */
  readonly modelOf: (ask: Ask) => string;
  /** The name of the source that would answer it, fixtures aside. */
  readonly sourceOf: (ask: Ask, call: Call) => string;
}

/** Faults in front of `inner`. */
export function faults(inner: Source, place: FaultsPlace, deps: FaultsDeps): Source {
  const { draws, rules } = deps;

  /** `faults` happen to the answer. */
  function strike(
    faults: readonly PlannedFault[],
    label: string,
    ask: Ask,
    call: Call,
  ): Answer | Promise<Answer> {
    const draw = draws.of(ask, call);
    const plan = { faults, draw: (purpose: string, index?: number) => draw.at(purpose, index) };
    return struck(plan, { ask, call, deps, label }, () => inner.answer(ask, call));
  }

  return {
    name: inner.name,
    answer(ask, call) {
      const header = call.request?.head.fields.get(FAULT_HEADER) ?? null;
      if (header !== null) {
        return strike(ownFaults(header, place.takesHeader), `header ${header}`, ask, call);
      }
      if (rules.length === 0) return inner.answer(ask, call);
      const asked: Asked = {
        model: () => place.modelOf(ask),
        source: () => place.sourceOf(ask, call),
      };
      const { faults, label } = strikesOf(rules, asked, call, () => draws.of(ask, call));
      return faults.length === 0 ? inner.answer(ask, call) : strike(faults, label, ask, call);
    },
  };
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
    const header = call.request?.head.fields.get(FAULT_HEADER) ?? null;
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
