/**
 * `bun run bench`: starts every server on one core and every client on the other, checks that the
 * answers are right byte for byte, measures, and prints what it found.
 *
 *   bun run bench [--quick] [--case NAME] [--connections 64,512] [--rounds N] [--seconds N]
 *                 [--binary FILE]
 *
 *   --quick        under a minute: fewer cases, one round of one second
 *   --case         only the cases whose name contains NAME (see cases.ts; "idle" is the memory)
 *   --binary       measures an executable instead of the source
 *
 * @module
 */

import { parseArgs } from "node:util";
import { type BenchOptions, progressLine } from "./bench_options.ts";
import { PACED_CASES, quickPaced, WHOLE_CASES } from "./cases.ts";
import { readMachine } from "./machine.ts";
import { runIdle, runPaced } from "./paced.ts";
import { table } from "./report.ts";
import type { IdleRow, PacedRow, Results, WholeRow } from "./results.ts";
import { WEIR_FROM_SOURCE } from "./weir_server.ts";
import { runWhole } from "./whole.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    case: { type: "string", default: "" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    connections: { type: "string" },
    binary: { type: "string" },
  },
});

const isQuick = values.quick;
const options: BenchOptions = {
  isQuick,
  rounds: Number(values.rounds ?? (isQuick ? 1 : 3)),
  seconds: Number(values.seconds ?? (isQuick ? 1 : 3)),
  connections: values.connections?.split(",").map(Number) ??
    (isQuick ? [64] : [1, 64, 512, 4000]),
  weir: values.binary === undefined ? WEIR_FROM_SOURCE : [values.binary],
  say: progressLine,
};

const whole: WholeRow[] = [];
const paced: PacedRow[] = [];
const idle: IdleRow[] = [];
const skipped: string[] = [];

const isAsked = ({ name }: { readonly name: string }) => name.includes(values.case);
const wholeCases = WHOLE_CASES.filter((work) => isAsked(work) && (work.isQuick || !isQuick));
const pacedCases = isQuick
  ? PACED_CASES.slice(0, 1).map(quickPaced).filter(isAsked)
  : PACED_CASES.filter(isAsked);

for (const work of wholeCases) {
  const found = await runWhole(work, options);
  whole.push(...found.rows);
  skipped.push(...found.skipped);
}
for (const work of pacedCases) {
  const found = await runPaced(work, options);
  paced.push(...found.rows);
  skipped.push(...found.skipped);
}
if (isAsked({ name: "idle" })) idle.push(await runIdle(options));

const results: Results = {
  machine: readMachine(),
  isQuick,
  rounds: options.rounds,
  secondsPerRun: options.seconds,
  whole,
  paced,
  idle,
  figures: [],
  skipped,
};
progressLine("");
process.stdout.write(table(results));
process.exit(0);
