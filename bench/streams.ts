/**
 * The stream client as its own process on its own core: reads a plan, measures, prints one line.
 *
 * The runner calls `measureStreams`; the process it starts runs the other half of this file.
 *
 * @module
 */

import { knownAnswer, requestBytes, targetOf } from "../src/load/stream_probe.ts";
import { judge, type StreamReport, type Verdict } from "../src/load/stream_report.ts";
import { StreamRun } from "../src/load/stream_run.ts";
import { type Held, runHeld, serveHeld } from "./held_child.ts";

/** How late this client may be, p99. */
const LOOP_MS_MAX = 3;

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
  return JSON.parse(await runHeld(import.meta.path, plan, whileOpen)) as StreamsFound;
}

async function run(plan: StreamsPlan, held: Held): Promise<string> {
  const target = targetOf(plan.url, requestBytes(plan.url, plan.body));
  const streams = new StreamRun({
    target,
    streams: plan.streams,
    rampMs: plan.rampMs,
    graceMs: GRACE_MS,
    answer: plan.answer === undefined
      ? undefined
      : knownAnswer([new Uint8Array(Buffer.from(plan.answer, "base64"))]),
    dueMs: plan.dueMs === undefined ? undefined : Float64Array.from(plan.dueMs),
  });
  const measured = streams.measure();
  await streams.opened;
  held.open();
  if (plan.isHeld) {
    await held.released();
    streams.stop("held to the end");
  }
  const report = await measured;
  return JSON.stringify({ report, verdict: judge(report, { loopMsMax: LOOP_MS_MAX }) });
}

if (import.meta.main) await serveHeld(run);
