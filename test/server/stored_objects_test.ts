/** Kept objects that outlive their process: `store.objects: true`. */

import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { openSqliteStore } from "../../src/store/sqlite.ts";
import { postgresPrograms, startPostgres } from "../memory/postgres_server.ts";
import { chatOnlyUpstream } from "./chat_upstream.ts";
import { launch, makeFolder, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { childrenOf } from "./processes.ts";

setDefaultTimeout(TEST_MS_MAX);

const MODEL = "gpt-4o";
const REPLY = "一 two 🌊 three";
const MESSAGES: { role: "user"; content: string }[] = [{ role: "user", content: "hi" }];

const running: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop();
});

function folderOf(): string {
  const folder = makeFolder();
  running.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function start(
  url: string,
  set: Readonly<Record<string, string | number | boolean>> = {},
): Promise<Weir> {
  const weir = await launch({
    set: {
      "mock.reply": REPLY,
      "store.url": url,
      "store.objects": true,
      "memory.timeout_ms": 2000,
      ...set,
    },
  });
  running.push(() => weir.stop());
  return weir;
}

function clientOf(weir: Weir): OpenAI {
  return new OpenAI({
    baseURL: `${weir.url}/v1`,
    apiKey: "sk-1",
    maxRetries: 0,
    defaultHeaders: { connection: "close" },
  });
}

/** Status and sentence of a refusal. */
async function refusal(asked: Promise<unknown>): Promise<readonly [number, string]> {
  try {
    await asked;
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return [error.status as number, (error.error as { readonly message: string }).message];
  }
  throw new Error("It was answered");
}

/** The id of a streamed completion whose end was seen. */
async function streamed(client: OpenAI): Promise<string> {
  let id = "";
  const stream = await client.chat.completions.create({
    model: MODEL,
    messages: MESSAGES,
    store: true,
    stream: true,
  });
  for await (const chunk of stream) id = chunk.id;
  return id;
}

async function whole(client: OpenAI): Promise<string> {
  return (await client.chat.completions.create({ model: MODEL, messages: MESSAGES, store: true }))
    .id;
}

test("without store.objects nothing is asked of a store, and none is made", async () => {
  const folder = folderOf();
  const weir = await start(`sqlite://${folder}/s.db`, { "store.objects": false });
  const client = clientOf(weir);
  const id = await whole(client);
  await client.responses.create({ model: MODEL, input: "hi" });
  await client.conversations.create({});
  expect((await client.chat.completions.retrieve(id)).id).toBe(id);
  expect(readdirSync(folder)).toEqual([]);
});

test("whoever has seen the end of an answer finds it on every node, at once and after kill -9", async () => {
  const folder = folderOf();
  const url = `sqlite://${folder}/s.db`;
  let [weir, other] = [await start(url, { "server.workers": 2 }), await start(url)];
  await waitFor(() => weir.output().includes("workers: 2"), "the workers");
  const made: string[] = [];
  for (let i = 0; i < 40; i++) {
    const client = clientOf(weir);
    const id = await (i % 2 === 0 ? whole : streamed)(client);
    expect((await clientOf(other).chat.completions.retrieve(id)).choices[0]!.message.content)
      .toBe(REPLY);
    made.push(id);
  }
  const response = await clientOf(weir).responses.create({ model: MODEL, input: "one" });
  const next = await clientOf(other).responses.create({
    model: MODEL,
    input: "two",
    previous_response_id: response.id,
  });
  const talk = await clientOf(weir).conversations.create({ metadata: { a: "b" } });
  for (const [i, node] of [weir, other, weir, other].entries()) {
    await clientOf(node).responses.create({
      model: MODEL,
      input: String(i),
      conversation: talk.id,
    });
  }
  const last = await whole(clientOf(weir));
  for (const pid of [weir.pid, ...childrenOf(weir.pid)]) process.kill(pid, "SIGKILL");
  other.kill("SIGKILL");
  await other.exited;

  weir = await start(url);
  other = await start(url);
  const client = clientOf(weir);
  const listed = [];
  for await (const { id } of client.chat.completions.list({ limit: 7 })) listed.push(id);
  expect(listed).toEqual([...made, last]);
  expect((await client.responses.retrieve(next.id)).output_text).toBe(REPLY);
  const items = [];
  for await (const item of client.conversations.items.list(talk.id, { order: "asc", limit: 3 })) {
    items.push(
      (item as { readonly content: readonly { readonly text: string }[] }).content[0]!.text,
    );
  }
  expect(items).toEqual(["0", REPLY, "1", REPLY, "2", REPLY, "3", REPLY]);
  // What one changes or removes is changed and gone for all.
  await client.chat.completions.update(last, { metadata: { x: "y" } });
  const elsewhere = clientOf(other).chat.completions;
  expect((await elsewhere.list({ metadata: { x: "y" } })).data.map(({ id }) => id)).toEqual([last]);
  await elsewhere.delete(last);
  expect(await refusal(client.chat.completions.retrieve(last)))
    .toEqual([404, `Chat completion with id '${last}' not found.`]);
});

test("many who add to one conversation at once, on two nodes, all find a place in it", async () => {
  const url = `sqlite://${folderOf()}/s.db`;
  const nodes = [await start(url, { "server.workers": 2 }), await start(url)];
  const { id } = await clientOf(nodes[0]!).conversations.create({});
  await Promise.all(Array.from({ length: 30 }, (_, i) => {
    const client = clientOf(nodes[i % 2]!);
    return i % 3 === 0
      ? client.conversations.items.create(id, { items: [{ role: "user", content: `item ${i}` }] })
      : client.responses.create({ model: MODEL, input: `item ${i}`, conversation: id });
  }));
  const texts = new Set<string>();
  let count = 0;
  const list = clientOf(nodes[1]!).conversations.items.list(id, { limit: 100 });
  for await (const item of list) {
    texts.add(
      (item as { readonly content: readonly { readonly text: string }[] }).content[0]!.text,
    );
    count++;
  }
  expect([count, texts.size]).toEqual([10 + 2 * 20, 30 + 1]);
});

test("an answer that weir re-speaks is in the store when it is whole, and not when it breaks off", async () => {
  const upstream = chatOnlyUpstream();
  running.push(() => upstream.stop());
  const url = `sqlite://${folderOf()}/s.db`;
  const [weir, other] = [
    await start(url, { "llm.base_url": `${upstream.url}/v1`, "llm.retries": 0 }),
    await start(url),
  ];
  for (const stream of [true, false]) {
    const asked = { model: MODEL, input: "hi" };
    const { id, output_text } = stream
      ? await clientOf(weir).responses.stream(asked).finalResponse()
      : await clientOf(weir).responses.create(asked);
    expect((await clientOf(other).responses.retrieve(id)).output_text).toBe(output_text);
  }
});

const programs = postgresPrograms();
test.skipIf(programs === undefined)(
  "while Postgres is away answers go on, and what was to be kept comes to it later",
  async () => {
    const server = await startPostgres(programs!);
    running.push(() => server.stop());
    const url = await server.makeDatabase();
    const [weir, other] = [await start(url), await start(url)];
    const before = await whole(clientOf(weir));
    const { id: talk } = await clientOf(weir).conversations.create({});
    expect((await clientOf(other).chat.completions.retrieve(before)).id).toBe(before);
    await server.crash();
    const meanwhile: string[] = [];
    for (let i = 0; i < 5; i++) {
      meanwhile.push(await (i % 2 === 0 ? whole : streamed)(clientOf(weir)));
    }
    // Its own are there; of what it cannot know it says so, and so does the health.
    for (const id of meanwhile) {
      expect((await clientOf(weir).chat.completions.retrieve(id)).id).toBe(id);
    }
    const gone = await refusal(clientOf(weir).chat.completions.retrieve(before));
    expect([gone[0], gone[1].slice(0, 37)]).toEqual([500, "Cannot write to the store in Postgres"]);
    expect((await refusal(clientOf(weir).chat.completions.list().withResponse()))[0]).toBe(500);
    // A turn that cannot be kept in its conversation is none.
    const turn = clientOf(weir).responses.create({ model: MODEL, input: "x", conversation: talk });
    expect((await refusal(turn))[0]).toBe(500);
    expect(await weir.health()).toMatchObject({
      status: "degraded",
      store: expect.stringContaining("Cannot write to the store in Postgres"),
    });
    await server.start();
    await waitFor(async () => (await weir.health())["status"] === "ok", "health to be well");
    for (const id of [before, ...meanwhile]) {
      expect((await clientOf(other).chat.completions.retrieve(id)).id).toBe(id);
    }
    // Those of a process that is killed meanwhile are brought by the next one.
    await server.crash();
    const late = await whole(clientOf(weir));
    weir.kill("SIGKILL");
    await weir.exited;
    const spools = join(weir.folder, "weir-objects");
    expect(existsSync(spools)).toBe(true);
    await server.start();
    // It starts where that one was.
    const next = await launch({
      set: { "store.url": url, "store.objects": true },
      under: ["sh", "-c", 'cd "$0" && exec "$@"', weir.folder],
    });
    running.push(() => next.stop());
    await waitFor(
      async () =>
        (await clientOf(other).chat.completions.list({ limit: 100 })).data
          .some(({ id }) => id === late),
      "the object of the killed process",
    );
  },
);

describe("objects that are too many", () => {
  test("go, the oldest first", async () => {
    const path = join(folderOf(), "s.db");
    const weir = await start(`sqlite://${path}`, { "store.objects_max_bytes": 1_048_576 });
    const client = clientOf(weir);
    const made: string[] = [];
    for (let i = 0; i < 30; i++) {
      const content = `${i}`.padEnd(100_000, "x");
      made.push(
        (await client.chat.completions.create({
          model: MODEL,
          messages: [{ role: "user", content }],
          store: true,
        })).id,
      );
    }
    weir.kill("SIGTERM");
    await weir.exited;
    await start(`sqlite://${path}`, { "store.objects_max_bytes": 1_048_576 }); // looks at once
    const store = openSqliteStore({ path, clock: () => performance.now(), sleep: Bun.sleep });
    running.push(() => store.close());
    const left = async () =>
      (await store.objects({
        kind: "completion",
        model: undefined,
        marks: [],
        needs: "all",
        nowMs: Number.MAX_SAFE_INTEGER,
        after: undefined,
        isAscending: true,
        limit: 100,
      })).map(({ id }) => id);
    await waitFor(async () => (await left()).length <= 10, "the oldest to go");
    expect(await left()).toEqual(made.slice(20));
  });
});
