/** Whose is what is kept: the key that has made it, and admins, see it; to others it is not there. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { postgresPrograms, startPostgres } from "../memory/postgres_server.ts";
import { chatOnlyUpstream } from "./chat_upstream.ts";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

const MODEL = "gpt-4o";
const MESSAGES: { role: "user"; content: string }[] = [{ role: "user", content: "hi" }];
const KEYS = ["ann", "bob"].map((name) => ({ name, token: `${name}-token` }));
/** More connections than workers, so that each of them is asked. */
const TRIES = 6;

async function start(
  set: Readonly<Record<string, string | number | boolean>>,
): Promise<Weir> {
  const weir = await launch({
    set: { "auth.token": "root-token", keys: JSON.stringify(KEYS), ...set },
  });
  const isMany = Number(set["server.workers"] ?? 1) > 1;
  await waitFor(() => !isMany || weir.output().includes("workers: 2"), "the workers");
  return weir;
}

function clientOf(weir: Weir, name: string): OpenAI {
  return new OpenAI({
    baseURL: `${weir.url}/v1`,
    apiKey: `${name}-token`,
    maxRetries: 0,
    defaultHeaders: { connection: "close" },
  });
}

/** The refusal of what is asked, without the id `id`. */
async function refusal(asked: Promise<unknown>, id: string): Promise<string> {
  try {
    await asked;
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return `${error.status} ${JSON.stringify(error.error).replaceAll(id, "ID")}`;
  }
  throw new Error("It was answered");
}

/** All that can be asked of objects by their ids, and ids that nobody has. */
const QUESTIONS: readonly [
  "response" | "conversation" | "completion",
  (client: OpenAI, id: string, item: string) => Promise<unknown>,
][] = [
  ["response", (client, id) => client.responses.retrieve(id)],
  ["response", (client, id) => client.responses.inputItems.list(id).withResponse()],
  ["response", (client, id) => client.responses.cancel(id)],
  ["response", (client, id) => client.responses.delete(id)],
  [
    "response",
    (client, id) => client.responses.create({ model: MODEL, input: "x", previous_response_id: id }),
  ],
  [
    "response",
    (client, id) =>
      client.responses.inputTokens.count({ model: MODEL, input: "x", previous_response_id: id }),
  ],
  ["conversation", (client, id) => client.conversations.retrieve(id)],
  ["conversation", (client, id) => client.conversations.update(id, { metadata: { by: "bob" } })],
  ["conversation", (client, id) => client.conversations.items.list(id).withResponse()],
  [
    "conversation",
    (client, id) =>
      client.conversations.items.create(id, { items: [{ role: "user", content: "bob was here" }] }),
  ],
  [
    "conversation",
    (client, id, item) => client.conversations.items.retrieve(item, { conversation_id: id }),
  ],
  [
    "conversation",
    (client, id, item) => client.conversations.items.delete(item, { conversation_id: id }),
  ],
  ["conversation", (client, id) => client.conversations.delete(id)],
  [
    "conversation",
    (client, id) => client.responses.create({ model: MODEL, input: "x", conversation: id }),
  ],
  ["completion", (client, id) => client.chat.completions.retrieve(id)],
  [
    "completion",
    (client, id) => client.chat.completions.update(id, { metadata: { by: "bob" } }),
  ],
  ["completion", (client, id) => client.chat.completions.messages.list(id).withResponse()],
  ["completion", (client, id) => client.chat.completions.delete(id)],
];

/** One object of each kind, and an item of the conversation. */
async function made(client: OpenAI) {
  const completion = () =>
    client.chat.completions.create({ model: MODEL, messages: MESSAGES, store: true });
  const conversation = await client.conversations.create({
    items: [{ role: "user", content: "of ann" }],
  });
  const { data: [item] } = await client.conversations.items.list(conversation.id);
  return {
    response: (await client.responses.create({ model: MODEL, input: "hi", background: true })).id,
    conversation: conversation.id,
    item: item!.id!,
    completion: (await completion()).id,
  };
}

/** A key's list, page by page. */
async function listed(client: OpenAI): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const { id } of client.chat.completions.list({ limit: 2 })) ids.push(id);
  return ids;
}

