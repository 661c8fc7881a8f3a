/**
 * How the tests open every store: a memory server in this process, an outbox, a Postgres.
 *
 * @module
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Driver } from "../../src/core/driver.ts";
import type { OpenStream } from "../../src/core/exchange.ts";
import type { Memory } from "../../src/core/memory.ts";
import type { Surface } from "../../src/core/surface.ts";
import { timerAlarm, Wheel } from "../../src/lib/wheel.ts";
import { openHttpMemory } from "../../src/memory/http.ts";
import { openOutbox } from "../../src/memory/outbox.ts";
import { openSqliteMemory, type StoreOptions } from "../../src/memory/sqlite.ts";
import { memoryServer } from "../../src/surfaces/character_chat/memory.ts";
import { pathOf } from "../../src/surfaces/router.ts";
import { listen, urlOf } from "../lib/http1/listen.ts";

/** Milliseconds that never go back. */
export function clock(): number {
  return performance.now();
}

/** A new empty folder. */
export function makeFolder(): string {
  return mkdtempSync(join(tmpdir(), "weir-memory-"));
}

/** Removes a folder of `makeFolder`. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

/** Waits, and stops waiting when `signal` aborts. */
export function sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(done, delayMs);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    signal?.addEventListener("abort", done);
  });
}

/** Waits until `condition` holds; throws after `withinMs`. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  withinMs = 30_000,
): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!await condition()) {
    if (performance.now() > endMs) throw new Error(`Waited in vain for ${condition}`);
    await sleep(5);
  }
}

/** A memory server: weir's own, with an embedded store in `folder`. */
export interface MemoryServer {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Serves `/memory/*` on `port` (0 = any free one). */
export function serveMemory(folder: string, options: StoreOptions, port = 0): MemoryServer {
  const path = join(folder, "server.db");
  const memory = openSqliteMemory({ ...options, path, durability: "process", clock });
  const engine = {
    wheel: new Wheel(clock, timerAlarm()),
    streams: new Set<OpenStream>(),
    watch: options.watch,
    keepaliveMs: 0,
    writeTimeoutMs: 60_000,
  };
  const driver = new Driver(engine, {
    body_max_bytes: 1_000_000,
    body_timeout_ms: 30_000,
    bodies_max_bytes: 1_000_000,
  });
  const surfaces = memoryServer({
    memory,
    authorize: (fields) => fields.get("authorization") === "Bearer secret" ? "ok" : "wrong",
    wallMs: options.wallMs,
    makeTaskId: () => Bun.randomUUIDv7(),
    pageBytesMax: 4_194_304,
  });
  const served: Readonly<Record<string, Surface>> = {
    "POST /memory/apply": surfaces.apply,
    "POST /memory/upload": surfaces.upload,
    "POST /memory/messages": surfaces.messages,
    "POST /memory/query": surfaces.query,
    "DELETE /memory/delete": surfaces.delete,
  };
  const server = listen((exchange) => {
    const { head } = exchange;
    const surface = served[`${head.method} ${pathOf(head.target)}`];
    if (surface === undefined) return exchange.whole(404, {}, null);
    driver.answer(surface, { head, params: {}, body: exchange }, exchange);
  }, { place: { hostname: "127.0.0.1", port, isShared: false } });
  return {
    url: urlOf(server),
    async stop() {
      await server.stop(true);
      await memory.close();
    },
  };
}

/** A memory server's client. */
export function httpMemory(baseUrl: string, timeoutMs = 5000): Memory {
  return openHttpMemory({ baseUrl, token: "secret", timeoutMs, fetch });
}

/** An outbox in `folder` before `store`. */
export function outboxBefore(
  store: Memory,
  folder: string,
  options: StoreOptions,
  more: Partial<Parameters<typeof openOutbox>[0]> = {},
): Memory {
  return openOutbox({
    store,
    path: join(folder, "outbox.db"),
    target: "test",
    durability: "process",
    bytesMax: 1_000_000_000,
    graceMs: 0,
    keysKeepMs: 86_400_000,
    timeoutMs: 5000,
    watch: options.watch,
    wallMs: options.wallMs,
    clock,
    // No jitter; the first wait is 500 ms.
    random: () => 0,
    sleep: (delayMs, signal) => sleep(Math.min(delayMs, 20), signal),
    makeKey: () => Bun.randomUUIDv7(),
    trim: (messages) => messages,
    ...more,
  });
}
