/**
 * `weir load merge` and `weir load compare`: what is made of the files of `--out`.
 *
 * @module
 */

import { type Compared, compareRows, type Comparison } from "../load/report/compare.ts";
import { compareHtml } from "../load/report/html_compare.ts";
import { jsonText, snakeKeys } from "../load/report/json_text.ts";
import {
  type FinishedRun,
  mergedRuns,
  readRunFile,
  type RunIdentity,
  type Stage,
} from "../load/report/run_file.ts";
import { reportLines, shown } from "../load/report/terminal.ts";
import { Tally } from "../load/tally.ts";
import { aboutFiles } from "./load_html.ts";
import type { Flags } from "./load_options.ts";
import { printsReport, writeOutputs } from "./load_outputs.ts";
import { writeEach } from "./outputs.ts";
import { exitCode } from "./load_run.ts";
import { readText } from "./settings.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";

/**
 * Puts the parts of one run together, and prints it as if one machine had run it.
 *
 * @throws {Failure} when a file is no run, or they do not belong together.
 */
export function mergeRuns(paths: readonly string[], flags: Flags, terminal: Terminal): number {
  if (paths.length === 0) throw new Failure("merge needs the files of runs", EXIT.usage);
  const hasReport = printsReport(flags);
  const read = paths.flatMap((path) => {
    const runs = readRuns(path);
    const nameOf = (at: number) => runs.length === 1 ? path : `run ${at + 1} of ${path}`;
    return runs.map((run, at) => ({ run, name: nameOf(at) }));
  });
  let merged: FinishedRun;
  try {
    merged = mergedRuns(read.map(({ run }) => run), read.map(({ name }) => name));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Failure(`Cannot merge: ${error.message}`, EXIT.usage);
  }
  const reports = merged.stages.map(({ report }) => report);
  const isInterrupted = reports.some((report) => report.is_interrupted);
  const unwritten = writeOutputs(
    merged,
    aboutFiles("merge", paths, flags.sloShare),
    flags,
    terminal,
  );
  for (const { message } of unwritten) terminal.complain(`weir: ${message}`);
  if (flags.json) {
    const told = reports.length === 1
      ? reports[0]
      : { is_interrupted: isInterrupted, stages: reports };
    terminal.print(jsonText(told));
  } else if (hasReport) {
    for (const report of reports) {
      terminal.print(`\n== ${report.load} ==`);
      for (const line of reportLines(report)) terminal.print(line);
    }
  }
  const code = exitCode(reports, isInterrupted, flags.sloShare);
  return unwritten.length > 0 && !isInterrupted ? EXIT.failed : code;
}

/**
 * Compares two runs, stage by stage. 1 when the second is worse: slower by more than 5 %, in the
 * middle or in the tail, where that is no chance, or with a larger share of failures; 3 when one of them is to be doubted or a part of a
 * load, or they were not asked for the same.
 *
 * @throws {Failure} with exit code 2 when a file is no run, or they have different stages.
 */
export function compareRuns(paths: readonly string[], flags: Flags, terminal: Terminal): number {
  if (paths.length !== 2) throw new Failure("compare needs the files of two runs", EXIT.usage);
  const hasReport = printsReport(flags);
  const [first, second] = paths.map((path) => {
    const [run, ...others] = readRuns(path);
    if (others.length === 0) return run!;
    throw new Failure(
      `${path} has ${others.length + 1} runs: weir load merge makes one of them`,
      EXIT.usage,
    );
  });
  const [before, after] = [first!.stages, second!.stages];
  if (before.length !== after.length) {
    throw new Failure(
      `Cannot compare: ${paths[0]} has ${before.length} stages, and ${paths[1]} ${after.length}`,
      EXIT.usage,
    );
  }
  const unlike = [
    ...[first!, second!].flatMap((run, at) => missingParts(run, paths[at]!)),
    ...differences(first!, second!),
  ];
  const stages = before.map((stage, at) => comparedStages(stage, after[at]!));
  if (flags.json) {
    terminal.print(jsonText({ unlike, stages: stages.map(stageJson) }));
  } else if (hasReport) {
    if (unlike.length > 0) {
      terminal.print(`\nThe runs were not asked for the same: ${unlike.join("; ")}.`);
    }
    for (const stage of stages) for (const line of stageLines(stage)) terminal.print(line);
  }
  const page = () => {
    const pairs = stages.map((stage, at) => ({
      ...stage,
      before: before[at]!,
      after: after[at]!,
      load: bothLoads(stage),
    }));
    const about = aboutFiles("compare", paths, flags.sloShare);
    return compareHtml(pairs, { ...about, found: unlike });
  };
  const unwritten = writeEach([[flags.html, page]], terminal);
  for (const { message } of unwritten) terminal.complain(`weir: ${message}`);
  if (unwritten.length > 0 || stages.some(({ isWorse }) => isWorse)) return EXIT.failed;
  const isDoubtful = unlike.length > 0 || stages.some((stage) => stage.isDoubtful);
  return isDoubtful ? EXIT.doubtful : EXIT.done;
}

