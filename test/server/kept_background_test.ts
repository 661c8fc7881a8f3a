import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { eventsOf } from "../dialects/openai_responses/event_rules.ts";
import { chatOnlyUpstream, SAID } from "./chat_upstream.ts";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { childrenOf } from "./processes.ts";
import { tellUpstream } from "./told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const MODEL = "gpt-4o";
const ASKED = { model: MODEL, input: "hi" };
const BACKGROUND = { ...ASKED, background: true };

function clientOf(weir: Weir): OpenAI {
  return new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "sk-1", maxRetries: 0 });
}

async function statusOf(asked: Promise<unknown>): Promise<readonly [unknown, string]> {
  try {
    await asked;
  } catch (error) {
    if (error instanceof OpenAI.APIError) {
      return [error.status, (error.error as { readonly message: string }).message];
    }
    throw error;
  }
  throw new Error("It was answered");
}

describe.each([false, true])("a background response, in the store: %p", (isStored) => {
  const REPLY = "one two three four";
  let quick: Weir;
  let never: Weir;
  beforeAll(async () => {
    quick = await launch({
      set: {
        "mock.reply": REPLY,
        "mock.first_token_ms": 300,
        "mock.delay_ms": 100,
        "store.objects": isStored,
      },
    });
    never = await launch({
      set: { "mock.first_token_ms": 3_000_000, "store.objects": isStored },
    });
  });
  afterAll(async () => {
    await quick.stop();
    await never.stop();
  });

  test("is queued at once, and completed by the script's own times", async () => {
    const client = clientOf(quick);
    const asked = await client.responses.create(BACKGROUND);
    expect(asked).toMatchObject({ status: "queued", background: true, output: [], usage: null });
    const seen = new Set<string>();
    const done = await waitFor(async () => {
      const now = await client.responses.retrieve(asked.id);
      seen.add(now.status!);
      return now.status === "completed" ? now : undefined;
    }, "the response");
    expect(done.output_text).toBe(REPLY);
    expect(done.usage!.output_tokens).toBeGreaterThan(0);
    for (const status of seen) expect(["queued", "in_progress", "completed"]).toContain(status);
  });

  test("is queued and not completed while its time has not come", async () => {
    const client = clientOf(never);
    const { id } = await client.responses.create(BACKGROUND);
    expect(await client.responses.retrieve(id)).toMatchObject({ status: "queued", output: [] });
    expect(await statusOf(client.responses.create({ ...ASKED, previous_response_id: id })))
      .toEqual([
        400,
        `Previous response with id '${id}' is still in progress: wait until it is completed.`,
      ]);
    expect(await client.responses.cancel(id)).toMatchObject({
      id,
      status: "cancelled",
      usage: null,
    });
    expect(await client.responses.retrieve(id)).toMatchObject({ status: "cancelled", output: [] });
    expect((await client.responses.cancel(id)).status).toBe("cancelled");
    expect(await statusOf(client.responses.retrieve(id, { stream: true }).withResponse()))
      .toEqual([400, "This response was cancelled: it has no stream any more."]);
  });

  test("only such a one can be cancelled, and a completed one stays as it is", async () => {
    const client = clientOf(quick);
    const { id } = await client.responses.create(ASKED);
    expect(await statusOf(client.responses.cancel(id)))
      .toEqual([400, "Cannot cancel a synchronous response."]);
    const done = await client.responses.create(BACKGROUND);
    await waitFor(
      async () => (await client.responses.retrieve(done.id)).status === "completed",
      "the response",
    );
    expect((await client.responses.cancel(done.id)).status).toBe("completed");
  });

  test("has a stream that goes on behind the event one has seen", async () => {
    const response = await fetch(`${quick.url}/v1/responses`, {
      method: "POST",
      body: JSON.stringify({ ...BACKGROUND, stream: true }),
    });
    const first = await response.text();
    expect(eventsOf(first).slice(0, 3).map(({ type }) => type))
      .toEqual(["response.created", "response.queued", "response.in_progress"]);
    expect(first).toContain("response.output_text.delta");
    expect(first).not.toContain("obfuscation");
    const { id } = eventsOf(first)[0]!["response"] as { readonly id: string };
    for (const after of [undefined, 0, 4]) {
      const query = after === undefined ? "" : `&starting_after=${after}`;
      const again = await fetch(`${quick.url}/v1/responses/${id}?stream=true${query}`);
      expect(again.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
      const events = first.split("\n\n").slice((after ?? -1) + 1).join("\n\n");
      expect(await again.text()).toBe(events);
    }
    const none = await fetch(`${quick.url}/v1/responses/${id}?stream=true&starting_after=999`);
    expect([none.status, await none.text()]).toEqual([200, ""]);
  });

  test("is streamed from its first event while it is still being made", async () => {
    const { id } = await clientOf(never).responses.create(BACKGROUND);
    const leaving = new AbortController();
    const { body } = await fetch(`${never.url}/v1/responses/${id}?stream=true`, {
      signal: leaving.signal,
    });
    const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("response.in_progress")) text += (await reader.read()).value;
    expect(eventsOf(text).map(({ type }) => type))
      .toEqual(["response.created", "response.queued", "response.in_progress"]);
    leaving.abort();
  });
});

