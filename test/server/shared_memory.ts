/**
 * Weirs that share a memory, before an upstream that says as much as a test lets it say.
 *
 * @module
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { postgresPrograms, type PostgresServer, startPostgres } from "../memory/postgres_server.ts";
import { launch, makeFolder, type Weir } from "./launch.ts";

const DONE = "data: [DONE]\n\n";

/** What ends what a test has begun; run in reverse. */
export type Cleanups = (() => unknown)[];

/** An upstream that numbers its answers: "answer ", the number, " 水👋". */
export interface CountingUpstream {
  readonly url: string;
  /** Answers begun so far. */
  count: number;
  /** Lets every answer say this many of its three words. */
  say(words: number): void;
}

/** Starts one. At first it says all of its words. */
export function countingUpstream(cleanups: Cleanups): CountingUpstream {
  const encoder = new TextEncoder();
  let words = 3;
  let changed = Promise.withResolvers<void>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch() {
      const said = ["answer ", String(++upstream.count), " 水👋"];
      const body = new ReadableStream({
        async start(controller) {
          for (const [i, content] of said.entries()) {
            while (words <= i) await changed.promise;
            const finish = i === 2 ? `"stop"` : "null";
            const chunk = `data: {"id":"1","object":"chat.completion.chunk","created":1,` +
              `"model":"m","choices":[{"index":0,"delta":{"content":${JSON.stringify(content)}},` +
              `"finish_reason":${finish}}]}\n\n`;
            try {
              controller.enqueue(encoder.encode(i === 2 ? chunk + DONE : chunk));
            } catch {
              return; // nobody reads it any more
            }
          }
          controller.close();
        },
      });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    },
  });
  const upstream: CountingUpstream = {
    url: `http://127.0.0.1:${server.port}/v1`,
    count: 0,
    say(count) {
      words = count;
      changed.resolve();
      changed = Promise.withResolvers();
    },
  };
  cleanups.push(() => server.stop(true));
  return upstream;
}

/** Starts a weir that asks `upstream`. */
export async function startBefore(
  upstream: Pick<CountingUpstream, "url">,
  set: Readonly<Record<string, string | number>>,
  cleanups: Cleanups,
): Promise<Weir> {
  const weir = await launch({
    set: { "llm.base_url": upstream.url, "llm.retries": 0, "ops.log": "off", ...set },
  });
  cleanups.push(() => weir.stop());
  return weir;
}

/** A way to share a memory. */
export interface Sharing {
  readonly name: string;
  /** True: two weirs are started, false: one. */
  readonly areTwo: boolean;
  /** The settings of each. */
  readonly settings: (cleanups: Cleanups) => Promise<Readonly<Record<string, string | number>>>;
}

let postgres: Promise<PostgresServer> | undefined;

/** Ends the Postgres of `SHARINGS`, for `afterAll`. */
export async function stopPostgres(): Promise<void> {
  const running = await postgres;
  postgres = undefined; // another file of tests may start one anew
  await running?.stop();
}

const programs = postgresPrograms();

/** The ways; Postgres only where it is installed. */
export const SHARINGS: readonly Sharing[] = [
  { name: "one process", areTwo: false, settings: () => Promise.resolve({}) },
  {
    name: "two workers",
    areTwo: false,
    settings: () => Promise.resolve({ "server.workers": 2 }),
  },
  {
    name: "two weirs on one file",
    areTwo: true,
    settings(cleanups) {
      const folder = makeFolder();
      cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
      return Promise.resolve({ "memory.url": `sqlite://${join(folder, "weir.db")}` });
    },
  },
  ...(programs === undefined ? [] : [{
    name: "two nodes on one Postgres",
    areTwo: true,
    async settings() {
      postgres ??= startPostgres(programs);
      return { "memory.url": await (await postgres).makeDatabase() };
    },
  }]),
];

/** Starts the weirs of `sharing` before `upstream`: the first and the last, which may be one. */
export async function startShared(
  sharing: Sharing,
  upstream: Pick<CountingUpstream, "url">,
  cleanups: Cleanups,
): Promise<{ readonly first: Weir; readonly last: Weir }> {
  const set = await sharing.settings(cleanups);
  const first = await startBefore(upstream, set, cleanups);
  return { first, last: sharing.areTwo ? await startBefore(upstream, set, cleanups) : first };
}
