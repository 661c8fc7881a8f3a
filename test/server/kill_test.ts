/**
 * Nothing lost: conversations in flight, SIGKILL at a random moment, and every client that saw
 * `[DONE]` compared with what is remembered: none missing, none twice, each session in its order.
 *
 * WEIR_KILL_SEED repeats a run, WEIR_KILL_ROUNDS asks for more than the 20 of each store.
 *
 * @module
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { launch, makeFolder, waitFor, type Weir } from "./launch.ts";
import { remembered } from "./remembered.ts";
import { seeded } from "../seeded.ts";

const ROUNDS = Number(process.env["WEIR_KILL_ROUNDS"] ?? 20);
const SEED = Number(process.env["WEIR_KILL_SEED"] ?? Date.now() % 1_000_000);
const CONVERSATIONS = 200;
/** The kill comes within this time after the first request. */
const KILL_WITHIN_MS = 400;
const MOCK = { "mock.reply": "一 two 👋", "mock.delay_ms": 15 };

/** A line beside the results: the seed is worth nothing if nobody sees it. */
function say(line: string): void {
  process.stderr.write(`kill test: ${line}\n`);
}

/** One conversation: turn after turn until the server dies. Gives the queries whose [DONE] came. */
async function converse(url: string, session: string, hasDied: () => boolean): Promise<string[]> {
  const done: string[] = [];
  for (let i = 0; !hasDied(); i++) {
    const query = `${session} 第${i}`;
    try {
      const response = await fetch(`${url}/v1/response`, {
        method: "POST",
        body: JSON.stringify({ query, session_id: session }),
      });
      let text = "";
      const decoder = new TextDecoder();
      for await (const chunk of response.body!) {
        text += decoder.decode(chunk, { stream: true });
        if (text.endsWith("data: [DONE]\n\n")) done.push(query);
      }
    } catch {
      return done; // the connection died with the server
    }
  }
  return done;
}

/** Lets conversations run on `weir` and kills it in the middle. What was done, by session. */
async function killInTheMiddle(weir: Weir, round: number, random: () => number) {
  let hasDied = false;
  const sessions = Array.from({ length: CONVERSATIONS }, (_, i) => `r${round}-${i}`);
  const running = sessions.map((session) => converse(weir.url, session, () => hasDied));
  await Bun.sleep(30 + random() * KILL_WITHIN_MS);
  weir.kill("SIGKILL");
  hasDied = true;
  await weir.exited;
  const done = await Promise.all(running);
  return new Map(sessions.map((session, i) => [session, done[i]!]));
}

/** Every turn that was done is there once and in order; of the others at most the last one is. */
function compare(done: ReadonlyMap<string, readonly string[]>, found: Map<string, string[]>) {
  let count = 0;
  for (const [session, queries] of done) {
    const kept = found.get(session) ?? [];
    expect(kept.slice(0, queries.length), session).toEqual([...queries]);
    expect(kept.length - queries.length, `${session}: ${kept}`).toBeLessThanOrEqual(1);
    expect(new Set(kept).size, session).toBe(kept.length);
    count += queries.length;
  }
  return count;
}

describe(`nothing lost (WEIR_KILL_SEED=${SEED})`, () => {
  const random = seeded(SEED);
  let folder = "";
  beforeAll(() => {
    folder = makeFolder();
    say(`seed ${SEED}, ${ROUNDS} rounds of ${CONVERSATIONS} conversations per store`);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("embedded: every [DONE] is in the database", async () => {
    const path = join(folder, "weir.db");
    let total = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const set = { ...MOCK, "memory.url": `sqlite://${path}` };
      const weir = await launch({ set });
      const done = await killInTheMiddle(weir, round, random);
      await weir.stop();
      // Started again, as after a crash: it opens what the other one left.
      const next = await launch({ set });
      const history = await fetch(`${next.url}/memory/messages`, {
        method: "POST",
        body: JSON.stringify({ session_id: `r${round}-0` }),
      });
      const { data } = await history.json() as { data: { messages: unknown[] } };
      expect(data.messages.length).toBeGreaterThanOrEqual(done.get(`r${round}-0`)!.length * 2);
      await next.stop();
      total += compare(done, remembered(path));
    }
    expect(total).toBeGreaterThan(ROUNDS);
    say(`embedded: ${total} turns done, all kept once`);
  }, ROUNDS * 20_000);

  test("http: every [DONE] reaches a server that was away until after the restart", async () => {
    const serverPath = join(folder, "server.db");
    const server = await launch({ set: { ...MOCK, "memory.url": `sqlite://${serverPath}` } });
    // The road to the memory server: histories may pass, turns only when it is open.
    let isOpen = false;
    const road = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        const { pathname } = new URL(request.url);
        if (!isOpen && pathname !== "/memory/apply") return new Response("away", { status: 502 });
        const answer = await fetch(server.url + pathname, {
          method: request.method,
          headers: request.headers,
          body: await request.arrayBuffer(),
        });
        // One answer in twenty is lost after the turn was taken: it comes again, with its key.
        if (pathname === "/memory/upload" && random() < 0.05) {
          return new Response("lost", { status: 502 });
        }
        return new Response(await answer.arrayBuffer(), { status: answer.status });
      },
    });
    const set = {
      ...MOCK,
      "memory.url": `http://127.0.0.1:${road.port}`,
      "memory.outbox": join(folder, "outbox.db"),
      "ops.log": "off",
    };
    let total = 0;
    for (let round = 0; round < ROUNDS; round++) {
      isOpen = false;
      const weir = await launch({ set });
      const done = await killInTheMiddle(weir, round, random);
      await weir.stop();
      isOpen = true;
      const next = await launch({ set });
      await waitFor(() => waitingIn(join(folder, "outbox.db")) === 0);
      await next.stop();
      total += compare(done, remembered(serverPath));
    }
    await road.stop(true);
    await server.stop();
    expect(total).toBeGreaterThan(ROUNDS);
    say(`http: ${total} turns done, all delivered once`);
  }, ROUNDS * 30_000);
});

/** Turns in the outbox that are not delivered. */
function waitingIn(path: string): number {
  const database = new Database(path, { readonly: true });
  try {
    return database.query("SELECT count(*) FROM turns WHERE delivered_ms IS NULL")
      .values()[0]![0] as number;
  } finally {
    database.close();
  }
}
