/**
 * The report of one stage of a load, as `--json` prints it.
 *
 * @module
 */

import { type Doubt, type DoubtLimits, doubtOf } from "../doubt.ts";
import type { Remarks } from "../remarks.ts";
import { shareInterval95 } from "../rounds.ts";
import type { Slo } from "../slo.ts";
import { SHARES, type SpreadSummary } from "../spread.ts";
import { joinedFacts, type StageFacts } from "../stage_facts.ts";
import { type ErrorCount, type SpreadName, SPREADS, Tally, type TallyOptions } from "../tally.ts";

/** Where a percentile of all rounds together lies, with 95 % confidence. */
export type Bounds = readonly [low: number, high: number];

/** A distribution, and over several rounds where its percentiles lie with 95 % confidence. */
export type ReportedSpread = SpreadSummary & {
  readonly ci95?: Readonly<Partial<Record<keyof typeof SHARES, Bounds>>>;
};

/** One stage. null = there is no such figure. */
export interface LoadReport {
  /** What was asked for, in words: "8 at once", "50/s poisson". */
  readonly load: string;
  readonly requests: {
    /** Those that went out: completed + failed + left + unfinished. */
    readonly sent: number;
    readonly completed: number;
    readonly failed: number;
    /** The client left on purpose. */
    readonly left: number;
    /** The run was over before they were. */
    readonly unfinished: number;
    /** Due, and never sent: in no other number. */
    readonly not_sent: number;
    readonly errors: readonly ErrorCount[];
    /** What was odd about requests and is no failure. */
    readonly remarks: Remarks;
  };
  readonly ttft_ms: ReportedSpread | null;
  readonly itl_ms: ReportedSpread | null;
  readonly tpot_ms: ReportedSpread | null;
  readonly e2e_ms: ReportedSpread | null;
  readonly first_event_ms: ReportedSpread | null;
  readonly first_text_ms: ReportedSpread | null;
  readonly first_reasoning_ms: ReportedSpread | null;
  /** From when a request was sent, and not from when it should have been. */
  readonly service_ttft_ms: ReportedSpread | null;
  readonly service_e2e_ms: ReportedSpread | null;
  readonly queue_ms: ReportedSpread | null;
  readonly connect_ms: ReportedSpread | null;
  /** Bounds of the error of times to the first token, and of gaps: so long they may have lain unread. */
  readonly unread_first_ms: ReportedSpread | null;
  readonly unread_gap_ms: ReportedSpread | null;
  readonly goodput: {
    readonly slo_ms: Slo;
    readonly good: number;
    /**
     * Requests that `share` is of: the answers that have one of the figures, and all that failed, were
     * not over, or were never sent.
     */
    readonly of_requests: number;
    /** Answers that have none of the figures that limits are set on, and are not among them. */
    readonly not_judged: number;
    readonly share: number;
    readonly requests_per_second: number;
  } | null;
  readonly doubt: Doubt;
  readonly rounds: number;
  /** From the end of the warm-up to the end of the last request, or of the schedule if that is later. */
  readonly seconds: number;
  /** From the end of the warm-up to the moment after which nothing was due. */
  readonly offered_seconds: number;
  readonly is_interrupted: boolean;
  /** Processes that have sent at the same time, on all machines. */
  readonly processes: number;
  /** When it was stopped early, since it ran away; null = it was not. */
  readonly saturated_after_s: number | null;
  /** Completed ones, over `seconds`. */
  readonly requests_per_second: number | null;
  readonly output_tokens_per_second: {
    /** By the server's count; null = it tells none. */
    readonly told: number | null;
    /** By own count; null = none was made. */
    readonly own: number | null;
  };
  readonly tokens: {
    readonly prompt: number | null;
    readonly told: number | null;
    readonly told_answers: number;
    readonly own: number | null;
    readonly own_answers: number;
  };
  readonly events: {
    readonly count: number;
    readonly comments: number;
    readonly per_second: number | null;
    readonly per_read: number | null;
  };
  readonly bytes: number;
  readonly connections: {
    readonly opened: number;
    readonly requests_on_kept: number;
    readonly at_once_max: number;
  };
  readonly warmup_requests: number;
}