/** "one.json is part 1 of 2 of a load": half of a load beside all of it says nothing of a server. */
function missingParts({ parts: { count, have } }: RunIdentity, path: string): readonly string[] {
  if (have.length === count) return [];
  const numbers = have.map((part) => part + 1).join(", ");
  return [`${path} is part ${numbers} of ${count} of a load (weir load merge)`];
}

/** What two runs may differ in and be compared: that is what they are compared for. */
const COMPARED_FOR: ReadonlySet<string> = new Set(["the target", "--model", "--rounds"]);

/** What else they were asked for, "--rate is [20] and was none": such runs say nothing of a server. */
function differences(before: RunIdentity, after: RunIdentity): readonly string[] {
  const [first, second] = [before, after].map(({ asked }) => ({ ...asked, ...pathsOf(asked) }));
  const keys = new Set([...Object.keys(first!), ...Object.keys(second!)]);
  return [...keys].flatMap((key) => {
    const [was, is] = [first![key], second![key]];
    if (was === is || COMPARED_FOR.has(key)) return [];
    return [`${key} is ${is ?? "none"} and was ${was ?? "none"}`];
  });
}

/** Where no API says what is asked, the path does. One of an API may begin as a gateway has it. */
function pathsOf(asked: RunIdentity["asked"]): RunIdentity["asked"] {
  if (asked["--api"] !== "raw") return {};
  const paths = (asked["the target"] ?? "").split(" ").map((url) =>
    URL.parse(url)?.pathname ?? url
  );
  return { "the path": [...new Set(paths)].sort().join(" ") };
}

/** Two stages. */
interface ComparedStages {
  readonly loads: readonly [string, string];
  readonly failedShares: readonly [number, number];
  readonly comparisons: readonly Comparison[];
  readonly isWorse: boolean;
  readonly isDoubtful: boolean;
}

function comparedStages(before: Stage, after: Stage): ComparedStages {
  const comparisons = compareRows(rowsOf(before), rowsOf(after), lateMsOf([before, after]));
  const share = ({ report: { requests } }: Stage) =>
    requests.sent === 0 ? 0 : requests.failed / requests.sent;
  const failedShares = [share(before), share(after)] as const;
  return {
    loads: [before.report.load, after.report.load],
    failedShares,
    comparisons,
    isWorse: failedShares[1] > failedShares[0] ||
      comparisons.some(({ verdict, tail }) => verdict === "slower" || tail.verdict === "slower"),
    isDoubtful: before.report.doubt.is_doubtful || after.report.doubt.is_doubtful,
  };
}

function stageJson({ comparisons, ...stage }: ComparedStages): Readonly<Record<string, unknown>> {
  return { ...snakeKeys(stage), comparisons: comparisons.map(snakeKeys) };
}

function rowsOf({ rounds }: Stage) {
  const all = new Tally({ slo: undefined, countTokens: undefined });
  for (const { tally } of rounds) all.rows.merge(tally.rows);
  return all.rows;
}

/** By how much one of the two clients may have made times of the tail longer. */
function lateMsOf(stages: readonly Stage[]): Readonly<Record<Compared, number>> {
  const most = (name: "ttft" | "itl") =>
    Math.max(...stages.map(({ report: { doubt } }) => doubt.late_ms[name]?.p99 ?? 0));
  return { ttft: most("ttft"), tpot: most("itl"), e2e: most("ttft") };
}

const TITLES = { ttft: "first token", tpot: "per output token", e2e: "whole answer" } as const;

function bothLoads({ loads }: ComparedStages): string {
  return loads[0] === loads[1] ? loads[0] : loads.join(" and ");
}

function stageLines(stage: ComparedStages): readonly string[] {
  const { failedShares: [before, after], comparisons, isDoubtful } = stage;
  return [
    "",
    `== ${bothLoads(stage)} ==`,
    `failed: ${percent(before)}, then ${percent(after)}${after > before ? ": worse" : ""}`,
    ...comparisons.flatMap(comparisonLines),
    ...(isDoubtful ? ["One of the two is to be doubted: see its own report."] : []),
  ];
}

function comparisonLines(comparison: Comparison): readonly string[] {
  const { metric, p50, p95, p99, change, chance, isPaired, verdict, tail } = comparison;
  const pair = (name: string, [before, after]: readonly [number, number], change: number) =>
    `${name} ${shown(before)}, then ${shown(after)} (${change < 0 ? "" : "+"}${percent(change)})`;
  const byChance = (share: number) => `by chance ${share < 0.001 ? "below 0.1 %" : percent(share)}`;
  const [change95, change99] = tail.changes;
  return [
    `${TITLES[metric]}, ms: ${pair("p50", p50, change)}; ${byChance(chance)}, ${
      isPaired ? "paired" : "unpaired"
    }: ${verdict}`,
    `  its tail: ${pair("p95", p95, change95)}; ${pair("p99", p99, change99)}; ${
      byChance(tail.chance)
    }: ${tail.verdict}`,
  ];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** @throws {Failure} with exit code 2 when there is none. */
function readRuns(path: string): readonly FinishedRun[] {
  try {
    return readRunFile(readText(path, "the run", EXIT.usage));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Failure(`Cannot read ${path}: ${error.message}`, EXIT.usage);
  }
}