describe("over a chat upstream", () => {
  test("a response goes on from one that weir has translated, streamed or whole", async () => {
    const upstream = chatOnlyUpstream();
    const weir = await launch({ set: { "llm.base_url": `${upstream.url}/v1`, "llm.retries": 0 } });
    try {
      const client = clientOf(weir);
      for (const stream of [false, true]) {
        const first = stream
          ? await client.responses.stream({ ...ASKED, instructions: "Be kind" }).finalResponse()
          : await client.responses.create({ ...ASKED, instructions: "Be kind" });
        expect((await client.responses.retrieve(first.id)).output_text).toBe(SAID);
        await client.responses.create({
          model: MODEL,
          input: "and?",
          previous_response_id: first.id,
        });
        expect(JSON.parse(upstream.requests.at(-1)!.body).messages).toEqual([
          { role: "user", content: "hi" },
          { role: "assistant", content: SAID },
          { role: "user", content: "and?" },
        ]);
      }
      expect(await statusOf(client.responses.create({ ...ASKED, previous_response_id: "resp_1" })))
        .toEqual([400, "Previous response with id 'resp_1' not found."]);
      expect((await statusOf(client.responses.create(BACKGROUND)))[0]).toBe(400);
    } finally {
      await weir.stop();
      upstream.stop();
    }
  });
});

for (const speaks of ["openai_chat", "anthropic_messages"]) {
  test(`weir keeps the conversations of an upstream that speaks ${speaks}`, async () => {
    const upstream = await launch({ set: { "mock.reply": SAID, "mock.delay_ms": 0 } });
    const weir = await launch({
      set: { "llm.base_url": `${upstream.url}/v1`, "llm.speaks": `[${speaks}]` },
    });
    try {
      const client = clientOf(weir);
      const { id } = await client.conversations.create({ metadata: { topic: "weir" } });
      await client.responses.create({ ...ASKED, conversation: id });
      await client.responses.create({ model: MODEL, input: "and?", conversation: id });
      const items = await client.conversations.items.list(id, { order: "asc" });
      expect(items.data.map((item) => "role" in item ? item.role : item.type))
        .toEqual(["user", "assistant", "user", "assistant"]);
      expect(await statusOf(clientOf(upstream).conversations.retrieve(id)))
        .toEqual([404, `Conversation with id '${id}' not found.`]);
      expect((await client.conversations.retrieve(id)).metadata).toEqual({ topic: "weir" });
      expect(await statusOf(client.responses.retrieve("resp_1")))
        .toEqual([404, "Response with id 'resp_1' not found."]);
      const alone = await client.responses.inputTokens.count(ASKED);
      const behind = await client.responses.inputTokens.count({ ...ASKED, conversation: id });
      expect(behind.input_tokens).toBeGreaterThan(alone.input_tokens);
      const compacted = await statusOf(client.responses.compact(ASKED));
      expect(compacted).toEqual([400, expect.stringContaining("nothing can compact the talk")]);
    } finally {
      await weir.stop();
      await upstream.stop();
    }
  });
}

test("the model decides whether weir counts and compacts, or an upstream", async () => {
  const told = tellUpstream(({ method, path }) => Response.json({ asked: `${method} ${path}` }));
  const weir = await launch({
    files: {
      "config.yaml": `upstreams:
  - { name: chats, base_url: "${told.url}/v1", speaks: [openai_chat] }
  - { name: responses, base_url: "${told.url}/v1", speaks: [openai_responses] }
routes:
  - { match: { model: chats-* }, to: [chats] }
  - { match: { model: mock-* }, to: [mock] }
  - { match: { model: "*" }, to: [responses] }
`,
    },
  });
  try {
    const ask = async (path: string, model: string) => {
      const body = JSON.stringify({ model, input: "hi" });
      const answer = await fetch(`${weir.url}/v1/responses/${path}`, { method: "POST", body });
      const { asked, object } = await answer.json() as { asked?: string; object?: string };
      return [answer.status, asked ?? object];
    };
    expect(await ask("input_tokens", "x")).toEqual([200, "POST /v1/responses/input_tokens"]);
    expect(await ask("input_tokens", "mock-x")).toEqual([200, "response.input_tokens"]);
    expect(await ask("compact", "x")).toEqual([200, "POST /v1/responses/compact"]);
    expect(await ask("compact", "mock-x")).toEqual([200, "response.compaction"]);
    expect((await ask("compact", "chats-x"))[0]).toBe(400);
  } finally {
    await weir.stop();
    told.stop();
  }
});