const programs = postgresPrograms();
describe.each(
  ([["the ring", 1], ["the ring", 2], ["sqlite", 2], ["postgres", 2]] as const)
    .filter(([keep]) => keep !== "postgres" || programs !== undefined),
)("what keys have kept in %s of %d workers", (keep, workers) => {
  let weir: Weir;
  const stops: (() => unknown)[] = [];
  const as = (name: string) => clientOf(weir, name);
  beforeAll(async () => {
    const set: Record<string, string | number | boolean> = {
      "mock.validate": "live",
      "server.workers": workers,
      "store.objects": keep !== "the ring",
    };
    if (keep === "postgres") {
      const server = await startPostgres(programs!);
      stops.push(() => server.stop());
      set["store.url"] = await server.makeDatabase();
    }
    weir = await start(set);
    stops.push(() => weir.stop());
  });
  afterAll(async () => {
    for (const stop of stops.reverse()) await stop();
  });

  test("is to another key as if nobody had it, and stays as it was", async () => {
    const ids = await made(as("ann"));
    const nobodys = {
      response: ids.response.replace(/^resp_./, (begin) => `resp_${begin.endsWith("0") ? 1 : 0}`),
      conversation: ids.conversation.replace(
        /^conv_./,
        (begin) => `conv_${begin.endsWith("0") ? 1 : 0}`,
      ),
      completion: `chatcmpl-nobody${ids.completion.slice(-10)}`,
    };
    for (const [kind, ask] of QUESTIONS) {
      const expected = await refusal(ask(as("bob"), nobodys[kind], ids.item), nobodys[kind]);
      expect(expected).toMatch(/^40[04] .*not found/);
      for (let at = 0; at < TRIES; at++) {
        expect(await refusal(ask(as("bob"), ids[kind], ids.item), ids[kind])).toBe(expected);
      }
    }
    const reference = { type: "item_reference" as const, id: ids.item };
    const named = (name: string) =>
      as(name).responses.create({ model: MODEL, input: [reference], store: false });
    expect(await refusal(named("bob"), ids.item)).toContain("not found");
    expect((await named("ann")).status).toBe("completed");
    for (const name of ["ann", "root"]) {
      for (let at = 0; at < TRIES; at++) {
        const client = as(name);
        expect((await client.responses.retrieve(ids.response)).id).toBe(ids.response);
        expect((await client.conversations.retrieve(ids.conversation)).metadata).toEqual({});
        const { data } = await client.conversations.items.list(ids.conversation);
        expect(data.map(({ id }) => id)).toEqual([ids.item]);
        expect((await client.chat.completions.retrieve(ids.completion)).metadata).toEqual({});
      }
    }
    const admin = as("root");
    const next = await admin.responses.create({
      model: MODEL,
      input: "x",
      previous_response_id: ids.response,
    });
    expect(await refusal(as("ann").responses.retrieve(next.id), next.id)).toMatch(/^404/);
    await admin.responses.delete(ids.response);
    await admin.conversations.delete(ids.conversation);
    await admin.chat.completions.delete(ids.completion);
    expect(await refusal(as("ann").responses.retrieve(ids.response), "")).toMatch(/^404/);
  });

  test("is listed for its key and for admins, in pages of their own", async () => {
    const own: Record<string, string[]> = { ann: [], bob: [], root: [] };
    const all: string[] = [];
    for (let at = 0; at < 9; at++) {
      const name = ["ann", "bob", "root"][at % 3]!;
      const { id } = await as(name).chat.completions.create({
        model: MODEL,
        messages: MESSAGES,
        store: true,
      });
      own[name]!.push(id);
      all.push(id);
    }
    for (let at = 0; at < TRIES; at++) {
      expect(new Set(await listed(as("ann")))).toEqual(new Set(own["ann"]));
      expect(new Set(await listed(as("bob")))).toEqual(new Set(own["bob"]));
      expect(new Set(await listed(as("root")))).toEqual(new Set(all));
    }
    const after = as("bob").chat.completions.list({ after: own["ann"]![0]! }).withResponse();
    expect(await refusal(after, "")).toMatch(/^404/);
  });
});

test("what weir re-speaks of an upstream is gone on from by its key alone, and no text of it goes up", async () => {
  const upstream = chatOnlyUpstream();
  const keys = KEYS.map((key) => ({ ...key, models: [MODEL] }));
  const weir = await start({
    keys: JSON.stringify(keys),
    "llm.base_url": `${upstream.url}/v1`,
    "llm.retries": 0,
  });
  try {
    const { id } = await clientOf(weir, "ann").responses.create({ model: MODEL, input: "SECRET" });
    const goOn = (name: string, from: string) =>
      clientOf(weir, name).responses.create({
        model: MODEL,
        input: "more",
        previous_response_id: from,
      });
    const nobodys = id.replace(/^resp_./, (begin) => `resp_${begin.endsWith("0") ? 1 : 0}`);
    expect(await refusal(goOn("bob", id), id)).toBe(await refusal(goOn("bob", nobodys), nobodys));
    const countOf = () =>
      upstream.requests.filter(({ path, body }) =>
        path === "/v1/chat/completions" && body.includes("SECRET")
      ).length;
    expect(countOf()).toBe(1);
    expect((await goOn("ann", id)).status).toBe("completed");
    expect(countOf()).toBe(2);
  } finally {
    await weir.stop();
    upstream.stop();
  }
});

test("what the mock makes up for an id leaves what another key has kept by it", async () => {
  const weir = await start({ "mock.validate": "spec" });
  try {
    const ann = clientOf(weir, "ann");
    const ids = await made(ann);
    for (const [kind, ask] of QUESTIONS) {
      await ask(clientOf(weir, "bob"), ids[kind], ids.item);
    }
    expect((await ann.responses.retrieve(ids.response)).background).toBe(true);
    const { data } = await ann.conversations.items.list(ids.conversation);
    expect(data.map(({ id }) => id)).toEqual([ids.item]);
    expect((await ann.conversations.retrieve(ids.conversation)).metadata).toEqual({});
    expect((await ann.chat.completions.retrieve(ids.completion)).metadata).toEqual({});
    expect(await listed(ann)).toEqual([ids.completion]);
  } finally {
    await weir.stop();
  }
});
