/**
 * Runs the stages of a load one after the other, tells how far each is, and prints what was found.
 *
 * @module
 */

import { writeFileSync } from "node:fs";
import { seeded } from "../lib/seeded.ts";
import { csvOf } from "../load/report/csv.ts";
import { rawLine } from "../load/report/raw.ts";
import { type LoadReport, reportOf, type Round } from "../load/report/report.ts";
import { runFileOf, type Stage as FinishedStage } from "../load/report/run_file.ts";
import { judgementLines, reportLines, shown } from "../load/report/terminal.ts";
import type { ToolReport } from "../load/report/tools/tool.ts";
import { TOOLS } from "../load/report/tools/tools.ts";
import { Gathered } from "../load/metrics/gathered.ts";
import type { RequestRecord } from "../load/record.ts";
import { LoadRun } from "../load/run.ts";
import { found, type Stage, type StageResult } from "../load/shape/stages.ts";
import { warmUp } from "../load/warm_up.ts";
import { factsOf } from "../load/stage_facts.ts";
import { Tally } from "../load/tally.ts";
import { type TokenCounter, TokenCounters } from "../sources/tokens.ts";
import { LoadProgress } from "./load_progress.ts";
import type { LoadOptions } from "./load_options.ts";
import { makerOf } from "./load_requests.ts";
import { shapeOf, shareOf, stageText } from "./load_shape.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";

/** Texts above this are estimated, in bytes. */
const COUNT_BYTES_MAX = 4 * 1024 * 1024;
/** Bytes of raw lines that are held before they are written. */
const RAW_BYTES_HELD = 1024 * 1024;
const TIMEOUT_MS = 600_000;
/** Connecting takes longer than this only where nobody is. */
const CONNECT_MS_MAX = 10_000;

/**
 * Runs everything and prints it. 130 when Ctrl-C ended it, 1 when requests failed or limits do not
 * hold, 3 when it is to be doubted, else 0.
 *
 * @throws {Failure} when a file cannot be written.
 */
export async function runLoad(options: LoadOptions, terminal: Terminal): Promise<number> {
  const { flags, plan, isSingle } = options;
  const abort = new AbortController();
  const interrupt = () => abort.abort();
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  await warmUp();
  if (flags.startAt !== undefined) await waitUntil(flags.startAt, abort.signal);
  const counter = new TokenCounters(COUNT_BYTES_MAX).of(options.model);
  const raw = flags.raw === undefined ? undefined : rawFile(flags.raw);
  const reports: LoadReport[] = [];
  const finished: FinishedStage[] = [];
  const told: ToolReport[] = [];
  const results: StageResult[] = [];
  for (let stage = plan(results); stage !== undefined; stage = plan(results)) {
    const rounds: Round[] = [];
    const startedAt = new Date();
    const gathered = flags.as === undefined
      ? undefined
      : new Gathered(TOOLS[flags.as].read, (text) => counter.count(text));
    const isAllGone = () => abort.signal.aborted;
    const observe = (record: RequestRecord) => {
      gathered?.observe(record);
      raw?.write(rawLine(record));
    };
    for (let round = 0; round < flags.rounds && !isAllGone(); round++) {
      rounds.push(await runRound(options, stage, round, counter, abort.signal, observe, terminal));
    }
    if (rounds.length === 0) break;
    const { slo } = flags;
    const limits = {
      loopMsMax: flags.maxLoopMs,
      ratePerSecond: stage.kind === "open" && flags.ramp === undefined
        ? stage.ratePerSecond / (flags.shard?.count ?? 1)
        : undefined,
      concurrencyMax: stage.kind === "closed" ? Infinity : flags.maxConcurrency,
    };
    const load = stageText(options, stage);
    const report = reportOf(rounds, { load, slo, countTokens: undefined, limits });
    reports.push(report);
    finished.push({ report, rounds, slo, limits });
    results.push(resultOf(stage, report, flags.sloShare));
    if (gathered !== undefined) {
      told.push(asTool(gathered, options, stage, rounds, startedAt));
      if (!flags.json) {
        for (const line of told.at(-1)!.lines) terminal.print(line);
        for (const line of judgementLines(report)) terminal.complain(line);
      }
    } else if (!flags.json && flags.csv !== "-") {
      printReport(report, !isSingle, terminal);
    }
  }
  raw?.close();
  if (flags.json) {
    const all = flags.as === undefined ? reports : told.map(({ json }) => json);
    const printed = isSingle && all.length === 1
      ? all[0]
      : { ...(flags.search ? { search: found(results) } : {}), stages: all };
    terminal.print(JSON.stringify(printed, null, 2));
  }
  if (flags.search && !flags.json) terminal.print(searchLine(results));
  if (flags.out !== undefined) writeReport(flags.out, JSON.stringify(runFileOf(finished)));
  if (flags.csv === "-") terminal.print(csvOf(reports).trimEnd());
  else if (flags.csv !== undefined) writeReport(flags.csv, csvOf(reports));
  if (abort.signal.aborted) return EXIT.interrupted;
  // It looks for a load that the server does not bear: that it finds one is no failure.
  if (flags.search) return found(results).held === undefined ? EXIT.failed : EXIT.done;
  return exitCode(reports, false, flags.slo === undefined ? 0 : flags.sloShare);
}