test("a translated chat completion is stored by weir", async () => {
  const upstream = await launch({ set: { "mock.reply": "水 and wine", "mock.delay_ms": 0 } });
  const weir = await launch({
    set: { "llm.base_url": `${upstream.url}/v1`, "llm.speaks": "[openai_responses]" },
  });
  try {
    const client = clientOf(weir);
    const asked = {
      model: MODEL,
      messages: [{ role: "user" as const, content: "hi" }],
      store: true,
    };
    for (const stream of [false, true]) {
      const id = stream
        ? (await client.chat.completions.stream(asked).finalChatCompletion()).id
        : (await client.chat.completions.create(asked)).id;
      expect((await fetch(`${upstream.url}/v1/chat/completions/${id}`)).status).toBe(404);
      const kept = await client.chat.completions.retrieve(id);
      expect(kept.choices[0]!.message.content).toBe("水 and wine");
      expect(kept.usage!.completion_tokens).toBeGreaterThan(0);
      expect((await client.chat.completions.messages.list(id)).data.length).toBe(1);
    }
  } finally {
    await weir.stop();
    await upstream.stop();
  }
});

test("what an upstream keeps is asked of it, and goes up as it came", async () => {
  const upstream = tellUpstream(({ method, path }) =>
    Response.json({ object: "from upstream", asked: `${method} ${path}` })
  );
  const weir = await launch({ set: { "llm.base_url": `${upstream.url}/v1` } });
  try {
    const id = `resp_${"0".repeat(50)}`;
    const asked = [
      ["GET", `/v1/responses/${id}?include[]=x`],
      ["DELETE", `/v1/responses/${id}`],
      ["POST", `/v1/responses/${id}/cancel`],
      ["GET", `/v1/responses/${id}/input_items?limit=3`],
      ["POST", "/v1/responses/input_tokens"],
      ["POST", "/v1/responses/compact"],
      ["POST", "/v1/conversations"],
      ["GET", "/v1/conversations/conv_1/items"],
      ["GET", "/v1/chat/completions"],
      ["GET", "/v1/chat/completions/chatcmpl-1/messages"],
    ] as const;
    for (const [method, path] of asked) {
      const response = await fetch(weir.url + path, {
        method,
        ...(method === "POST" ? { body: '{"model": "m"}' } : {}),
      });
      expect(await response.json()).toEqual({
        object: "from upstream",
        asked: `${method} ${path}`,
      });
    }
    const body = `{"model":"m", "input":"x","previous_response_id":"${id}"}`;
    await fetch(`${weir.url}/v1/responses`, { method: "POST", body });
    expect(upstream.requests.at(-1)!.body).toBe(body);
  } finally {
    await weir.stop();
    upstream.stop();
  }
});

describe("the ring of kept objects", () => {
  async function idsLeft(weir: Weir, input: string, count: number): Promise<number> {
    const client = clientOf(weir);
    const ids: string[] = [];
    for (let at = 0; at < count; at++) {
      ids.push((await client.responses.create({ model: MODEL, input: `${at}${input}` })).id);
    }
    const found = await Promise.all(ids.map(async (id) => {
      const response = await fetch(`${weir.url}/v1/responses/${id}`);
      return response.status === 200;
    }));
    const left = found.filter(Boolean).length;
    // The youngest are left.
    expect(found).toEqual(ids.map((_, at) => at >= count - left));
    return left;
  }
  const cases = [
    ["mock.kept_max", { "mock.kept_max": 3 }, "x", 3],
    ["mock.kept_max_bytes", { "mock.kept_max_bytes": 50_000 }, "x".repeat(10_000), 4],
    ["mock.kept_max: 0", { "mock.kept_max": 0 }, "x", 0],
  ] as const;
  for (const [name, set, input, left] of cases) {
    test(`${name} bounds it`, async () => {
      const weir = await launch({ set: { ...set, "mock.delay_ms": 0 } });
      try {
        expect(await idsLeft(weir, input, 8)).toBe(left);
      } finally {
        await weir.stop();
      }
    });
  }
});

test("what a worker has kept goes with it, and the others say so", async () => {
  const weir = await launch({ set: { "server.workers": 2, "mock.delay_ms": 0 } });
  try {
    await waitFor(() => weir.output().includes("workers: 2"), "the workers");
    const ids: string[] = [];
    for (let at = 0; at < 12; at++) {
      const response = await fetch(`${weir.url}/v1/responses`, {
        method: "POST",
        headers: { connection: "close" },
        body: JSON.stringify(ASKED),
      });
      ids.push((await response.json() as { readonly id: string }).id);
    }
    const before = childrenOf(weir.pid);
    process.kill(weir.pid, "SIGHUP");
    await waitFor(() => before.every((pid) => !childrenOf(weir.pid).includes(pid)), "new workers");
    for (const id of ids) {
      const response = await fetch(`${weir.url}/v1/responses/${id}`);
      expect(response.status).toBe(404);
    }
  } finally {
    await weir.stop();
  }
});
