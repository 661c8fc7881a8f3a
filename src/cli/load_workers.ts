/**
 * A load by several processes of this machine: each is a shard of the whole, and their runs are put
 * together as those of several machines are.
 *
 * @module
 */

import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { FlagValues } from "./flags.ts";
import { mergeRuns } from "./load_files.ts";
import type { LOAD_FLAGS } from "./load_flags.ts";
import { writeReport } from "./load_run.ts";
import type { Shard } from "../load/shape/shards.ts";
import { selfCommand } from "./self.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";

type Flags = FlagValues<typeof LOAD_FLAGS>;

/** What the first process says itself, and whether a value follows. */
const OWN_FLAGS: Readonly<Record<string, boolean>> = {
  "--workers": true,
  "--out": true,
  "-o": true,
  "--raw": true,
  "--shard": true,
  "--start-at": true,
  "--json": false,
};
/** By then every process has begun, also on a machine that is busy. */
const START_MS = 1500;

/** How many processes `--workers` asks for. */
export function workersOf(workers: number | "auto"): number {
  return workers === "auto" ? availableParallelism() : workers;
}

/**
 * Runs the load in `count` processes, and prints it as one.
 *
 * @throws {Failure} when one of them fails otherwise than by what it has measured.
 */
export async function runInWorkers(
  count: number,
  words: readonly string[],
  flags: Flags,
  terminal: Terminal,
): Promise<number> {
  refuse(flags);
  const folder = mkdtempSync(join(tmpdir(), "weir-load-"));
  const startAt = Math.max(flags.startAt ?? 0, Date.now() + START_MS) / 1000;
  const given = withoutOwn(words);
  const parts = Array.from({ length: count }, (_, worker) => {
    const { index, count: all } = within(flags.shard, worker, count);
    const [out, raw] = [join(folder, `${worker}.json`), join(folder, `${worker}.jsonl`)];
    const child = Bun.spawn(
      selfCommand([
        ...["load", ...given, "--shard", `${index + 1}/${all}`, "--start-at", String(startAt)],
        ...["--out", out, "--json", ...(flags.raw === undefined ? [] : ["--raw", raw])],
      ]),
      { stdin: "ignore", stdout: "ignore", stderr: "pipe" },
    );
    return { child, out, raw, said: new Response(child.stderr).text() };
  });
  const interrupt = () => {
    for (const { child } of parts) child.kill("SIGINT");
  };
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  try {
    for (const { child, said } of parts) {
      const code = await child.exited;
      const isMeasured = [EXIT.done, EXIT.failed, EXIT.doubtful, EXIT.interrupted]
        .some((one) => one === code);
      if (!isMeasured) throw new Failure(`A worker ended with ${code}: ${(await said).trim()}`);
    }
    if (flags.raw !== undefined) {
      writeReport(flags.raw, "");
      for (const { raw } of parts) appendFileSync(flags.raw, readFileSync(raw));
    }
    return mergeRuns(parts.map(({ out }) => out), flags, terminal);
  } finally {
    interrupt();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @throws {Failure} for what needs all records, or all results, in one place. */
function refuse(flags: Flags): void {
  const alone = (["as", "sweep", "search", "csv"] as const)
    .find((key) => flags[key] !== undefined && flags[key] !== false);
  if (alone === undefined) return;
  throw new Failure(`--${alone} is of one process: without --workers`, EXIT.usage);
}

/** A worker's part of this machine's part. */
function within(shard: Shard | undefined, worker: number, workers: number): Shard {
  const { index, count } = shard ?? { index: 0, count: 1 };
  return { index: index + worker * count, count: count * workers };
}

function withoutOwn(words: readonly string[]): readonly string[] {
  const kept: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const [name = ""] = words[at]!.split("=");
    const isGlued = /^-o./.test(name);
    if (isGlued) continue;
    if (!Object.hasOwn(OWN_FLAGS, name)) kept.push(words[at]!);
    else if (OWN_FLAGS[name]! && !words[at]!.includes("=")) at++;
  }
  return kept;
}
