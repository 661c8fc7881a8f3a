/**
 * A Redis of our own: a private port, a temporary folder, nothing written to disk.
 *
 * @module
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../server/free_port.ts";

/** What a test is told where it is absent. */
export const REDIS_ABSENT = "redis-server (Debian: apt-get install redis-server)";

const START_MS_MAX = 30_000;

/** The program; null = it is not installed. */
export const redisProgram = (): string | null => Bun.which("redis-server");

/** A running Redis. */
export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** A connection for the test itself, as whoever knows the password. */
  readonly ask: (command: string, ...args: string[]) => Promise<unknown>;
  /** Ends it at once, as a crash would: what it knew is lost. */
  readonly crash: () => Promise<void>;
  readonly start: () => Promise<void>;
  /** It is there, and answers nothing. */
  readonly freeze: () => void;
  readonly thaw: () => void;
  readonly stop: () => Promise<void>;
}

/** Starts a Redis that nobody else uses. `password` "" = it wants none. */
export async function startRedis(
  password = "",
  args: readonly string[] = [],
): Promise<RedisServer> {
  const program = redisProgram();
  if (program === null) throw new Error(`There is no ${REDIS_ABSENT}`);
  const folder = mkdtempSync(join(tmpdir(), "weir-redis-"));
  const port = freePort();
  const url = `redis://${password === "" ? "" : `:${password}@`}127.0.0.1:${port}`;
  let server: Bun.Subprocess | undefined;

  async function ask(command: string, ...args: string[]): Promise<unknown> {
    const client = new Bun.RedisClient(url, { autoReconnect: false, enableOfflineQueue: false });
    try {
      await client.connect();
      return await client.send(command, args);
    } finally {
      client.close();
    }
  }

  async function start(): Promise<void> {
    server = Bun.spawn([
      program!,
      ...["--port", String(port), "--bind", "127.0.0.1", "--dir", folder],
      ...["--save", "", "--appendonly", "no", "--loglevel", "warning"],
      ...(password === "" ? [] : ["--requirepass", password]),
      ...args,
    ], { stdout: "ignore", stderr: "ignore" });
    const endMs = performance.now() + START_MS_MAX;
    for (;;) {
      try {
        await ask("PING");
        return;
      } catch (error) {
        if (performance.now() > endMs || server.exitCode !== null) throw error;
        await Bun.sleep(20);
      }
    }
  }

  async function crash(): Promise<void> {
    server?.kill("SIGKILL");
    await server?.exited;
  }

  await start();
  return {
    port,
    url,
    ask,
    crash,
    start,
    freeze: () => server?.kill("SIGSTOP"),
    thaw: () => server?.kill("SIGCONT"),
    async stop() {
      await crash();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
