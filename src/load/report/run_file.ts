/**
 * A run in a file: its reports, and all that they are made of, so that runs of several machines can be
 * put together exactly and two runs be compared request by request.
 *
 * @module
 */

import type { DoubtLimits } from "../doubt.ts";
import { chosen, type KeptStream } from "../kept_streams.ts";
import type { Slo } from "../slo.ts";
import { joinedFacts, type StageFacts } from "../stage_facts.ts";
import { Tally, type TallyFile } from "../tally.ts";
import { type LoadReport, reportOf, type Round } from "./report.ts";

/** The version of the form below. */
const VERSION = 1;

/** One stage. */
export interface StageFile {
  readonly report: LoadReport;
  readonly slo: Slo | null;
  /** null = there is no such limit. */
  readonly limits: {
    readonly loop_ms_max: number;
    readonly rate_per_second: number | null;
    readonly concurrency_max: number | null;
  };
  readonly rounds: readonly { readonly tally: TallyFile; readonly facts: StageFacts }[];
  /** Undefined = the file is older than that. */
  readonly streams?: readonly KeptStream[];
}

/** A run. */
export interface RunFile {
  readonly weir_load: typeof VERSION;
  readonly stages: readonly StageFile[];
}

/** A stage with what it was run with. */
export interface Stage {
  readonly report: LoadReport;
  readonly rounds: readonly Round[];
  readonly slo: Slo | undefined;
  readonly limits: DoubtLimits;
  /** Some of its streams with all their times; undefined = none were kept. */
  readonly streams?: readonly KeptStream[] | undefined;
}

/** The file of a run. */
export function runFileOf(stages: readonly Stage[]): RunFile {
  return {
    weir_load: VERSION,
    stages: stages.map(({ report, rounds, slo, limits, streams = [] }) => ({
      report,
      slo: slo ?? null,
      limits: {
        loop_ms_max: limits.loopMsMax,
        rate_per_second: limits.ratePerSecond ?? null,
        concurrency_max: Number.isFinite(limits.concurrencyMax) ? limits.concurrencyMax : null,
      },
      rounds: rounds.map(({ tally, facts }) => ({ tally: tally.toFile(), facts })),
      streams,
    })),
  };
}

/**
 * The run that was written.
 *
 * @throws {TypeError} when `text` is none.
 */
export function readRunFile(text: string): readonly Stage[] {
  let file: Partial<RunFile> | null;
  try {
    file = JSON.parse(text) as Partial<RunFile> | null;
  } catch {
    throw new TypeError("it is no JSON");
  }
  if (file?.weir_load !== VERSION || !Array.isArray(file.stages)) {
    throw new TypeError("it is no run of weir load --out");
  }
  return (file.stages as readonly StageFile[]).map(({ report, rounds, slo, limits, streams }) => ({
    report,
    streams,
    rounds: rounds.map(({ tally, facts }) => ({ tally: Tally.read(tally), facts })),
    slo: slo ?? undefined,
    limits: {
      loopMsMax: limits.loop_ms_max,
      ratePerSecond: limits.rate_per_second ?? undefined,
      concurrencyMax: limits.concurrency_max ?? Infinity,
    },
  }));
}

/**
 * The parts of one run that several machines have had at the same time, as one run: distributions are
 * added up, not averaged.
 *
 * @throws {RangeError} when they are not the same stages.
 */
export function mergedRuns(runs: readonly (readonly Stage[])[]): readonly Stage[] {
  const [first] = runs;
  if (first === undefined) return [];
  if (runs.some((run) => run.length !== first.length)) {
    throw new RangeError("the runs have different numbers of stages");
  }
  return first.map((stage, at) => {
    const parts = runs.map((run) => run[at]!);
    const rates = parts.map(({ limits }) => limits.ratePerSecond);
    const isOpen = rates.every((rate) => rate !== undefined);
    if (!isOpen && rates.some((rate) => rate !== undefined)) {
      throw new RangeError("some of the runs have a rate, and others have none");
    }
    const loads = [...new Set(parts.map(({ report }) => report.load))];
    const limits = {
      ...stage.limits,
      ratePerSecond: isOpen ? rates.reduce<number>((sum, rate) => sum + rate!, 0) : undefined,
      concurrencyMax: parts.reduce((sum, part) => sum + part.limits.concurrencyMax, 0),
    };
    const count = Math.min(...parts.map((part) => part.rounds.length));
    const rounds = Array.from(
      { length: count },
      (_, round) => sideBySide(parts.map((part) => part.rounds[round]!), stage.slo),
    );
    const report = reportOf(rounds, {
      load: `${parts.length} parts: ${loads.join(", ")}`,
      slo: stage.slo,
      countTokens: undefined,
      limits,
    });
    const streams = chosen(parts.flatMap((part) => part.streams ?? []), report.e2e_ms?.p50);
    return { report, rounds, slo: stage.slo, limits, streams };
  });
}

/** The parts of one round as one. */
function sideBySide(parts: readonly Round[], slo: Slo | undefined): Round {
  const tally = new Tally({ slo, countTokens: undefined });
  for (const part of parts) tally.merge(part.tally);
  return { tally, facts: joinedFacts(parts.map(({ facts }) => facts), "side by side") };
}