function resultOf(stage: Stage, report: LoadReport, goodShareMin: number): StageResult {
  const { requests, goodput, doubt, requests_per_second } = report;
  const isGood = goodput === null || goodput.share >= goodShareMin;
  return {
    stage,
    requestsPerSecond: requests.completed === 0 ? undefined : requests_per_second ?? undefined,
    isHeld: requests.failed === 0 && isGood && requests.completed > 0 && doubt.limit !== "client",
  };
}

function searchLine(results: readonly StageResult[]): string {
  const { held, missed } = found(results);
  const until = missed === undefined ? "" : `; ${shown(missed)}/s was not`;
  return held === undefined
    ? "\nNo rate was held."
    : `\nThe highest rate that was held: ${shown(held)}/s${until}.`;
}

/** 130 before 1 before 3: what failed is true however late the client was. */
export function exitCode(
  reports: readonly LoadReport[],
  isInterrupted: boolean,
  goodShareMin: number,
): number {
  if (isInterrupted) return EXIT.interrupted;
  const hasFailed = reports.some(({ requests, goodput }) =>
    requests.failed > 0 || (goodput !== null && goodput.share < goodShareMin)
  );
  if (hasFailed) return EXIT.failed;
  return reports.some(({ doubt }) => doubt.is_doubtful) ? EXIT.doubtful : EXIT.done;
}

async function runRound(
  options: LoadOptions,
  stage: Stage,
  round: number,
  counter: TokenCounter,
  signal: AbortSignal,
  observe: (record: RequestRecord) => void,
  terminal: Terminal,
): Promise<Round> {
  const { flags } = options;
  const count = (text: string) => counter.count(text);
  const tally = new Tally({ slo: flags.slo, countTokens: count });
  const { warmup } = flags;
  const warmupMs = warmup !== undefined && "ms" in warmup ? warmup.ms : 0;
  const warmupRequests = warmup !== undefined && "requests" in warmup ? warmup.requests : 0;
  // Apart from each other: what is asked must not change when it is asked, on any of several machines.
  const [schedule, random] = [seeded(flags.seed + round), seeded(~(flags.seed + round))];
  const run = new LoadRun({
    targets: options.targets,
    maker: makerOf(options, stage, counter, random),
    load: shapeOf(options, stage, schedule),
    durationMs: options.durationMs + warmupMs,
    requestsMax: shareOf(flags.requests ?? Infinity, flags.shard) + warmupRequests,
    warmupMs,
    warmupRequests,
    graceMs: flags.grace,
    timeoutMs: flags.timeout ?? TIMEOUT_MS,
    connectMs: CONNECT_MS_MAX,
    keepsConnections: !flags.newConnections,
    countTokens: count,
    observe(record) {
      tally.observe(record);
      observe(record);
    },
    signal,
  });
  const title = flags.rounds > 1
    ? `${stageText(options, stage)}, round ${round + 1} of ${flags.rounds}`
    : stageText(options, stage);
  const progress = new LoadProgress(title, run, tally, options, terminal);
  progress.start();
  const facts = await run.measure().finally(() => progress.stop());
  return { tally, facts: factsOf(facts) };
}

/** What the tool of `--as` would say of a stage. */
function asTool(
  gathered: Gathered,
  { flags, model, endpoints }: LoadOptions,
  stage: Stage,
  rounds: readonly Round[],
  startedAt: Date,
): ToolReport {
  const sum = (read: (round: Round) => number) =>
    rounds.reduce((total, round) => total + read(round), 0);
  return TOOLS[flags.as!].report({
    gathered,
    model,
    url: endpoints[0]!.url,
    seconds: sum(({ facts }) => facts.measuredMs) / 1000,
    sendingSeconds: sum(({ facts }) => facts.sendingMs) / 1000,
    ratePerSecond: stage.kind === "open" ? stage.ratePerSecond : undefined,
    burstiness: flags.arrivals.kind === "constant"
      ? Infinity
      : flags.arrivals.kind === "gamma"
      ? flags.arrivals.k
      : 1,
    concurrency: stage.kind === "closed" ? stage.concurrency : undefined,
    activeMax: Math.max(...rounds.map(({ facts }) => facts.activeMax)),
    slo: flags.slo,
    startedAt,
    isInterrupted: rounds.some(({ facts }) => facts.isInterrupted),
  });
}

/** Waits; an interrupt ends it. */
async function waitUntil(startAtMs: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, Math.max(0, startAtMs - Date.now()));
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}

function printReport(report: LoadReport, hasTitle: boolean, terminal: Terminal): void {
  if (hasTitle) terminal.print(`\n== ${report.load} ==`);
  for (const line of reportLines(report)) terminal.print(line);
}

interface RawFile {
  write(line: string): void;
  close(): void;
}

/** @throws {Failure} when it cannot be written. */
function rawFile(path: string): RawFile {
  writeReport(path, "");
  const held: string[] = [];
  let bytes = 0;
  const flush = () => {
    if (held.length === 0) return;
    writeFileSync(path, `${held.join("\n")}\n`, { flag: "a" });
    held.length = 0;
    bytes = 0;
  };
  return {
    write(line) {
      held.push(line);
      bytes += line.length;
      if (bytes > RAW_BYTES_HELD) flush();
    },
    close: flush,
  };
}

/** @throws {Failure} when it cannot be written. */
export function writeReport(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new Failure(`Cannot write ${path}: ${(error as Error).message}`);
  }
}
