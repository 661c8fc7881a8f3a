/**
 * The stream client as its own process on its own core: reads a plan, measures, prints one line.
 *
 * The runner calls `measureStreams`; the process it starts runs the other half of this file.
 *
 * @module
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { knownAnswer, requestBytes, targetOf } from "../src/load/stream_probe.ts";
import { judge, type StreamReport, type Verdict } from "../src/load/stream_report.ts";
import { StreamRun } from "../src/load/stream_run.ts";
import { ONE_CORE_EACH, pinnedTo } from "./machine.ts";

/** How long a stream may be behind its schedule before it is given up: nginx + Lua is seconds behind. */
const GRACE_MS = 30_000;

/** What the client does. */
export interface StreamsPlan {
  readonly url: string;
  readonly body: string;
  readonly streams: number;
  readonly rampMs: number;
  /** When each event is due; undefined where nobody knows. */
  readonly dueMs: readonly number[] | undefined;
  /** The bytes of one right answer, in base64; undefined where answers differ. */
  readonly answer: string | undefined;
  /** True: open all streams, say so, and wait to be told to stop. */
  readonly isHeld: boolean;
}

/** What it found. */
export interface StreamsFound {
  readonly report: StreamReport;
  readonly verdict: Verdict;
}

/**
 * Runs the plan in a process of its own. `whileOpen` is called when every stream has had its first
 * event; a held run ends when it returns.
 */
export async function measureStreams(
  plan: StreamsPlan,
  whileOpen: () => Promise<void> | void = () => {},
): Promise<StreamsFound> {
  const folder = mkdtempSync(join(tmpdir(), "weir-bench-"));
  try {
    const file = join(folder, "plan.json");
    writeFileSync(file, JSON.stringify(plan));
    const child = Bun.spawn([
      ...pinnedTo(ONE_CORE_EACH.client),
      process.execPath,
      "--no-env-file",
      import.meta.path,
      file,
    ], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    let said = "";
    let isOpen = false;
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
      said += piece;
      if (isOpen || !said.startsWith("open\n")) continue;
      isOpen = true;
      await whileOpen();
      child.stdin.end();
    }
    const code = await child.exited;
    if (code !== 0) throw new Error(`The stream client ended with ${code}`);
    return JSON.parse(said.slice(said.indexOf("{"))) as StreamsFound;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runPlan(plan: StreamsPlan): Promise<void> {
  const target = targetOf(plan.url, requestBytes(plan.url, plan.body));
  const run = new StreamRun({
    target,
    streams: plan.streams,
    rampMs: plan.rampMs,
    graceMs: GRACE_MS,
    answer: plan.answer === undefined
      ? undefined
      : knownAnswer([new Uint8Array(Buffer.from(plan.answer, "base64"))]),
    dueMs: plan.dueMs === undefined ? undefined : Float64Array.from(plan.dueMs),
  });
  const measured = run.measure();
  await run.opened;
  process.stdout.write("open\n");
  if (plan.isHeld) {
    await Bun.stdin.text();
    run.stop("held to the end");
  }
  const report = await measured;
  process.stdout.write(`${JSON.stringify({ report, verdict: judge(report) })}\n`);
}

if (import.meta.main) {
  await runPlan(await Bun.file(process.argv[2]!).json());
  process.exit(0);
}
