/**
 * Runs the case of the start: how long it takes from nothing to an answer of /health, and how long
 * the loop is held up at once from the first answer on, when what was put off at the start is done.
 *
 * The runner calls `runStart`; the process that it starts for each start, on the client's core, runs
 * the other half of this file. weir's own metric looks every 100 ms and would see a short block by
 * chance. So the client asks /health again and again, a millisecond after each answer: the longest
 * wait for one is the longest block, or up to a millisecond more or less. It is watched from the first
 * answer, which may be "starting" with 503, to a second after the first 200; what holds the loop up
 * before it can answer at all is part of the time until then.
 *
 * @module
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ResponseReader } from "../src/load/response_reader.ts";
import { requestBytes } from "../src/load/stream_probe.ts";
import { buildHere } from "./against.ts";
import type { BenchOptions } from "./bench_options.ts";
import { START_CASE } from "./cases.ts";
import { ONE_CORE_EACH, pinnedTo } from "./machine.ts";
import { bareBun } from "./peers/peer.ts";
import type { Start, StartRow } from "./results.ts";
import { freePort } from "./server_process.ts";
import { serveCommand, WEIR_FROM_SOURCE } from "./weir_server.ts";

/** How long the loop is watched after the first answer of 200. */
export const WATCH_MS = 1000;
/** Between two questions. */
const PAUSE_MS = 1;
/** A server that does not answer by then does not start. */
const START_MS_MAX = 20_000;
/** A first start reads the executable from the disk; what is measured is not the disk. */
export const WARM_STARTS = 1;

interface StartPlan {
  /** The command, with the port in it. */
  readonly command: readonly string[];
  readonly port: number;
}

/** How often each server is started. */
export function startsOf({ isQuick }: Pick<BenchOptions, "isQuick">): number {
  return isQuick ? START_CASE.quickStarts : START_CASE.starts;
}

/** Runs it: weir and what it is measured beside in turn. */
export async function runStart(options: BenchOptions): Promise<readonly StartRow[]> {
  const { weir, against, say } = options;
  const isBuilt = weir !== WEIR_FROM_SOURCE;
  if (!isBuilt) say("building the executable of the working tree");
  const built = isBuilt ? undefined : buildHere();
  try {
    const ours = built === undefined ? weir : [built.file];
    const serve = (command: readonly string[]) => (port: number) =>
      serveCommand(command, port, { "ops.log": "off" });
    const contenders = [
      { server: "weir", command: serve(ours) },
      against === undefined
        ? { server: bareBun.name, command: bareCommand }
        : { server: against.name, command: serve(against.command) },
    ].map((one) => ({ ...one, starts: [] as Start[] }));
    const count = startsOf(options);
    for (let i = -WARM_STARTS; i < count; i++) {
      for (const { server, command, starts } of contenders) {
        if (i >= 0) say(`${START_CASE.title}: ${i + 1} of ${count}, ${server}`);
        const start = await startOnce(command);
        if (i >= 0) starts.push(start);
      }
    }
    return contenders.map(({ server, starts }) => ({ server, starts }));
  } finally {
    built?.remove();
  }
}

/** A bare server that answers everything with an empty object: what the runtime itself takes. */
function bareCommand(port: number): readonly string[] {
  const serve =
    `Bun.serve({ port: ${port}, hostname: "127.0.0.1", fetch: () => Response.json({}) })`;
  return [process.execPath, "--no-env-file", "-e", serve];
}

async function startOnce(command: (port: number) => readonly string[]): Promise<Start> {
  const port = freePort();
  const folder = mkdtempSync(join(tmpdir(), "weir-bench-"));
  try {
    const plan: StartPlan = { command: command(port), port };
    const client = Bun.spawn([
      ...pinnedTo(ONE_CORE_EACH.client),
      process.execPath,
      "--no-env-file",
      import.meta.path,
      JSON.stringify(plan),
    ], { cwd: folder, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [said, errors, code] = await Promise.all([
      new Response(client.stdout).text(),
      new Response(client.stderr).text(),
      client.exited,
    ]);
    if (code !== 0) throw new Error(`It did not start: ${errors.slice(-2000)}`);
    return JSON.parse(said) as Start;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One connection that asks /health, one question after the other. */
class Questions {
  readonly #request: Uint8Array;
  readonly #socket: Bun.Socket<undefined>;
  #answer: PromiseWithResolvers<number> | undefined;
  #reader: ResponseReader | undefined;

  private constructor(socket: Bun.Socket<undefined>, request: Uint8Array) {
    this.#socket = socket;
    this.#request = request;
  }

  /** @throws {Error} as long as nobody listens. */
  static async open(port: number): Promise<Questions> {
    const request = requestBytes(`http://127.0.0.1:${port}/health`, undefined);
    // Read only after the socket is there: the callbacks come later than the connection.
    const made: { questions?: Questions } = {};
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_, bytes) => made.questions?.feed(bytes),
        close: () => made.questions?.fail(),
      },
    });
    return made.questions = new Questions(socket, request);
  }

  /** Takes what was read. */
  feed(bytes: Uint8Array): void {
    this.#reader?.feed(bytes);
  }

  /** The connection is gone. */
  fail(): void {
    this.#answer?.reject(new Error("closed"));
  }

  /** Gives the status of the answer. */
  ask(): Promise<number> {
    const answer = this.#answer = Promise.withResolvers<number>();
    let status = 0;
    this.#reader = new ResponseReader({
      head: (head) => void (status = head.status),
      data: () => {},
      cut: () => {},
      end: () => answer.resolve(status),
    });
    this.#socket.write(this.#request);
    return answer.promise;
  }
}

/** Asks until there is an answer of any kind: a port that nobody listens on refuses at once. */
async function firstAnswer(
  port: number,
  untilMs: number,
): Promise<{ readonly questions: Questions; readonly status: number }> {
  while (performance.now() < untilMs) {
    try {
      const questions = await Questions.open(port);
      return { questions, status: await questions.ask() };
    } catch {
      // Not listening yet.
    }
    await Bun.sleep(PAUSE_MS);
  }
  throw new Error("there is no answer");
}

async function measure({ command, port }: StartPlan): Promise<Start> {
  const startMs = performance.now();
  const server = Bun.spawn([...pinnedTo(ONE_CORE_EACH.server), ...command], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
  });
  try {
    const giveUpMs = startMs + START_MS_MAX;
    const { questions, status } = await firstAnswer(port, giveUpMs);
    let readyMs = status === 200 ? performance.now() - startMs : undefined;
    let blockMs = 0;
    while (performance.now() < (readyMs === undefined ? giveUpMs : startMs + readyMs + WATCH_MS)) {
      await Bun.sleep(PAUSE_MS);
      const askedMs = performance.now();
      const isReady = await questions.ask() === 200;
      const answeredMs = performance.now();
      blockMs = Math.max(blockMs, answeredMs - askedMs);
      if (isReady) readyMs ??= answeredMs - startMs;
      else if (readyMs !== undefined) throw new Error("/health is no longer 200");
    }
    if (readyMs === undefined) throw new Error("/health is never 200");
    return { readyMs, blockMs };
  } finally {
    server.kill("SIGKILL"); // how it ends is no part of this
    await server.exited;
  }
}

if (import.meta.main) {
  process.stdout.write(JSON.stringify(await measure(JSON.parse(process.argv[2]!))));
  process.exit(0);
}
