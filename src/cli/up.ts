/**
 * `weir up`: serves the workflows of this folder, in the foreground or, with `-d`, behind it.
 *
 * @module
 */

import { existsSync, openSync, readFileSync, rmSync } from "node:fs";
import type { RunNote } from "../workflows/engine.ts";
import { parseUpOptions } from "./command_line.ts";
import { selfCommand } from "./self.ts";
import { serveSettings } from "./serve.ts";
import { readSettings } from "./settings.ts";
import { Failure, type Terminal } from "./terminal.ts";

/** Whoever makes this file in the folder of a running `weir up` stops it (as model-compose does). */
export const STOP_FILE = ".stop";
/** How often the file is looked for. */
const STOP_LOOK_MS = 500;

/** Where a detached weir prints. */
const LOG_FILE = "weir.log";
/** How long a detached weir may take until it listens. */
const START_MS_MAX = 30_000;
/** How often its log is looked at meanwhile. */
const START_LOOK_MS = 20;

/** Serves until a signal or `weir down` ends it. */
export async function up(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseUpOptions(args);
  if (options.isDetached) return await detach(args, terminal);
  const read = () => readSettings(options, terminal);
  return await serveSettings(read(), terminal, {
    read,
    stopped: untilStopFile,
    ...(options.isVerbose ? { noteRun: (note) => terminal.complain(noteText(note)) } : {}),
  });
}

/** Resolves when somebody has made the file. */
function untilStopFile(): Promise<void> {
  rmSync(STOP_FILE, { force: true }); // left by a `down` that found nobody
  const { promise, resolve } = Promise.withResolvers<void>();
  const looking = setInterval(() => {
    if (!existsSync(STOP_FILE)) return;
    clearInterval(looking);
    rmSync(STOP_FILE, { force: true });
    resolve();
  }, STOP_LOOK_MS);
  return promise;
}

/** A line that tells what happens to a run. */
export function noteText({ taskId, workflowId, jobId, stage, elapsedMs }: RunNote): string {
  const what = jobId === null ? `Workflow '${workflowId}'` : `Job '${jobId}'`;
  const when = stage === "started" ? "" : ` in ${(elapsedMs / 1000).toFixed(2)} seconds`;
  return `[task-${taskId}] ${what} ${stage}${when}.`;
}

/** Starts this program again without `-d`, waits until it listens, and leaves it alone. */
async function detach(args: readonly string[], terminal: Terminal): Promise<number> {
  const rest = args.filter((word) => word !== "-d" && word !== "--detach");
  const log = openSync(LOG_FILE, "w");
  const child = Bun.spawn(selfCommand(["up", ...rest]), {
    stdin: "ignore",
    stdout: log,
    stderr: log,
    detached: true,
  });
  const endMs = performance.now() + START_MS_MAX;
  while (performance.now() < endMs) {
    const said = readFileSync(LOG_FILE, "utf8");
    if (said.includes(" listens on ")) {
      terminal.print(said.trimEnd());
      terminal.print(
        `process ${child.pid} goes on, ${LOG_FILE} has what it says: weir down ends it`,
      );
      child.unref();
      return 0;
    }
    if (child.exitCode !== null) throw new Failure(said.trim().replace(/^weir: /, ""));
    await Bun.sleep(START_LOOK_MS);
  }
  child.kill();
  throw new Failure(`It does not listen after ${START_MS_MAX} ms: see ${LOG_FILE}`);
}
