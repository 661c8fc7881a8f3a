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

/** What was asked for, and which part of it a run is: what must be told before runs are put together. */
export interface RunIdentity {
  /** What makes the load what it is, by the flags' names. Parts of one load have the same. */
  readonly asked: Readonly<Record<string, string>>;
  /** Which ones of `count` parts, from 0. A whole run is the only one of 1. */
  readonly parts: { readonly count: number; readonly have: readonly number[] };
}

/** A run with what it was asked. */
export interface FinishedRun extends RunIdentity {
  readonly stages: readonly Stage[];
}

/** One stage. */
export interface StageFile {
  readonly report: LoadReport;
  /** When it began, by the machine's clock, in milliseconds since 1970. */
  readonly started_at_ms: number;
  readonly slo: Slo | null;
  /** null = there is no such limit. */
  readonly limits: {
    readonly loop_ms_max: number;
    readonly rate_per_second: number | null;
    readonly concurrency_max: number | null;
    /** Undefined = clients read what comes. */
    readonly read_bytes_per_second?: number | undefined;
  };
  readonly rounds: readonly { readonly tally: TallyFile; readonly facts: StageFacts }[];
  /** Undefined = the file is older than that. */
  readonly streams?: readonly KeptStream[];
}

/** A run. */
export interface RunFile extends RunIdentity {
  readonly weir_load: typeof VERSION;
  readonly stages: readonly StageFile[];
}

/** A stage with what it was run with. */
export interface Stage {
  readonly report: LoadReport;
  /** When it began, by the machine's clock, in milliseconds since 1970. */
  readonly startedAtMs: number;
  readonly rounds: readonly Round[];
  readonly slo: Slo | undefined;
  readonly limits: DoubtLimits;
  /** Some of its streams with all their times; undefined = none were kept. */
  readonly streams?: readonly KeptStream[] | undefined;
}

/** The file of a run. */
export function runFileOf({ asked, parts, stages }: FinishedRun): RunFile {
  return {
    weir_load: VERSION,
    asked,
    parts,
    stages: stages.map(({ report, startedAtMs, rounds, slo, limits, streams = [] }) => ({
      report,
      started_at_ms: startedAtMs,
      slo: slo ?? null,
      limits: {
        loop_ms_max: limits.loopMsMax,
        rate_per_second: limits.ratePerSecond ?? null,
        concurrency_max: Number.isFinite(limits.concurrencyMax) ? limits.concurrencyMax : null,
        read_bytes_per_second: limits.readBytesPerSecond,
      },
      rounds: rounds.map(({ tally, facts }) => ({ tally: tally.toFile(), facts })),
      streams,
    })),
  };
}

/** How the line of a run begins, among others of a log. */
const LINE_START = `{"weir_load":${VERSION},`;

/**
 * The runs that were written: one, or where each of several is a line, all of them. Other lines are
 * those of a log.
 *
 * @throws {TypeError} when there is none.
 */
export function readRunFile(text: string): readonly FinishedRun[] {
  const lines = text.split("\n").filter((line) => line.startsWith(LINE_START));
  if (lines.length > 1) return lines.map((line) => runOf(parsed(line)));
  return [runOf(parsed(lines[0] ?? text))];
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new TypeError(
      text.startsWith(LINE_START) ? "a run in it is cut off" : "it is no run of weir load --out",
    );
  }
}

function runOf(value: unknown): FinishedRun {
  const file = value as Partial<RunFile> | null;
  if (file?.weir_load !== VERSION || !Array.isArray(file.stages) || file.parts === undefined) {
    throw new TypeError("it is no run of weir load --out");
  }
  const { asked = {}, parts } = file;
  const stages = (file.stages as readonly StageFile[]).map((stage): Stage => ({
    report: stage.report,
    streams: stage.streams,
    startedAtMs: stage.started_at_ms,
    rounds: stage.rounds.map(({ tally, facts }) => ({ tally: Tally.read(tally), facts })),
    slo: stage.slo ?? undefined,
    limits: {
      loopMsMax: stage.limits.loop_ms_max,
      ratePerSecond: stage.limits.rate_per_second ?? undefined,
      concurrencyMax: stage.limits.concurrency_max ?? Infinity,
      readBytesPerSecond: stage.limits.read_bytes_per_second,
    },
  }));
  return { asked, parts, stages };
}

/** Parts that began further apart than this share of their time were not one load. */
const APART_SHARE_MAX = 0.05;
const APART_MS_MIN = 250;

