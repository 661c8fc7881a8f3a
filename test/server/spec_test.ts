import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

const REPLY = '十 words "quoted" 🌊';
const SPEC = { "mock.reply": REPLY, "mock.validate": "spec" } as const;

/** An answer's status, and its JSON. */
async function ask(
  weir: Weir,
  path: string,
  { method = "GET", body }: { readonly method?: string; readonly body?: unknown } = {},
) {
  const response = await fetch(`${weir.url}/v1${path}`, {
    method,
    headers: { connection: "close" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, said: await response.json() as Record<string, unknown> };
}

/** Every way to ask for an object by its id, with what the answer says of it. */
const UNKNOWN = [
  ["/responses/resp_none", {}, { id: "resp_none", object: "response", status: "completed" }],
  ["/responses/resp_none", { method: "DELETE" }, { id: "resp_none", deleted: true }],
  ["/responses/resp_none/cancel", { method: "POST" }, { id: "resp_none", object: "response" }],
  ["/responses/resp_none/input_items", {}, { object: "list", has_more: false }],
  ["/conversations/nobody", {}, { id: "nobody", object: "conversation", metadata: {} }],
  ["/conversations/nobody", { method: "POST", body: { metadata: { k: "水" } } }, {
    id: "nobody",
    metadata: { k: "水" },
  }],
  ["/conversations/nobody", { method: "DELETE" }, { id: "nobody", deleted: true }],
  ["/conversations/nobody/items", {}, { object: "list", has_more: false }],
  ["/conversations/nobody/items", {
    method: "POST",
    body: { items: [{ role: "user", content: "hi", id: "msg_1" }] },
  }, { object: "list", first_id: "msg_1" }],
  ["/conversations/nobody/items/msg_7", {}, { id: "msg_7", type: "message", role: "user" }],
  ["/conversations/nobody/items/msg_7", { method: "DELETE" }, { id: "nobody" }],
  ["/chat/completions/some%22id", {}, { id: 'some"id', object: "chat.completion", metadata: {} }],
  ["/chat/completions/none", { method: "POST", body: { metadata: { k: "v" } } }, {
    id: "none",
    metadata: { k: "v" },
  }],
  ["/chat/completions/none", { method: "DELETE" }, { id: "none", deleted: true }],
  ["/chat/completions/none/messages", {}, { object: "list", first_id: "none-0" }],
] as const;

describe.each([1, 2])("mock.validate: spec, %d workers", (workers) => {
  let weir: Weir;
  let client: OpenAI;
  beforeAll(async () => {
    weir = await launch({ set: { ...SPEC, "server.workers": workers } });
    await waitFor(() => workers === 1 || weir.output().includes("workers: 2"), "the workers");
    client = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "sk-1", maxRetries: 0 });
  });
  afterAll(() => weir.stop());

  for (const [path, options, says] of UNKNOWN) {
    const { method = "GET" } = options as { readonly method?: string };
    test(`${method} ${path} tells of an object that nobody has made`, async () => {
      const { status, said } = await ask(weir, path, options);
      expect(status).toBe(200);
      expect(said).toMatchObject(says);
    });
  }

  test("it is the same for the same id, in every worker, and another for another", async () => {
    const paths = ["/responses/resp_a", "/conversations/conv_a/items", "/chat/completions/a"];
    for (const path of paths) {
      const told = [];
      for (let at = 0; at < 8; at++) told.push((await ask(weir, path)).said);
      for (const one of told) expect(one).toEqual(told[0]!);
    }
    const item = async (id: string) => (await client.responses.retrieve(id)).output[0]!.id;
    expect(await item("resp_a")).not.toBe(await item("resp_b"));
  });

  test("nothing is kept of it, and what is kept is not made up", async () => {
    await client.conversations.update("conv_b", { metadata: { k: "v" } });
    await client.conversations.items.create("conv_b", { items: [{ role: "user", content: "x" }] });
    const { metadata } = await client.conversations.retrieve("conv_b");
    expect(metadata).toEqual({});
    expect((await client.conversations.items.list("conv_b")).data).toHaveLength(1);
    const made = await client.conversations.create({ metadata: { own: "yes" } });
    for (let at = 0; at < 6; at++) {
      expect((await ask(weir, `/conversations/${made.id}`)).said).toMatchObject({
        id: made.id,
        metadata: { own: "yes" },
      });
    }
  });

  test("a response that nobody has made says mock.reply, whole and as a stream", async () => {
    const whole = await client.responses.retrieve("resp_c");
    expect(whole.output_text).toBe(REPLY);
    expect(whole.usage!.output_tokens).toBeGreaterThan(0);
    const events = [];
    for await (const event of await client.responses.retrieve("resp_c", { stream: true })) {
      events.push(event);
    }
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(
      events.map((_, at) => at),
    );
    const last = events.at(-1)!;
    if (last.type !== "response.completed") throw new Error(last.type);
    expect([last.response.id, last.response.output]).toEqual(["resp_c", whole.output]);
  });

  test("a response goes on from what nobody has made", async () => {
    for (const past of [{ previous_response_id: "resp_d" }, { conversation: "conv_d" }]) {
      const { status, usage } = await client.responses.create({ input: "hi", ...past });
      expect(status).toBe("completed");
      // "Hello" has been said before.
      const alone = await client.responses.create({ input: "hi" });
      expect(usage!.input_tokens).toBeGreaterThan(alone.usage!.input_tokens);
    }
  });
});

