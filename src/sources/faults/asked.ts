/**
 * An upstream is not asked, nor paid, for an answer that cannot have the faults that are planned for it.
 *
 * @module
 */

import type { Source } from "../../core/answer.ts";
import { checkAsked } from "../../core/fault_shape.ts";

/** `inner`, which answers streams of whose length nobody knows anything. */
export function faultsChecked(inner: Source): Source {
  return {
    name: inner.name,
    answer(ask, call) {
      const { faults } = call;
      if (faults !== undefined && call.request !== undefined) {
        call.faults = { ...faults, faults: [] }; // the error that says so has none
        checkAsked(faults, ask, call.surface, "upstream");
        call.faults = faults;
      }
      return inner.answer(ask, call);
    },
  };
}