/**
 * The parts of one run that several machines have had at the same time, as one run: distributions are
 * added up, not averaged. Parts that are missing, and parts that were not there at the same time, are
 * told in the reports. `names`: how the runs are called in an error.
 *
 * @throws {RangeError} when they are not different parts of one load.
 */
export function mergedRuns(runs: readonly FinishedRun[], names: readonly string[]): FinishedRun {
  const first = runs[0]!;
  const { asked, parts: { count } } = first;
  const owners = new Map<number, string>();
  runs.forEach((run, at) => {
    const name = names[at]!;
    if (run.parts.count === 1) {
      throw new RangeError(`${name} is a whole run, and no part of one (--shard I/N)`);
    }
    if (run.parts.count !== count) {
      throw new RangeError(
        `${name} is one of ${run.parts.count} parts, and ${names[0]!} one of ${count}`,
      );
    }
    for (const key of new Set([...Object.keys(asked), ...Object.keys(run.asked)])) {
      if (run.asked[key] === asked[key]) continue;
      const told = (value: string | undefined) => value === undefined ? "none" : value;
      throw new RangeError(
        `they are parts of different runs: ${key} is ${told(asked[key])} in ${names[0]!} and ${
          told(run.asked[key])
        } in ${name}`,
      );
    }
    for (const part of run.parts.have) {
      const other = owners.get(part);
      if (other !== undefined) {
        throw new RangeError(`${other} and ${name} are both part ${part + 1} of ${count}`);
      }
      owners.set(part, name);
    }
  });
  const lengths = runs.map((run) => run.stages.length);
  const most = Math.max(...lengths);
  const short = lengths.findIndex((length) => length !== most);
  if (short >= 0) {
    throw new RangeError(
      `the runs have different numbers of stages: ${names[short]!} has ${lengths[
        short
      ]!} of ${most}`,
    );
  }
  const have = [...owners.keys()].sort((a, b) => a - b);
  const missing = Array.from({ length: count }, (_, i) => i).filter((part) => !owners.has(part));
  const troubles = missing.length === 0 ? [] : [
    `${missing.length === 1 ? "part" : "parts"} ${
      missing.map((part) => part + 1).join(", ")
    } of ${count} ${
      missing.length === 1 ? "is" : "are"
    } missing: what was sent from there is in no figure`,
  ];
  const stages = first.stages.map((_, at) =>
    mergedStage(runs.map((run) => run.stages[at]!), troubles)
  );
  return { asked, parts: { count, have }, stages };
}

function mergedStage(parts: readonly Stage[], troubles: readonly string[]): Stage {
  const [stage] = parts as readonly [Stage];
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
  const counts = parts.map((part) => part.rounds.length);
  const count = Math.min(...counts);
  const starts = parts.map(({ startedAtMs }) => startedAtMs);
  const apartMs = Math.max(...starts) - Math.min(...starts);
  const lastMs = Math.max(...parts.map(({ report }) => 1000 * report.seconds));
  const told = [
    ...troubles,
    ...(apartMs > Math.max(APART_MS_MIN, APART_SHARE_MAX * lastMs)
      ? [
        `the parts began ${(apartMs / 1000).toFixed(1)} s apart, by their own clocks: ` +
        "it was not all of the load at once (--start-at)",
      ]
      : []),
    ...(count === Math.max(...counts)
      ? []
      : [`a part has ended after ${count} rounds: the others' further ones are in no figure`]),
  ];
  const rounds = Array.from(
    { length: count },
    (_, round) => sideBySide(parts.map((part) => part.rounds[round]!), stage.slo, told),
  );
  const report = reportOf(rounds, {
    load: `${parts.length} parts: ${loads.join(", ")}`,
    slo: stage.slo,
    countTokens: undefined,
    limits,
  });
  const streams = chosen(parts.flatMap((part) => part.streams ?? []), report.e2e_ms?.p50);
  return { report, startedAtMs: Math.min(...starts), rounds, slo: stage.slo, limits, streams };
}

/** The parts of one round as one. `troubles`: what else speaks against its figures. */
export function sideBySide(
  parts: readonly Round[],
  slo: Slo | undefined,
  troubles: readonly string[] = [],
): Round {
  const tally = new Tally({ slo, countTokens: undefined });
  for (const part of parts) tally.merge(part.tally);
  const facts = joinedFacts(parts.map(({ facts }) => facts), "side by side");
  return { tally, facts: { ...facts, troubles: [...troubles, ...facts.troubles] } };
}
