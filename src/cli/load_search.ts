/**
 * Of a stage, whether a search goes on above or below it, and what the search says in the end.
 *
 * @module
 */

import { NO_DESCRIPTOR, NO_PORT } from "../load/link.ts";
import type { LoadReport } from "../load/report/report.ts";
import { shown } from "../load/report/terminal.ts";
import type { Found, Stage, StageResult, StageVerdict } from "../load/shape/stages.ts";
import { EXIT } from "./terminal.ts";

/** What a stage tells whoever chooses the next one. `goodShareMin`: of its requests, for --slo. */
export function resultOf(stage: Stage, report: LoadReport, goodShareMin: number): StageResult {
  const { requests, requests_per_second, saturated_after_s } = report;
  return {
    stage,
    requestsPerSecond: requests.completed === 0 ? undefined : requests_per_second ?? undefined,
    verdict: verdictOf(report, goodShareMin),
    isSaturated: saturated_after_s !== null,
  };
}

/** A client that was late makes times longer, not shorter: limits that are kept in spite of it are kept. */
function verdictOf(report: LoadReport, goodShareMin: number): StageVerdict {
  const { requests, goodput, doubt, saturated_after_s } = report;
  const isGood = requests.failed === 0 && requests.completed > 0 &&
    doubt.unjudged.length === 0 && (goodput === null || goodput.share >= goodShareMin);
  const isSent = requests.not_sent === 0 && doubt.overload === null &&
    saturated_after_s === null;
  if (isGood && isSent) return "held";
  const hasFailedThere = requests.errors.some(({ text }) =>
    text !== NO_DESCRIPTOR && text !== NO_PORT
  );
  const hasAnswers = requests.completed + requests.left > 0;
  if (requests.failed === 0 && hasAnswers && doubt.unjudged.length > 0) return "unjudged";
  // Slow readers are what was asked for.
  const isClient = doubt.limit === "client" && doubt.notes.length === 0;
  return isClient && !hasFailedThere ? "unjudged" : "missed";
}

/** It in words, on a line of its own. */
export function searchLine({ held, missed, unjudged }: Found): string {
  const until = unjudged !== undefined
    ? `; ${shown(unjudged)}/s could not be judged: its report says why`
    : missed === undefined
    ? ""
    : `; ${shown(missed)}/s was not`;
  return held === undefined
    ? `\nNo rate was held${unjudged === undefined ? "" : until}.`
    : `\nThe highest rate that was held: ${shown(held)}/s${until}.`;
}

/**
 * 3 where a rate could not be judged: what was found is too low. What speaks against the times of its
 * stages does not speak against a rate.
 */
export function searchCode({ held, unjudged }: Found): number {
  if (unjudged !== undefined) return EXIT.doubtful;
  return held === undefined ? EXIT.failed : EXIT.done;
}
