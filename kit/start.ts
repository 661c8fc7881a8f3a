/**
 * Starts the executable of weir for the time of a test run.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { ask } from "./http.ts";

/** How weir is started. */
export interface StartOptions {
  /** The executable, or the words that start it. Absent: `WEIR_BINARY`, else `weir` of the PATH. */
  readonly binary?: string | readonly string[];
  /** Files, folders or globs of fixtures, as `mock.fixtures` takes them. */
  readonly fixtures?: string | readonly string[];
  /** True: what no fixture fits is an error that says why. */
  readonly strict?: boolean;
  /** A config file. Absent: none is read, not even one of this folder. */
  readonly config?: string;
  /** Further settings: `{ "mock.delay_ms": 5 }`. */
  readonly set?: Readonly<Record<string, string | number | boolean>>;
  /** Environment variables. Besides these it gets what finds programs and folders, and no others. */
  readonly env?: Readonly<Record<string, string>>;
  /** The key that clients must show. */
  readonly token?: string;
  /** How long it may take to answer. */
  readonly startMs?: number;
  /** Told what weir prints. */
  readonly onOutput?: (text: string) => void;
}

/** A weir that was started here. */
export interface Started {
  readonly url: string;
  readonly pid: number;
  /** Ends it. Safe to call again. */
  stop(): Promise<void>;
}

const START_MS = 10_000;
/** As much of what weir prints is kept for an error. */
const OUTPUT_CHARS_MAX = 16_384;

/** What a test wants; `set` has the last word. */
const SETTINGS = {
  "mock.delay_ms": 0,
  "ops.journal": "bodies",
  "ops.log": "off",
  "server.drain_ms": 0,
} as const;

/** What a program needs of an environment on every system. Nothing here configures weir. */
const ENV_NAMES = ["PATH", "HOME", "TMPDIR", "TEMP", "TMP", "SystemRoot", "USERPROFILE", "APPDATA"];

/** Starts weir on a free port. Gives it once it answers. It ends with this process, however that ends. */
export async function startProcess(options: StartOptions): Promise<Started> {
  const words = commandOf(options);
  const folder = mkdtempSync(join(tmpdir(), "weir-kit-"));
  const child = spawn(words[0]!, words.slice(1), {
    cwd: folder,
    env: environmentOf(options),
    // Its end says to weir that this process is gone.
    stdio: ["pipe", "pipe", "pipe"],
    windowsHide: true,
  });
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const leave = () => {
    child.kill("SIGKILL");
    removeFolder(folder);
  };
  process.once("exit", leave);
  let stopping: Promise<void> | undefined;
  const stop = () =>
    stopping ??= end(child, exited).finally(() => {
      process.off("exit", leave);
      removeFolder(folder);
    });
  try {
    const url = await listening(child, words, options);
    await ask("GET", `${url}/health`, {});
    letGo(child);
    return { url, pid: child.pid!, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function commandOf({ binary, fixtures = [], strict, config, set }: StartOptions): string[] {
  const program = binary ?? (process.env["WEIR_BINARY"] || "weir");
  const paths = (typeof fixtures === "string" ? [fixtures] : fixtures).map((path) => resolve(path));
  const settings = {
    ...SETTINGS,
    ...(paths.length === 0 ? {} : { "mock.fixtures": JSON.stringify(paths) }),
    ...(strict === undefined ? {} : { "mock.strict": strict }),
    ...set,
  };
  return [
    ...(typeof program === "string" ? [program] : program),
    "serve",
    "--until-stdin-ends",
    "--host=127.0.0.1",
    "--port=0",
    ...(config === undefined ? [] : [`--config=${resolve(config)}`]),
    ...Object.entries(settings).map(([key, value]) => `--set=${key}=${value}`),
  ];
}

function environmentOf({ env, token }: StartOptions): Record<string, string> {
  const kept = ENV_NAMES.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...Object.fromEntries(kept),
    ...(token === undefined ? {} : { WEIR_AUTH_TOKEN: token }),
    ...env,
  };
}

/** Where it listens, as soon as it says so. @throws {Error} when it does not. */
function listening(
  child: ChildProcess,
  words: readonly string[],
  { startMs = START_MS, onOutput }: StartOptions,
): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = "";
    const fail = (why: string) => {
      clearTimeout(timer);
      reject(new Error(`${words[0]} ${why}${output === "" ? "" : `:\n${output.trimEnd()}`}`));
    };
    const timer = setTimeout(() => fail(`did not start within ${startMs} ms`), startMs);
    const onText = (text: string) => {
      onOutput?.(text);
      output = (output + text).slice(-OUTPUT_CHARS_MAX);
      const url = / listens on (https?:\/\/\S+)/.exec(output)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      resolve(url);
    };
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding("utf8");
      stream.on("data", onText);
    }
    // A write into a pipe whose reader is gone fails there, and nothing is written anyway.
    child.stdin!.on("error", () => {});
    child.once("error", (error: NodeJS.ErrnoException) =>
      fail(
        error.code === "ENOENT"
          ? "is not there: install weir, set WEIR_BINARY to its executable, or give {binary}"
          : `cannot be started: ${error.message}`,
      ));
    // Behind "close" all that it has printed is here.
    child.once("close", (code) => fail(`ended with exit code ${code}`));
  });
}

/** Nothing that it has is worth waiting for. */
async function end(child: ChildProcess, exited: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  child.ref();
  child.kill("SIGKILL");
  await exited;
}

/** A test runner that has nothing else to do ends, and weir with it. */
function letGo(child: ChildProcess): void {
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr]) {
    (stream as { unref?: () => void } | null)?.unref?.();
  }
}

function removeFolder(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    // A folder that cannot be removed is the system's business.
  }
}
