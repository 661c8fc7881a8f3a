/**
 * What an answer must keep to be a good one.
 *
 * @module
 */

import type { OwnValues } from "./metrics/own.ts";

/** What limits can be set on. */
export const SLO_NAMES = ["ttft", "tpot", "itl", "e2e"] as const;

/** The largest value of each, in milliseconds. `itl`: of the largest gap of an answer. */
export type Slo = Readonly<Partial<Record<typeof SLO_NAMES[number], number>>>;

/**
 * True when a completed answer keeps all of `slo`. What an answer has none of, such as the time per
 * output token of a single token, is kept.
 */
export function keeps(slo: Slo, values: OwnValues, largestGapMs: number): boolean {
  return within(values.ttftMs, slo.ttft) && within(values.tpotMs, slo.tpot) &&
    within(values.e2eMs, slo.e2e) && within(largestGapMs, slo.itl);
}

function within(ms: number | undefined, most: number | undefined): boolean {
  return ms === undefined || most === undefined || ms <= most;
}
