/**
 * What a run of many streams found, and whether it can be believed.
 *
 * @module
 */

import { counted } from "../lib/counted.ts";
import type { Summary } from "../lib/histogram.ts";

/** What a run found. Times are milliseconds, summaries of one value per event or per stream. */
export interface StreamReport {
  readonly streams: number;
  /** Streams whose answer came whole: every event, in its place, and a clean end. */
  readonly completed: number;
  /** Why the others did not, and how many each. */
  readonly failed: Readonly<Record<string, number>>;
  readonly events: number;
  readonly bytes: number;
  readonly lost: number;
  readonly doubled: number;
  readonly strange: number;
  /** Events that were written together with one that was due at another time. */
  readonly merged: number;
  /** How long all streams were open together: what lateness and rates are taken from. */
  readonly windowMs: number;
  readonly eventsPerSecond: number;
  readonly bytesPerSecond: number;
  /** null = there was none. */
  readonly eventsPerRead: number | null;
  readonly firstEventMs: Summary;
  readonly gapMs: Summary;
  /** |came − due|; count 0 when no schedule is known. */
  readonly latenessMs: Summary;
  /** How much longer or shorter than its schedule a whole stream took. */
  readonly driftMs: Summary;
  readonly driftPercent: Summary;
  /** How late the client itself opened its streams. */
  readonly startDelayMs: Summary;
  /** How late the client's own event loop woke where it had nothing to do. */
  readonly loopDelayMs: Summary;
  /** How long what it read may have lain there where it was busy. */
  readonly unreadMs: Summary;
  /** Processor time of the client, as a share of one core. */
  readonly clientCpuShare: number;
}

/** What a run is worth. */
export interface Verdict {
  /** `failed`: the server lost something. `invalid`: nothing failed, and the client was too slow. */
  readonly kind: "valid" | "failed" | "invalid";
  /** The client was too slow, or nothing came: times are not to be believed. */
  readonly isDoubtful: boolean;
  /** What failed, and then what is doubtful. */
  readonly reasons: readonly string[];
}

/** What a report is judged by. */
export interface StreamLimits {
  /** How late the client's own loop may be, p99, before the run says nothing about the server. */
  readonly loopMsMax: number;
  /** What else has failed, before the streams were opened. One sentence each. */
  readonly failed?: readonly string[];
}

/** Judges a report. What failed is said first, however late the client was. */
export function judge(report: StreamReport, limits: StreamLimits): Verdict {
  const { loopMsMax } = limits;
  const failed = [...limits.failed ?? []];
  for (const [reason, count] of Object.entries(report.failed)) {
    failed.push(`${counted(count, "stream")}: ${reason}`);
  }
  for (const kind of ["lost", "doubled", "merged", "strange"] as const) {
    if (report[kind] > 0) failed.push(`${counted(report[kind], "event")} ${kind}`);
  }
  const doubtful: string[] = [];
  if (report.events === 0) doubtful.push("no event came");
  const late = (what: string, { p99 }: Summary) => {
    if (p99 > loopMsMax) {
      doubtful.push(`${what} ${p99.toFixed(1)} ms (p99), more than ${loopMsMax}`);
    }
  };
  late("the client's own loop was late by", report.loopDelayMs);
  late("what came may have lain unread for", report.unreadMs);
  const isDoubtful = doubtful.length > 0;
  const kind = failed.length > 0 ? "failed" : isDoubtful ? "invalid" : "valid";
  return { kind, isDoubtful, reasons: [...failed, ...doubtful] };
}
