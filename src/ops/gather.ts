/**
 * What the processes of one weir tell of themselves, brought together: whichever of them is asked,
 * it answers for all.
 *
 * @module
 */

import { mergeSnapshots, type MetricsSnapshot } from "./metrics_snapshot.ts";
import { type Health, mergeHealth } from "./health.ts";

/** What a process can be asked for. */
export type ReportKind = "health" | "metrics";

/** The reports of one kind that came in time. */
export interface Gathered {
  /** As JSON carries them. The one who asks is among them. */
  readonly reports: readonly unknown[];
  /** Who did not answer in time: "worker 3 (process 4711)". */
  readonly silent: readonly string[];
}

/** Asks every process of this weir. Never rejects, and waits no longer than its maker says. */
export type Gather = (kind: ReportKind) => Promise<Gathered>;

/**
 * `gather`, asking once for everybody who wants to know while it is under way: a flood of questions
 * becomes one question after the other.
 */
export function gatherOnce(gather: Gather): Gather {
  const underway = new Map<ReportKind, Promise<Gathered>>();
  return (kind) => {
    const known = underway.get(kind);
    if (known !== undefined) return known;
    const asked = gather(kind).finally(() => underway.delete(kind));
    underway.set(kind, asked);
    return asked;
  };
}

/** The reports of several apps or processes as the one of a whole. There is at least one. */
export function mergeReports(kind: ReportKind, reports: readonly unknown[]): unknown {
  if (reports.length === 1) return reports[0];
  switch (kind) {
    case "health":
      return mergeHealth(reports as readonly Health[]);
    case "metrics":
      return mergeSnapshots(reports as readonly MetricsSnapshot[]);
  }
}
