/**
 * Runs the stages of a load one after the other, tells how far each is, and prints what was found.
 *
 * @module
 */

import { writeFileSync } from "node:fs";
import { seeded } from "../lib/seeded.ts";
import { bodyOf, type Message } from "../load/requests/bodies.ts";
import { type Behaviour, conversationsOf, type LoadBody, turnsOf } from "../load/requests/makers.ts";
import { promptOf } from "../load/requests/prompts.ts";
import { csvOf } from "../load/report/csv.ts";
import { rawLine } from "../load/report/raw.ts";
import { type LoadReport, reportOf, type Round } from "../load/report/report.ts";
import { runFileOf, type Stage as FinishedStage } from "../load/report/run_file.ts";
import { judgementLines, reportLines } from "../load/report/terminal.ts";
import type { ToolReport } from "../load/report/tools/tool.ts";
import { TOOLS } from "../load/report/tools/tools.ts";
import { Gathered } from "../load/metrics/gathered.ts";
import type { RequestRecord } from "../load/record.ts";
import { type Load, LoadRun, type RequestMaker } from "../load/run.ts";
import { type Arrivals, arrivals } from "../load/shape/arrivals.ts";
import { factsOf } from "../load/stage_facts.ts";
import { Tally } from "../load/tally.ts";
import { type TokenCounter, TokenCounters } from "../sources/tokens.ts";
import { LoadProgress } from "./load_progress.ts";
import type { LoadOptions, Stage } from "./load_options.ts";
import type { Shard } from "./load_values.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";

/** Texts above this are estimated, in bytes. */
const COUNT_BYTES_MAX = 4 * 1024 * 1024;
/** Different prompts of one run, where their length is given. */
const PROMPTS_MAX = 1000;
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
  const { flags, stages } = options;
  const abort = new AbortController();
  const interrupt = () => abort.abort();
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  if (flags.startAt !== undefined) await waitUntil(flags.startAt, abort.signal);
  const counter = new TokenCounters(COUNT_BYTES_MAX).of(options.model);
  const raw = flags.raw === undefined ? undefined : rawFile(flags.raw);
  const reports: LoadReport[] = [];
  const finished: FinishedStage[] = [];
  const told: ToolReport[] = [];
  for (const stage of stages) {
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
      concurrencyMax: stage.kind === "open" ? flags.maxConcurrency : Infinity,
    };
    const load = stageText(options, stage);
    const report = reportOf(rounds, { load, slo, countTokens: undefined, limits });
    reports.push(report);
    finished.push({ report, rounds, slo, limits });
    if (gathered !== undefined) {
      told.push(asTool(gathered, options, stage, rounds, startedAt));
      if (!flags.json) {
        for (const line of told.at(-1)!.lines) terminal.print(line);
        for (const line of judgementLines(report)) terminal.complain(line);
      }
    } else if (!flags.json && flags.csv !== "-") {
      printReport(report, stages.length > 1, terminal);
    }
  }
  raw?.close();
  if (flags.json) {
    const all = flags.as === undefined ? reports : told.map(({ json }) => json);
    const printed = stages.length === 1 && all.length === 1 ? all[0] : { stages: all };
    terminal.print(JSON.stringify(printed, null, 2));
  }
  if (flags.out !== undefined) writeReport(flags.out, JSON.stringify(runFileOf(finished)));
  if (flags.csv === "-") terminal.print(csvOf(reports).trimEnd());
  else if (flags.csv !== undefined) writeReport(flags.csv, csvOf(reports));
  return exitCode(reports, abort.signal.aborted, flags.slo === undefined ? 0 : flags.sloShare);
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
  const isOpen = stage.kind === "open";
  return TOOLS[flags.as!].report({
    gathered,
    model,
    url: endpoints[0]!.url,
    seconds: sum(({ facts }) => facts.measuredMs) / 1000,
    sendingSeconds: sum(({ facts }) => facts.sendingMs) / 1000,
    ratePerSecond: isOpen ? stage.ratePerSecond : undefined,
    burstiness: flags.arrivals.kind === "constant"
      ? Infinity
      : flags.arrivals.kind === "gamma"
      ? flags.arrivals.k
      : 1,
    concurrency: isOpen ? undefined : stage.concurrency,
    activeMax: Math.max(...rounds.map(({ facts }) => facts.activeMax)),
    slo: flags.slo,
    startedAt,
    isInterrupted: rounds.some(({ facts }) => facts.isInterrupted),
  });
}

