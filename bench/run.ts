/**
 * `bun run bench`: starts every server on one core and every client on the other, checks that the
 * answers are right byte for byte, measures, and writes what it found.
 *
 *   bun run bench [--quick] [--case NAME] [--connections 64,512] [--rounds N] [--seconds N]
 *                 [--binary FILE | --against REF] [--out FOLDER] [--add]
 *
 *   --quick        under a minute: fewer cases, one round of one second
 *   --rounds       the same number everywhere, instead of most rounds where figures are judged
 *   --case         only the cases whose name contains NAME (see cases.ts; "idle" is the memory, and
 *                  "start" builds the executable unless there is one by --binary or --against)
 *   --binary       measures an executable instead of the source
 *   --against      builds the working tree and REF, and measures one beside the other
 *   --out          where results.md, results.html and results.json go (default: bench/results, which
 *                  git ignores)
 *   --add          takes the cases that are not run from the results.json that is there
 *
 * @module
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildBoth } from "./against.ts";
import { type BenchOptions, progressLine, type Rounds } from "./bench_options.ts";
import { START_CASE } from "./cases.ts";
import { figuresOf } from "./figures.ts";
import { readMachine } from "./machine.ts";
import { htmlPage } from "./page.ts";
import { runIdle } from "./memory.ts";
import { runPaced } from "./paced.ts";
import { estimateSeconds, planOf, PUBLISHED, QUICK, REPEATED_MS_MAX } from "./plan.ts";
import { figuresTable, resultsPage, table } from "./report.ts";
import {
  added,
  type IdleRow,
  type PacedRow,
  type Results,
  type StartRow,
  type WholeRow,
} from "./results.ts";
import { runStart } from "./start.ts";
import { WEIR_FROM_SOURCE } from "./weir_server.ts";
import { runWhole } from "./whole.ts";

/** More of anything is a mistake, not a measurement. */
const ROUNDS_MAX = 100;
const SECONDS_MAX = 600;
const CONNECTIONS_MAX = 10_000;

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    case: { type: "string", default: "" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    connections: { type: "string" },
    binary: { type: "string" },
    against: { type: "string" },
    out: { type: "string", default: join(import.meta.dir, "results") },
    add: { type: "boolean", default: false },
  },
});

/** A case could not be measured. */
let hasFailed = false;

const isQuick = values.quick;
const usual = isQuick ? QUICK : PUBLISHED;
const builds = values.against === undefined ? undefined : buildBoth(values.against, progressLine);
const options: BenchOptions = {
  isQuick,
  rounds: roundsAsked(),
  seconds: whole("--seconds", values.seconds ?? String(usual.seconds), SECONDS_MAX),
  connections: (values.connections ?? usual.connections.join(",")).split(",")
    .map((text) => whole("--connections", text, CONNECTIONS_MAX)),
  weir: builds !== undefined
    ? [builds.ours]
    : values.binary === undefined
    ? WEIR_FROM_SOURCE
    : [resolve(values.binary)],
  against: builds === undefined
    ? undefined
    : { name: `weir at ${builds.commit}`, command: [builds.theirs] },
  patience: { leftMs: REPEATED_MS_MAX },
  say: progressLine,
};

try {
  const results = await measure((soFar) => builds ?? write(soFar, values.out));
  progressLine("");
  process.stdout.write(`${table(results)}\n${figuresTable(figuresOf(results))}\n`);
  if (builds === undefined) {
    process.stdout.write(
      `${join(values.out, "results.md")}, results.html and results.json are written\n`,
    );
  }
} finally {
  builds?.remove();
}
process.exit(hasFailed ? 1 : 0);

/** Measures case by case, and keeps what there is after each: the next one may take minutes. */
async function measure(keep: (soFar: Results) => void): Promise<Results> {
  const plan = planOf(values.case, options);
  const say = countdown(estimateSeconds(plan, options));
  const counted = { ...options, say };
  const whole: WholeRow[] = [];
  const paced: PacedRow[] = [];
  const idle: IdleRow[] = [];
  const starts: StartRow[] = [];
  const skipped: string[] = [];
  const machine = readMachine();
  const results = {
    machine,
    isQuick,
    rounds: options.rounds.judged,
    secondsPerRun: options.seconds,
    whole,
    paced,
    idle,
    starts,
    skipped,
  };
  for (const work of plan.whole) {
    await survive(work.title, skipped, async () => {
      const found = await runWhole(work, counted);
      whole.push(...found.rows);
      skipped.push(...found.skipped);
    });
    keep(results);
  }
  for (const { work, rounds } of plan.paced) {
    await survive(work.title, skipped, async () => {
      const found = await runPaced(work, rounds, counted);
      paced.push(...found.rows);
      skipped.push(...found.skipped);
    });
    keep(results);
  }
  for (const work of plan.idle) {
    await survive(
      `memory of ${work.things}`,
      skipped,
      async () => void idle.push(...await runIdle(work, counted)),
    );
    keep(results);
  }
  if (plan.isStart) {
    await survive(
      START_CASE.title,
      skipped,
      async () => void starts.push(...await runStart(counted)),
    );
    keep(results);
  }
  return results;
}

/** A case that fails has no figures, is named, and makes the exit code 1; the others go on. */
async function survive(
  title: string,
  skipped: string[],
  run: () => Promise<void>,
): Promise<void> {
  try {
    await run();
  } catch (error) {
    hasFailed = true;
    skipped.push(`${title}: failed: ${(error as Error).message}`);
  }
}

/** Progress with the time that has gone, and the time it takes when no run has to be repeated. */
function countdown(totalSeconds: number): (text: string) => void {
  const startMs = performance.now();
  return (text) => {
    const gone = clockText((performance.now() - startMs) / 1000);
    progressLine(`${gone} of about ${clockText(totalSeconds)}  ${text}`);
  };
}

/** `12:05`: minutes and seconds. */
function clockText(seconds: number): string {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** Writes the page, the page with charts, and the data that both are made of. */
function write(results: Results, folder: string): void {
  mkdirSync(folder, { recursive: true });
  const data = join(folder, "results.json");
  const all = values.add && existsSync(data)
    ? added(JSON.parse(readFileSync(data, "utf8")) as Results, results)
    : results;
  writeFileSync(data, `${JSON.stringify(all)}\n`);
  writeFileSync(join(folder, "results.md"), resultsPage(all));
  writeFileSync(join(folder, "results.html"), htmlPage(all));
}

/** The same number everywhere when one is asked for. */
function roundsAsked(): Rounds {
  if (values.rounds === undefined) return usual.rounds;
  const rounds = whole("--rounds", values.rounds, ROUNDS_MAX);
  return { judged: rounds, shown: rounds, many: rounds, paced: rounds, idle: rounds };
}

function whole(flag: string, text: string, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > max) {
    throw new Error(`${flag} takes whole numbers from 1 to ${max}, not "${text}"`);
  }
  return value;
}
