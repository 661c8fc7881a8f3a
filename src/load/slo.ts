/**
 * What an answer must keep to be a good one.
 *
 * @module
 */

import type { OwnValues } from "./metrics/own.ts";

/** What limits can be set on. */
export const SLO_NAMES = ["ttft", "tpot", "itl", "e2e"] as const;

/** What a limit is set on. */
export type SloName = typeof SLO_NAMES[number];

/** The largest value of each, in milliseconds. `itl`: of the largest gap of an answer. */
export type Slo = Readonly<Partial<Record<SloName, number>>>;

/** The figures of one answer that limits can be set on; undefined = it has none. */
export type SloFigures = Readonly<Record<SloName, number | undefined>>;

/** How an answer stands to its limits. "none": it has none of the figures that they are set on. */
export type SloVerdict = "kept" | "missed" | "none";

/** The figures of one answer. */
export function sloFigures(values: OwnValues, largestGapMs: number | undefined): SloFigures {
  return { ttft: values.ttftMs, itl: largestGapMs, tpot: values.tpotMs, e2e: values.e2eMs };
}

/** Judges an answer by the figures that it has. */
export function judged(slo: Slo, figures: SloFigures): SloVerdict {
  let verdict: SloVerdict = "none";
  for (const name of SLO_NAMES) {
    const [ms, most] = [figures[name], slo[name]];
    if (ms === undefined || most === undefined) continue;
    if (ms > most) return "missed";
    verdict = "kept";
  }
  return verdict;
}

/** What limits are set on, in words. */
export const SLO_FIGURES: Readonly<Record<SloName, string>> = {
  ttft: "time to the first token",
  tpot: "time per output token",
  itl: "gap between tokens",
  e2e: "time to its end",
};

/** The limit that no answer can be held against where none is a stream; undefined = there is none. */
export function unjudgeable(slo: Slo | undefined): SloName | undefined {
  return SLO_NAMES.find((name) => name !== "e2e" && slo?.[name] !== undefined);
}