function shapeOf({ flags }: LoadOptions, stage: Stage, random: () => number): Load {
  const rampMs = flags.ramp ?? 0;
  const { shard } = flags;
  if (stage.kind === "closed") {
    return { kind: "closed", concurrency: shareOf(stage.concurrency, shard), rampMs };
  }
  const rate = {
    startPerSecond: rampMs === 0 ? stage.ratePerSecond : flags.rampFrom,
    perSecond: stage.ratePerSecond,
    rampMs,
    ramp: flags.rampKind,
  };
  return {
    kind: "open",
    times: shardOf(arrivals(flags.arrivals, rate, random), shard),
    concurrencyMax: flags.maxConcurrency,
  };
}

/** What one of several machines has of a number: the first ones have one more. */
function shareOf(count: number, shard: Shard | undefined): number {
  if (shard === undefined || !Number.isFinite(count)) return count;
  return Math.floor(count / shard.count) + (shard.index < count % shard.count ? 1 : 0);
}

/** Every machine draws the whole schedule, from the same seed, and takes its own requests of it. */
function* shardOf(
  times: Iterator<number, unknown, void>,
  shard: Shard | undefined,
): Generator<number, void, void> {
  for (let number = 0;; number++) {
    const { value, done } = times.next();
    if (done === true) return;
    if (shard === undefined || number % shard.count === shard.index) yield value as number;
  }
}

/** Waits; an interrupt ends it. */
async function waitUntil(startAtMs: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, Math.max(0, startAtMs - Date.now()));
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}

function makerOf(
  options: LoadOptions,
  stage: Stage,
  counter: TokenCounter,
  random: () => number,
): RequestMaker {
  const { flags, api, model, endpoints, bodies } = options;
  const behaviour: Behaviour = {
    leaveTokens: flags.leaveAfter ?? Infinity,
    leaveShare: flags.leaveShare,
    readBytesPerSecond: flags.readRate ?? Infinity,
  };
  const tokensMax = flags.outputTokens;
  const ask = () =>
    flags.promptTokens === undefined
      ? flags.prompt ?? "Hello"
      : promptOf(flags.promptTokens, random, counter);
  if (bodies !== undefined) {
    const given = bodies.map((body) => ({ body, promptTokens: NaN, tokensMax: NaN }));
    return turnsOf(endpoints, given, behaviour, random);
  }
  if (api === "raw") throw new Error("A raw body is given");
  const isStream = !flags.whole;
  if (flags.turns > 1 && api !== "embeddings") {
    return conversationsOf(endpoints, {
      api,
      model,
      isStream,
      tokensMax,
      turns: flags.turns,
      thinkMs: () => -Math.log(1 - random()) * flags.think,
      ask,
      count: (text) => counter.count(text),
      isEndless: stage.kind === "closed",
    }, behaviour, random);
  }
  const prompts = flags.promptTokens === undefined
    ? 1
    : Math.min(PROMPTS_MAX, flags.requests ?? PROMPTS_MAX);
  const made = Array.from({ length: prompts }, (): LoadBody => {
    const content = ask();
    const messages: readonly Message[] = [{ role: "user", content }];
    const body = bodyOf(api, { model, messages, isStream, tokensMax });
    return { body, promptTokens: counter.count(content), tokensMax: tokensMax ?? NaN };
  });
  const turns = turnsOf(endpoints, made, behaviour, random);
  if (stage.kind === "open") return { next: turns.next, over: () => undefined };
  if (flags.think === 0) return turns;
  return { next: turns.next, over: () => -Math.log(1 - random()) * flags.think };
}

/** "8 at once", "50/s poisson" */
function stageText({ flags }: LoadOptions, stage: Stage): string {
  const ramp = flags.ramp === undefined ? "" : `, reached over ${flags.ramp / 1000} s`;
  return stage.kind === "closed"
    ? `${stage.concurrency} at once${ramp}`
    : `${stage.ratePerSecond}/s ${arrivalsText(flags.arrivals)}${ramp}`;
}

function arrivalsText(kind: Arrivals): string {
  return kind.kind === "gamma" ? `gamma:${kind.k}` : kind.kind;
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
