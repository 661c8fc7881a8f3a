/**
 * `bun run bench`: starts every server on one core and every client on the other, checks that the
 * answers are right byte for byte, measures, and writes what it found.
 *
 *   bun run bench [--quick] [--case NAME] [--connections 64,512] [--rounds N] [--seconds N]
 *                 [--binary FILE | --against REF] [--out FOLDER] [--add]
 *
 *   --quick        under a minute: fewer cases, one round of one second
 *   --case         only the cases whose name contains NAME (see cases.ts; "idle" is the memory)
 *   --binary       measures an executable instead of the source
 *   --against      builds the working tree and REF, and measures one beside the other
 *   --out          where results.md, results.html and results.json go (default: bench/results, which
 *                  git ignores)
 *   --add          takes the cases that are not run from the results.json that is there
 *
 * @module
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildBoth } from "./against.ts";
import { type BenchOptions, progressLine, type Rounds } from "./bench_options.ts";
import { PACED_CASES, quickPaced, SWEEP_CASES, WHOLE_CASES } from "./cases.ts";
import { figuresOf } from "./figures.ts";
import { readMachine } from "./machine.ts";
import { htmlPage } from "./page.ts";
import { runIdle, runPaced } from "./paced.ts";
import { figuresTable, resultsPage, table } from "./report.ts";
import { added, type IdleRow, type PacedRow, type Results, type WholeRow } from "./results.ts";
import { WEIR_FROM_SOURCE } from "./weir_server.ts";
import { runWhole } from "./whole.ts";

/** More of anything is a mistake, not a measurement. */
const ROUNDS_MAX = 100;
const SECONDS_MAX = 600;
const CONNECTIONS_MAX = 10_000;

/** Rounds of the published run. */
const ROUNDS: Rounds = { judged: 5, shown: 3, many: 2, paced: 3 };

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

const isQuick = values.quick;
const builds = values.against === undefined ? undefined : buildBoth(values.against, progressLine);
const options: BenchOptions = {
  isQuick,
  rounds: roundsAsked(),
  seconds: whole("--seconds", values.seconds ?? (isQuick ? "1" : "2"), SECONDS_MAX),
  connections: (values.connections ?? (isQuick ? "64" : "1,64,512,4000")).split(",")
    .map((text) => whole("--connections", text, CONNECTIONS_MAX)),
  weir: builds !== undefined
    ? [builds.ours]
    : values.binary === undefined
    ? WEIR_FROM_SOURCE
    : [values.binary],
  against: builds === undefined
    ? undefined
    : { name: `weir at ${builds.commit}`, command: [builds.theirs] },
  say: progressLine,
};

try {
  const results = await measure();
  progressLine("");
  process.stdout.write(`${table(results)}\n${figuresTable(figuresOf(results))}\n`);
  if (builds === undefined) write(results, values.out);
} finally {
  builds?.remove();
}
process.exit(0);

async function measure(): Promise<Results> {
  const wholeRows: WholeRow[] = [];
  const paced: PacedRow[] = [];
  const idle: IdleRow[] = [];
  const skipped: string[] = [];
  const isAsked = ({ name }: { readonly name: string }) => name.includes(values.case);
  const wholeCases = WHOLE_CASES.filter((work) => isAsked(work) && (work.isQuick || !isQuick));
  const pacedCases = isQuick ? PACED_CASES.slice(0, 1).map(quickPaced) : PACED_CASES;
  for (const work of wholeCases) {
    const found = await runWhole(work, options);
    wholeRows.push(...found.rows);
    skipped.push(...found.skipped);
  }
  for (const work of pacedCases.filter(isAsked)) {
    const found = await runPaced(work, options.rounds.paced, options);
    paced.push(...found.rows);
    skipped.push(...found.skipped);
  }
  for (const work of isQuick || builds !== undefined ? [] : SWEEP_CASES.filter(isAsked)) {
    const found = await runPaced(work, 1, options);
    paced.push(...found.rows);
    skipped.push(...found.skipped);
  }
  if (isAsked({ name: "idle" })) idle.push(await runIdle(options));
  return {
    machine: readMachine(),
    isQuick,
    rounds: options.rounds.judged,
    secondsPerRun: options.seconds,
    whole: wholeRows,
    paced,
    idle,
    skipped,
  };
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
  progressLine(`${join(folder, "results.md")}, results.html and results.json are written\n`);
}

/** The same number everywhere when one is asked for. */
function roundsAsked(): Rounds {
  if (values.rounds === undefined && !isQuick) return ROUNDS;
  const rounds = whole("--rounds", values.rounds ?? "1", ROUNDS_MAX);
  return { judged: rounds, shown: rounds, many: rounds, paced: rounds };
}

function whole(flag: string, text: string, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > max) {
    throw new Error(`${flag} takes whole numbers from 1 to ${max}, not "${text}"`);
  }
  return value;
}
