/**
 * Runs the stages of a load one after the other, tells how far each is, and prints what was found.
 *
 * @module
 */

import { counted } from "../lib/counted.ts";
import { shownUrl } from "../lib/userinfo.ts";
import { Gathered } from "../load/metrics/gathered.ts";
import { chosen, type KeptStream } from "../load/kept_streams.ts";
import { jsonText } from "../load/report/json_text.ts";
import { type LoadReport, reportOf, type Round } from "../load/report/report.ts";
import type { Stage as FinishedStage } from "../load/report/run_file.ts";
import { stageTable } from "../load/report/stage_table.ts";
import { judgementLines, reportLines, shown } from "../load/report/terminal.ts";
import type { ToolReport } from "../load/report/tools/tool.ts";
import { type Tool, TOOLS } from "../load/report/tools/tools.ts";
import { SATURATION_MS_MIN, SATURATION_TTFT_MS_MIN, SaturationWatch } from "../load/saturation.ts";
import { shareOf, WHOLE } from "../load/shape/shards.ts";
import { found, type Stage, type StageResult } from "../load/shape/stages.ts";
import { aboutOf } from "./load_html.ts";
import { identityOf } from "./load_identity.ts";
import type { LoadOptions } from "./load_options.ts";
import { printsReport, writeOutputs } from "./load_outputs.ts";
import { LoadProgress, LOOK_MS } from "./load_progress.ts";
import { type LoadCrew, LoadHere, type RoundResult, type RunningRound } from "./load_round.ts";
import { resultOf, searchCode, searchLine } from "./load_search.ts";
import { PLACES_MAX, placesOf } from "./load_places.ts";
import { sendsNothing, stageText, warmupIn } from "./load_shape.ts";
import { startOf } from "./load_start.ts";
import { failuresOf, holdDescriptors } from "./outputs.ts";
import { onEnding } from "./signals.ts";
import { EXIT, type Failure, type Terminal } from "./terminal.ts";
import { type LineFile, lineFile } from "./whole_files.ts";

/**
 * Runs everything and prints it. 130 when Ctrl-C ended it, 1 when requests failed or limits do not
 * hold, 3 when it is to be doubted, else 0. `crew`: whoever sends, and has lines for `raw`; undefined =
 * this process.
 *
 * @throws {Failure} when a file cannot be written, before anything is sent.
 */
