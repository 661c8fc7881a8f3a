/**
 * `weir up`: serves the workflows of this folder, in the foreground or, with `-d`, behind it.
 *
 * @module
 */

import { existsSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { RunNote } from "../workflows/engine.ts";
import { defineCommand } from "./command.ts";
import { SETTING_FLAGS, settingOptions } from "./command_line.ts";
import { switchFlag } from "./flags.ts";
import { selfCommand } from "./self.ts";
import { SERVE_EXITS, serveSettings } from "./serve.ts";
import { readServed, WORKFLOW_FILES } from "./settings.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import { workerLink } from "./worker_link.ts";

/** Whoever makes this file in the folder of a running `weir up` stops it (as model-compose does). */
export const STOP_FILE = ".stop";
/** How often the file is looked for. */
const STOP_LOOK_MS = 500;

/** Where a detached weir prints. */
const LOG_FILE = "weir.log";
/** Who runs in this folder, and where it listens. */
const PID_FILE = "weir.pid";
/** How long a weir that is said to run may take to answer. */
const HEALTH_MS_MAX = 2000;
/** How long a detached weir may take until it listens. */
const START_MS_MAX = 30_000;
/** How often its log is looked at meanwhile. */
const START_LOOK_MS = 20;

/** `-v` of a command that runs workflows. */
export const verboseFlag = switchFlag({
  short: "v",
  text: "tell when runs and jobs begin and end",
});

/** Serves until a signal or `weir down` ends it. */
export const up = defineCommand({
  name: "up",
  summary: "start the server with the workflows of model-compose.yml",
  details: "It listens where the file's controller says, unless weir is told itself.",
  operands: {},
  flags: {
    detach: switchFlag({
      short: "d",
      text: `in the background; ${LOG_FILE} gets what it prints`,
    }),
    verbose: verboseFlag,
    ...SETTING_FLAGS,
  },
  examples: [
    { line: "weir up", text: "in the foreground, until Ctrl-C" },
    { line: "weir -f model-compose.yml up -d", text: "in the background, until weir down" },
  ],
  exits: {
    ...SERVE_EXITS,
    [EXIT.done]: "it was stopped, and open streams could finish; with -d: it listens",
  },
  async run({ flags, words }, terminal) {
    // Workers run the same words as their supervisor, which runs already.
    if (workerLink(process.env) === undefined) await checkAlone();
    if (flags.detach) return await detach(words, terminal);
    const read = () => {
      const settings = readServed(settingOptions(flags), terminal);
      if (settings.workflowFiles.length > 0) return settings;
      throw new Failure(
        `There is no workflow file in this folder: weir up looks for ${
          WORKFLOW_FILES.join(" and ")
        }, or takes -f FILE. Without workflows: weir serve`,
      );
    };
    try {
      return await serveSettings(read(), noting(terminal), {
        read,
        stopped: untilStopFile,
        ...(flags.verbose ? { noteRun: (note) => terminal.complain(noteText(note)) } : {}),
      });
    } finally {
      if (running()?.pid === process.pid) rmSync(PID_FILE, { force: true });
    }
  },
});

/** A `weir up` of this folder. */
interface Running {
  readonly pid: number;
  /** Where it listens, as its first line says. */
  readonly place: string;
}

/** `terminal`, noting where this process listens when it says so. */
function noting(terminal: Terminal): Terminal {
  return {
    ...terminal,
    print(line) {
      const place = / listens on (.+)$/.exec(line)?.[1];
      if (place !== undefined) noteRunning(place);
      terminal.print(line);
    },
  };
}

function noteRunning(place: string): void {
  try {
    writeFileSync(PID_FILE, `${process.pid} ${place}\n`);
  } catch {
    // A folder that nobody can write to: there the port tells that it is taken.
  }
}

/** What the file says that runs; whether it still does is another question. */
function running(): Running | undefined {
  if (!existsSync(PID_FILE)) return undefined;
  const [, pid, place] = /^(\d+) (.+)$/m.exec(readFileSync(PID_FILE, "utf8")) ?? [];
  return place === undefined ? undefined : { pid: Number(pid), place };
}

/** @throws {Failure} when another `weir up` of this folder runs. */
async function checkAlone(): Promise<void> {
  const other = running();
  if (other === undefined || !(await isAlive(other))) return;
  throw new Failure(
    `weir up is already running (pid ${other.pid}) at ${other.place}: weir down ends it`,
  );
}

/** The process is there, and something answers where it said that it listens. */
async function isAlive({ pid, place }: Running): Promise<boolean> {
  if (pid === process.pid) return false; // in a container a killed one had the same
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as { readonly code?: string }).code === "ESRCH") return false;
  }
  const unix = /^socket (.+)$/.exec(place)?.[1];
  if (unix !== undefined) {
    return await Bun.connect({ unix, socket: { data() {} } })
      .then((socket) => (socket.end(), true), () => false);
  }
  const [url] = place.split(" ");
  const signal = AbortSignal.timeout(HEALTH_MS_MAX);
  const tls = { rejectUnauthorized: false };
  return await fetch(`${url}/health`, { signal, tls }).then(() => true, () => false);
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
async function detach(words: readonly string[], terminal: Terminal): Promise<number> {
  const log = openSync(LOG_FILE, "w");
  const child = Bun.spawn(selfCommand(["up", ...withoutDetach(words)]), {
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
      return EXIT.done;
    }
    if (child.exitCode !== null) throw new Failure(said.trim().replace(/^weir: /, ""));
    await Bun.sleep(START_LOOK_MS);
  }
  child.kill();
  throw new Failure(`It does not listen after ${START_MS_MAX} ms: see ${LOG_FILE}`);
}

/** `words` without `-d`, which may stand among the letters of other switches. */
function withoutDetach(words: readonly string[]): readonly string[] {
  return words.flatMap((word) => {
    if (word === "--detach" || /^-d+$/.test(word)) return [];
    return /^-[dv]+$/.test(word) ? [word.replaceAll("d", "")] : [word];
  });
}