describe("mock.validate: spec keeps OpenAI's schema", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: SPEC });
  });
  afterAll(() => weir.stop());

  test("every response tells of tokens written to the cache", async () => {
    for (const model of ["gpt-4o", "gpt-5.6-sol"]) {
      const body = { model, input: "hi" };
      for (const path of ["/responses", "/responses/compact"]) {
        const { said } = await ask(weir, path, { method: "POST", body });
        expect(said["usage"]).toMatchObject({ input_tokens_details: { cache_write_tokens: 0 } });
      }
    }
  });

  test("a compacted talk holds no message of a user", async () => {
    const { said } = await ask(weir, "/responses/compact", {
      method: "POST",
      body: { model: "gpt-4o", input: "hi" },
    });
    expect((said["output"] as { readonly type: string }[]).map(({ type }) => type)).toEqual([
      "compaction",
    ]);
  });

  test("an embedding is numbers, also where base64 is asked for", async () => {
    const { said } = await ask(weir, "/embeddings", {
      method: "POST",
      body: {
        model: "text-embedding-3-small",
        input: "hi",
        encoding_format: "base64",
        dimensions: 3,
      },
    });
    const [first] = said["data"] as { readonly embedding: unknown }[];
    expect(first!.embedding).toEqual([
      expect.any(Number),
      expect.any(Number),
      expect.any(Number),
    ]);
  });

  test("the first token of an echoed prompt has a number", async () => {
    const { said } = await ask(weir, "/completions", {
      method: "POST",
      body: { model: "davinci-002", prompt: "One two", echo: true, logprobs: 1 },
    });
    const [choice] = said["choices"] as {
      readonly logprobs: { readonly token_logprobs: unknown[]; readonly top_logprobs: unknown[] };
    }[];
    const { token_logprobs, top_logprobs } = choice!.logprobs;
    expect(token_logprobs.every((one) => typeof one === "number")).toBe(true);
    expect(top_logprobs.every((one) => typeof one === "object" && one !== null)).toBe(true);
  });

  test("a response may have no token at all, and a past twice", async () => {
    const { status, said } = await ask(weir, "/responses", {
      method: "POST",
      body: {
        max_output_tokens: 0,
        conversation: "conv_e",
        previous_response_id: "resp_e",
        prompt: { id: "pmpt_1" },
      },
    });
    expect(status).toBe(200);
    expect(said).toMatchObject({
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
    });
  });

  test("a list takes any limit and any cursor", async () => {
    const query = "limit=0&after=nothing&order=asc";
    for (
      const path of [
        "/chat/completions",
        "/chat/completions/x/messages",
        "/responses/x/input_items",
        "/conversations/x/items",
      ]
    ) {
      const { status, said } = await ask(weir, `${path}?${query}`);
      expect([status, said["data"]]).toEqual([200, []]);
      expect((await ask(weir, `${path}?limit=1000&after=nothing`)).status).toBe(200);
      expect((await ask(weir, `${path}?order=up`)).status).toBe(400);
    }
  });
});

test("mock.validate: live knows no object that nobody has made", async () => {
  const weir = await launch({});
  try {
    for (const [path, options] of UNKNOWN) {
      const { status } = await ask(weir, path, options);
      expect([path, status]).toEqual([path, 404]);
    }
  } finally {
    await weir.stop();
  }
});

test("mock.validate: spec makes nothing up that an upstream may have", async () => {
  const upstream = Bun.serve({
    port: 0,
    fetch: (request) => Response.json({ of: "upstream", path: new URL(request.url).pathname }),
  });
  const weir = await launch({
    set: { ...SPEC, "llm.base_url": `http://127.0.0.1:${upstream.port}/v1`, "llm.api_key": "sk-2" },
  });
  try {
    for (const path of ["/responses/resp_none", "/conversations/nobody", "/chat/completions/x"]) {
      const { said } = await ask(weir, path);
      expect(said).toEqual({ of: "upstream", path: `/v1${path}` });
    }
  } finally {
    await weir.stop();
    await upstream.stop(true);
  }
});