export async function runLoad(
  options: LoadOptions,
  terminal: Terminal,
  crew?: (raw: LineFile | undefined) => Promise<LoadCrew>,
): Promise<number> {
  const { flags, plan, isSingle } = options;
  const start = startOf(flags.startAt, Date.now());
  if (start.said !== undefined) terminal.complain(start.said);
  const hasReport = printsReport(flags);
  const abort = new AbortController();
  const interrupt = () => abort.abort();
  onEnding(interrupt);
  const about = aboutOf(options);
  const raw = flags.raw === undefined ? undefined : lineFile(flags.raw);
  const freeDescriptors = holdDescriptors();
  const workers = await crew?.(raw) ?? new LoadHere(options, flags.shard, raw);
  const reports: LoadReport[] = [];
  const stages: FinishedStage[] = [];
  const told: ToolReport[] = [];
  const results: StageResult[] = [];
  let { atMs } = start;
  let isBroken = false;
  /** With which stage a search would have sent nothing. */
  let unsent: Stage | undefined;
  const unwritten: Failure[] = [];
  try {
    for (
      let stage = plan(results);
      stage !== undefined && !isBroken && !abort.signal.aborted;
      stage = plan(results)
    ) {
      if (flags.search && sendsNothing(options, stage)) {
        unsent = stage;
        break;
      }
      const rounds: Round[] = [];
      const kept: KeptStream[] = [];
      const startedAtMs = Math.max(atMs ?? 0, Date.now());
      const gathered = flags.as === undefined
        ? undefined
        : new Gathered(TOOLS[flags.as].read, () => 0);
      let isOver = false;
      for (let round = 0; round < flags.rounds && !isOver; round++) {
        const begin = await workers.prepare(stage, { stage: stages.length, round });
        const title = flags.rounds > 1
          ? `${stageText(options, stage)}, round ${round + 1} of ${flags.rounds}`
          : stageText(options, stage);
        const warmup = warmupIn(options, stage, round);
        const progress = new LoadProgress(title, options, warmup, terminal);
        const settledMs = (flags.ramp ?? 0) + warmup.ms;
        const running = begin(atMs);
        const result = await watched(running, options, stage, settledMs, abort.signal, progress);
        atMs = undefined;
        rounds.push(result.round);
        kept.push(...result.kept);
        gathered?.nextRound();
        if (result.gathered !== undefined) gathered?.merge(result.gathered.toParts());
        isBroken = result.isBroken;
        isOver = isBroken || abort.signal.aborted || result.round.facts.saturatedMs !== null;
      }
      const { slo } = flags;
      const limits = limitsOf(options, stage, workers.processes);
      const load = stageText(options, stage);
      const report = reportOf(rounds, { load, slo, countTokens: undefined, limits });
      reports.push(report);
      const streams = chosen(kept, report.e2e_ms?.p50);
      stages.push({ report, startedAtMs, rounds, slo, limits, streams });
      // Of a stage that was broken off nobody knows what it would have found.
      if (!isBroken && !abort.signal.aborted) results.push(resultOf(stage, report, flags.sloShare));
      if (gathered !== undefined) {
        told.push(asTool(gathered, options, stage, rounds, new Date(startedAtMs)));
        if (!flags.json) {
          for (const line of hasReport ? told.at(-1)!.lines : []) terminal.print(line);
          for (const line of judgementLines(report)) terminal.complain(line);
          const other = otherCount(gathered, report, flags.as!);
          if (other !== undefined) terminal.complain(other);
        }
      } else if (!flags.json && hasReport) {
        printReport(report, !isSingle, terminal);
      }
    }
  } finally {
    await workers.close();
    freeDescriptors();
    unwritten.push(...failuresOf(() => raw?.close()));
  }
  if (flags.json) {
    const all = flags.as === undefined ? reports : told.map(({ json }) => json);
    const tool: Tool | undefined = flags.as === undefined ? undefined : TOOLS[flags.as];
    const printed = isSingle && all.length === 1 ? all[0] : {
      ...(flags.search ? { search: found(results) } : {}),
      ...(tool === undefined ? { is_interrupted: abort.signal.aborted } : {}),
      ...(tool?.together?.(told.map(({ json }) => json)) ?? { stages: all }),
    };
    terminal.print(tool === undefined ? jsonText(printed) : JSON.stringify(printed, null, 2));
  }
  if (reports.length > 1 && flags.as === undefined && !flags.json && hasReport) {
    for (const line of ["\n== all of them ==", ...stageTable(reports)]) terminal.print(line);
  }
  if (flags.search && !flags.json && hasReport) terminal.print(searchLine(found(results)));
  const skipped = abort.signal.aborted || isBroken ? undefined : skippedLine(options, results);
  const leftOut = [
    ...(skipped === undefined ? [] : [skipped]),
    ...(unsent === undefined ? [] : [
      `${stageText(options, unsent)} and lower rates were left out: nothing would be sent in ${
        shown(options.durationMs / 1000)
      } s.`,
    ]),
  ];
  for (const line of leftOut) terminal.complain(line);
  const run = { ...identityOf(options, flags.shard), stages };
  const said = [
    ...(flags.search ? [searchLine(found(results)).trim()] : []),
    ...leftOut,
  ];
  unwritten.push(...writeOutputs(run, { ...about, found: said }, flags, terminal));
  for (const { message } of unwritten) terminal.complain(`weir: ${message}`);
  if (abort.signal.aborted) return EXIT.interrupted;
  if (isBroken || unwritten.length > 0) return EXIT.failed;
  // They look for a load that the server does not bear: that one is found is no failure.
  if (flags.search) return searchCode(found(results));
  const judged = flags.sweep
    ? reports.filter(({ saturated_after_s, doubt }) =>
      saturated_after_s === null && doubt.overload === null
    )
    : reports;
  return exitCode(judged, false, flags.slo === undefined ? 0 : flags.sloShare);
}

/**
 * Waits for the end of a round, tells how far it is, and ends it when it runs away, once its ramp and its
 * warm-up have settled.
 */