/** One round of a stage. */
export interface Round {
  readonly tally: Tally;
  readonly facts: StageFacts;
}

/** What a report is made with. */
export interface ReportOptions extends TallyOptions {
  readonly load: string;
  readonly limits: DoubtLimits;
}

/** The report of a stage, over all its rounds. */
export function reportOf(rounds: readonly Round[], options: ReportOptions): LoadReport {
  const tally = new Tally(options);
  for (const round of rounds) tally.merge(round.tally);
  const facts = joinedFacts(rounds.map((round) => round.facts), "in turn");
  const seconds = facts.measuredMs / 1000;
  const { completed, failed, left, unfinished } = tally.outcomes;
  const perSecond = (count: number) => seconds > 0 ? count / seconds : null;
  const spreads = Object.fromEntries(
    SPREADS.map((name) => [name, reportedSpread(name, tally, rounds)]),
  ) as Record<SpreadName, ReportedSpread | null>;
  const wanted = tally.judged + failed + unfinished + tally.notSent;
  const { slo } = options;
  const hasTold = tally.toldAnswers > 0;
  const hasOwn = tally.ownAnswers > 0;
  return {
    load: options.load,
    requests: {
      sent: tally.sent,
      completed,
      failed,
      left,
      unfinished,
      not_sent: tally.notSent,
      errors: [...tally.errors.values()].sort((a, b) => b.count - a.count),
      remarks: tally.remarks,
    },
    ...spreads,
    goodput: slo === undefined || wanted === 0 || seconds === 0 ? null : {
      slo_ms: slo,
      good: tally.good,
      of_requests: wanted,
      not_judged: completed + left - tally.judged,
      share: tally.good / wanted,
      requests_per_second: tally.good / seconds,
    },
    doubt: doubtOf(facts, tally, options.limits, slo),
    rounds: rounds.length,
    seconds,
    offered_seconds: facts.offeredMs / 1000,
    is_interrupted: facts.isInterrupted,
    processes: facts.processes,
    saturated_after_s: facts.saturatedMs === null ? null : facts.saturatedMs / 1000,
    requests_per_second: perSecond(completed),
    output_tokens_per_second: {
      told: hasTold ? perSecond(tally.toldTokens) : null,
      own: hasOwn ? perSecond(tally.ownTokens) : null,
    },
    tokens: {
      prompt: tally.promptTokens > 0 ? tally.promptTokens : null,
      told: hasTold ? tally.toldTokens : null,
      told_answers: tally.toldAnswers,
      own: hasOwn ? tally.ownTokens : null,
      own_answers: tally.ownAnswers,
    },
    events: {
      count: tally.events,
      comments: tally.comments,
      per_second: tally.events === 0 ? null : perSecond(tally.events),
      per_read: tally.events === 0 ? null : tally.events / tally.reads,
    },
    bytes: tally.bytes,
    connections: {
      opened: facts.connectionsOpened,
      requests_on_kept: facts.requestsOnKept,
      at_once_max: facts.activeMax,
    },
    warmup_requests: tally.warmup,
  };
}

function reportedSpread(
  name: SpreadName,
  tally: Tally,
  rounds: readonly Round[],
): ReportedSpread | null {
  const summary = tally.spreads[name].summary();
  if (summary === undefined) return null;
  const parts = rounds.map((round) => round.tally.spreads[name]);
  const bounds = Object.entries(SHARES).flatMap(([figure, share]) => {
    const found = shareInterval95(tally.spreads[name], parts, share);
    return found === undefined ? [] : [[figure, found] as const];
  });
  return bounds.length === 0 ? summary : { ...summary, ci95: Object.fromEntries(bounds) };
}
