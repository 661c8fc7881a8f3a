/**
 * A server under measurement: its own process on its own core, with its processor time and memory.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import { ONE_CORE_EACH, pinnedTo } from "./machine.ts";

/** Longest wait for a server to answer its first request. */
const START_MS_MAX = 20_000;
/** How long a server may take to end before it is killed. */
const STOP_MS_MAX = 3000;

/** How to start a server. */
export interface ServerCommand {
  readonly name: string;
  readonly command: readonly string[];
  readonly port: number;
  /** A path that answers 200 as soon as the server is ready. */
  readonly readyPath: string;
  /** True: it speaks TLS, with a certificate that nobody else knows. */
  readonly isTls?: boolean;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The cores it runs on. Default: the server's one. */
  readonly cores?: readonly number[];
}

/** A server that answers. */
export interface RunningServer {
  readonly name: string;
  readonly origin: string;
  /** Processor time of the process and its children so far, in nanoseconds. */
  readonly cpuNs: () => number;
  /** Memory in use now, in KiB, of the process and its children. */
  readonly rssKib: () => number;
  /** The most memory it ever used, in KiB. */
  readonly peakRssKib: () => number;
  readonly stop: () => Promise<void>;
}

/** A port of this machine that nobody listens on. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

/**
 * Starts a server and waits until it answers.
 *
 * @throws {Error} with what it printed, when it does not.
 */
export async function startServer(server: ServerCommand): Promise<RunningServer> {
  const child = Bun.spawn([...pinnedTo(server.cores ?? ONE_CORE_EACH.server), ...server.command], {
    ...(server.cwd === undefined ? {} : { cwd: server.cwd }),
    env: { ...process.env, ...server.env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const errors = new Response(child.stderr).text();
  const origin = `${server.isTls === true ? "https" : "http"}://127.0.0.1:${server.port}`;
  const stop = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
    await child.exited;
    clearTimeout(timer);
  };
  const untilMs = performance.now() + START_MS_MAX;
  while (!await answers(`${origin}${server.readyPath}`)) {
    if (child.exitCode !== null || performance.now() > untilMs) {
      await stop();
      throw new Error(`${server.name} did not start: ${(await errors).slice(0, 2000)}`);
    }
    await Bun.sleep(20);
  }
  return {
    name: server.name,
    origin,
    cpuNs: () => sum(child.pid, cpuNsOf),
    rssKib: () => sum(child.pid, (pid) => statusKib(pid, "VmRSS")),
    peakRssKib: () => sum(child.pid, (pid) => statusKib(pid, "VmHWM")),
    stop,
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(1000),
      keepalive: false,
      tls: { rejectUnauthorized: false },
    });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false; // not listening yet
  }
}

/** The sum of `read` over a process and its descendants: nginx works in a child. */
function sum(pid: number, read: (pid: number) => number): number {
  let total = 0;
  for (const member of [pid, ...childrenOf(pid)]) {
    try {
      total += read(member);
    } catch {
      // A child that has just ended has nothing more to add.
    }
  }
  return total;
}

function childrenOf(pid: number): readonly number[] {
  const children: number[] = [];
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const text = readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim();
    for (const child of text.split(" ").filter((word) => word !== "").map(Number)) {
      children.push(child, ...childrenOf(child));
    }
  }
  return children;
}

/** Nanoseconds on a core, of all threads: the scheduler's own count, finer than `getrusage`. */
function cpuNsOf(pid: number): number {
  let total = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    total += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
  }
  return total;
}

function statusKib(pid: number, field: string): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
}