async function watched(
  running: RunningRound,
  options: LoadOptions,
  stage: Stage,
  settledMs: number,
  signal: AbortSignal,
  progress: LoadProgress,
): Promise<RoundResult> {
  const { flags, durationMs } = options;
  const interrupt = () => running.end("interrupted");
  if (signal.aborted) interrupt();
  signal.addEventListener("abort", interrupt, { once: true });
  const stops = flags.stopWhenSaturated || flags.sweep || flags.search;
  const watch = stops && stage.kind !== "closed"
    ? new SaturationWatch({
      fromMs: settledMs,
      // Half of a short stage says as much as it can say.
      lookedAtMs: Math.min(SATURATION_MS_MIN, durationMs / 2),
      ttftMsMin: flags.slo?.ttft ?? SATURATION_TTFT_MS_MIN,
    })
    : undefined;
  let saturatedMs: number | null = null;
  const timer = setInterval(() => {
    const looked = running.progress();
    progress.tell(looked);
    const { nowMs, active, waiting, ttft } = looked;
    const look = {
      atMs: nowMs,
      atOnce: active + waiting,
      ttftCount: ttft.count,
      ttftSumMs: ttft.sum,
    };
    if (saturatedMs !== null || watch?.look(look) !== true) return;
    saturatedMs = nowMs;
    running.end("saturated");
  }, LOOK_MS);
  const result = await running.result.finally(() => {
    clearInterval(timer);
    progress.stop();
    signal.removeEventListener("abort", interrupt);
  });
  const { round } = result;
  return { ...result, round: { ...round, facts: { ...round.facts, saturatedMs } } };
}

function limitsOf({ flags }: LoadOptions, stage: Stage, processes: number) {
  const shard = flags.shard ?? WHOLE;
  const places = placesOf(flags, shard.count * processes);
  return {
    loopMsMax: flags.maxLoopMs,
    ratePerSecond: stage.kind === "open" && flags.ramp === undefined
      ? stage.ratePerSecond / shard.count
      : undefined,
    concurrencyMax: stage.kind === "closed" ? Infinity : shareOf(places, shard),
    isOfDescriptors: flags.maxConcurrency === undefined && places < PLACES_MAX,
    readBytesPerSecond: flags.readRate,
  };
}

/** How a tool's count of what was completed differs from this one's; undefined = it does not. */
export function otherCount(
  { requests }: Pick<Gathered, "requests">,
  { requests: own }: Pick<LoadReport, "requests">,
  tool: string,
): string | undefined {
  const completed = requests.filter(({ isSuccess }) => isSuccess).length;
  const isOther = requests.some(({ isSuccess, outcome }) =>
    isSuccess !== (outcome === "completed")
  );
  return isOther
    ? `--as ${tool}: by its own rules ${
      counted(completed, "request is a success", "requests are successes")
    }; here ${counted(own.completed, "was", "were")} completed.`
    : undefined;
}

/** Which rates were left out, as a lower one ran away; undefined = none. */
function skippedLine({ flags }: LoadOptions, results: readonly StageResult[]): string | undefined {
  const away = results.flatMap(({ stage, isSaturated }) =>
    isSaturated && stage.kind === "open" ? [stage.ratePerSecond] : []
  );
  if (away.length === 0 || flags.search) return undefined;
  const lowest = Math.min(...away);
  const isCut = flags.sweep
    ? results.length < flags.sweepSize + 1
    : (flags.rate?.length ?? 0) > results.length;
  return isCut ? `Rates from ${shown(lowest)}/s on were left out: that one ran away.` : undefined;
}

/** 130 before 1 before 3: what failed is true however late the client was. */
export function exitCode(
  reports: readonly LoadReport[],
  isInterrupted: boolean,
  goodShareMin: number,
): number {
  if (isInterrupted) return EXIT.interrupted;
  const hasFailed = reports.some(({ requests, goodput, saturated_after_s = null }) =>
    requests.failed > 0 || saturated_after_s !== null ||
    (goodput !== null && goodput.share < goodShareMin)
  );
  if (hasFailed) return EXIT.failed;
  return reports.some(({ doubt }) => doubt.is_doubtful) ? EXIT.doubtful : EXIT.done;
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
    url: shownUrl(endpoints[0]!.url),
    seconds: sum(({ facts }) => facts.measuredMs) / 1000,
    ratePerSecond: stage.kind === "open" ? stage.ratePerSecond : undefined,
    burstiness: flags.arrivals.kind === "constant"
      ? Infinity
      : flags.arrivals.kind === "gamma"
      ? flags.arrivals.k
      : 1,
    concurrency: stage.kind === "closed" ? stage.concurrency : undefined,
    slo: flags.slo,
    startedAt,
    isInterrupted: rounds.some(({ facts }) => facts.isInterrupted),
  });
}

function printReport(report: LoadReport, hasTitle: boolean, terminal: Terminal): void {
  if (hasTitle) terminal.print(`\n== ${report.load} ==`);
  for (const line of reportLines(report)) terminal.print(line);
}
