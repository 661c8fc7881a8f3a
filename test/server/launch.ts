/**
 * Starts weir as its own process, from source or, when WEIR_BINARY names one, from the executable:
 * the same black-box tests run on both.
 *
 * @module
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const ROOT = join(import.meta.dir, "..", "..");

/** Longest wait for a process to say something; far above what any machine needs. */
const START_MS_MAX = 30_000;

/**
 * Longest a test may take: several waits, so that a wait in vain says what it waited for. Files run
 * side by side, and nothing here takes as long as that on the busiest of machines.
 */
export const TEST_MS_MAX = 4 * START_MS_MAX;

/** A running weir. */
export interface Weir {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** The folder it was started in: empty but for `files`. */
  readonly folder: string;
  /** Everything it has printed so far. */
  readonly output: () => string;
  readonly errors: () => string;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly exited: Promise<number>;
  /** Ends it and removes its folder. */
  readonly stop: () => Promise<void>;
  /** `GET /health`'s JSON. */
  readonly health: () => Promise<Record<string, unknown>>;
}

/** How to start it. */
export interface LaunchOptions {
  /** `--set` settings. `mock.delay_ms` is 0 unless given. */
  readonly set?: Readonly<Record<string, string | number | boolean>>;
  /** Files to write into its folder: `config.yaml`, `.env`. */
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Further words of the command line. */
  readonly args?: readonly string[];
  /** The words that start it instead of `weirCommand()`. */
  readonly command?: readonly string[];
  /** Words before weir's own: a program that starts it under a limit. */
  readonly under?: readonly string[];
  /** The certificate that its health is asked with, where it has TLS; the first one it shows. */
  readonly ca?: string;
}

/** The words that start weir: the executable, or Bun on the source. */
export function weirCommand(): string[] {
  const binary = process.env["WEIR_BINARY"];
  return binary ? [binary] : [process.execPath, "--no-env-file", join(ROOT, "main.ts")];
}

/** An environment without anything that would configure weir. */
export function cleanEnv(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const { PATH = "", HOME = "", TMPDIR = "" } = process.env;
  return { PATH, HOME, ...(TMPDIR === "" ? {} : { TMPDIR }), ...extra };
}

/** A new empty folder with `files` in it. */
export function makeFolder(files: Readonly<Record<string, string>> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "weir-test-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

/** Starts weir on a free port and waits until it says where it listens and health is ok. */
export async function launch(options: LaunchOptions = {}): Promise<Weir> {
  const folder = makeFolder(options.files);
  const settings = Object.entries({ "mock.delay_ms": 0, ...options.set });
  const child = Bun.spawn([
    ...(options.under ?? []),
    ...(options.command ?? weirCommand()),
    "serve",
    ...(options.args ?? []),
    "--port",
    "0",
    ...settings.flatMap(([key, value]) => ["--set", `${key}=${value}`]),
  ], { cwd: folder, env: cleanEnv(options.env), stdout: "pipe", stderr: "pipe" });
  const output = collect(child.stdout);
  const errors = collect(child.stderr);
  const said = await waitFor(
    () =>
      /listens on (https?:\/\/\S+)/.exec(output()) ?? (child.exitCode === null ? null : "exited"),
  );
  if (typeof said === "string") throw new Error(`weir did not start:\n${output()}${errors()}`);
  const url = said[1]!;
  const tls = options.ca === undefined ? {} : { tls: { ca: options.ca } };
  const health = async () =>
    await (await fetch(`${url}/health`, tls as RequestInit)).json() as Record<string, unknown>;
  await waitFor(async () => ["ok", "degraded"].includes(String((await health())["status"])));
  return {
    url,
    port: Number(new URL(url).port),
    pid: child.pid,
    folder,
    output,
    errors,
    health,
    kill: (signal) => child.kill(signal),
    exited: child.exited,
    async stop() {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Runs a command of weir to its end. */
export async function run(
  args: readonly string[],
  options: Pick<LaunchOptions, "files" | "env"> = {},
): Promise<{ readonly code: number; readonly output: string; readonly errors: string }> {
  const folder = makeFolder(options.files);
  try {
    const child = Bun.spawn([...weirCommand(), ...args], {
      cwd: folder,
      env: cleanEnv(options.env),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, output, errors };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Asks `look` until it gives something, and gives that. Fails loudly after a long time. */
export async function waitFor<T>(
  look: () => T | null | undefined | false | Promise<T | null | undefined | false>,
  what: string = look.toString(),
): Promise<T> {
  const endMs = performance.now() + START_MS_MAX;
  for (;;) {
    const found = await look();
    if (found !== null && found !== undefined && found !== false) return found;
    if (performance.now() > endMs) {
      throw new Error(`Waited ${START_MS_MAX} ms in vain for: ${what}`);
    }
    await Bun.sleep(5);
  }
}

/** One HTTP/1.1 exchange over a raw socket: every byte until the server closes. */
export async function rawExchange(port: number, request: string | Uint8Array): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let answer = "";
  const decoder = new TextDecoder();
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => void socket.write(request),
      data: (_socket, bytes) => {
        answer += decoder.decode(bytes, { stream: true });
      },
      close: () => resolve(answer),
      error: (_socket, error) => reject(error),
    },
  });
  return await promise;
}

/** A raw POST of JSON that asks the server to close afterwards. */
export function rawPost(path: string, body: unknown, headers: readonly string[] = []): string {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return [
    `POST ${path} HTTP/1.1`,
    "Host: weir",
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(text)}`,
    ...headers,
    "",
    text,
  ].join("\r\n");
}

/** The folder of this repository. */
export const REPOSITORY: string = dirname(join(ROOT, "package.json"));

function collect(stream: ReadableStream<Uint8Array>): () => string {
  let text = "";
  void (async () => {
    const decoder = new TextDecoder();
    for await (const bytes of stream) text += decoder.decode(bytes, { stream: true });
  })();
  return () => text;
}
