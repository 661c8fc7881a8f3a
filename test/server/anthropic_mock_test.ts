import Anthropic, { AuthenticationError, BadRequestError, NotFoundError } from "@anthropic-ai/sdk";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { launch, rawExchange, rawPost, TEST_MS_MAX, type Weir } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

const REPLY = "一 two 🌊 four, and 五";
const HELLO = [{ role: "user" as const, content: "你好 🌊" }];
const ASKED = { model: "claude-opus-4-5", max_tokens: 100, messages: HELLO };
const TOOL = {
  name: "wetter",
  input_schema: { type: "object" as const, properties: { ort: { type: "string" } } },
};

/** What an error of the SDK says. */
function thrown(promise: PromiseLike<unknown>): Promise<unknown> {
  return Promise.resolve(promise).then(() => undefined, (error: unknown) => error);
}

describe("@anthropic-ai/sdk and the mock", () => {
  let weir: Weir;
  let client: Anthropic;
  beforeAll(async () => {
    weir = await launch({ set: { "mock.reply": REPLY, "mock.delay_ms": 1 } });
    client = new Anthropic({ baseURL: weir.url, apiKey: "sk-x", maxRetries: 0 });
  });
  afterAll(() => weir.stop());

  test("create() gives a message", async () => {
    const { data, response, request_id } = await client.messages.create(ASKED).withResponse();
    expect(data).toMatchObject({
      type: "message",
      role: "assistant",
      model: "claude-opus-4-5-20251101",
      content: [{ type: "text", text: REPLY }],
      stop_reason: "end_turn",
      stop_sequence: null,
    });
    expect(data.id).toMatch(/^msg_01[A-Za-z0-9]{22}$/);
    expect(request_id).toMatch(/^req_011C[A-Za-z0-9]{20}$/);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(data.usage.input_tokens).toBeGreaterThan(3);
    expect(data.usage.output_tokens).toBeGreaterThan(5);
  });

  test("stream() gives the same, piece by piece", async () => {
    const stream = client.messages.stream(ASKED);
    let said = "";
    stream.on("text", (text) => said += text);
    const message = await stream.finalMessage();
    expect<unknown>([said, message.content]).toEqual([REPLY, [{ type: "text", text: REPLY }]]);
    const { id, usage } = await client.messages.create(ASKED);
    expect(message.usage).toEqual(usage);
    expect(message.id).not.toBe(id);
    expect(await stream.finalText()).toBe(REPLY);
  });

  test("events come in their order, each named", async () => {
    const types: string[] = [];
    for await (const event of await client.messages.create({ ...ASKED, stream: true })) {
      if (types.at(-1) !== event.type) types.push(event.type);
    }
    expect(types).toEqual([
      "message_start",
      "content_block_start",
      "content_block_delta",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
  });

  test("beta calls and headers are taken", async () => {
    const message = await client.beta.messages.create({ ...ASKED, betas: ["whatever-2026-01-01"] });
    expect(message.content).toMatchObject([{ type: "text", text: REPLY }]);
  });

  test("thinking is shown where it is enabled, and signed", async () => {
    const thinking = { type: "enabled", budget_tokens: 1024 } as const;
    const message = await client.messages.create({ ...ASKED, max_tokens: 5000, thinking });
    const [first, second] = message.content;
    expect<unknown>([first!.type, second]).toEqual(["thinking", { type: "text", text: REPLY }]);
    if (first?.type !== "thinking") throw new Error("It did not think");
    expect(first.thinking.length).toBeGreaterThan(20);
    expect(first.signature.length).toBeGreaterThan(20);
    expect(message.usage.output_tokens_details?.thinking_tokens).toBeGreaterThan(5);
    const streamed = client.messages.stream({ ...ASKED, max_tokens: 5000, thinking });
    expect<unknown>((await streamed.finalMessage()).content).toEqual(message.content);
    // It may be handed back.
    const next = [...HELLO, { role: "assistant" as const, content: message.content }, ...HELLO];
    await client.messages.create({ ...ASKED, messages: next });
    const hidden = await client.messages.create({
      ...ASKED,
      thinking: { type: "adaptive", display: "omitted" },
    });
    expect<unknown>(hidden.content.at(-1)).toEqual({ type: "text", text: REPLY });
  });

  test("limits and stop sequences end it", async () => {
    const short = await client.messages.create({ ...ASKED, max_tokens: 2 });
    expect(short.stop_reason).toBe("max_tokens");
    expect(REPLY).toStartWith((short.content[0] as Anthropic.TextBlock).text);
    const stopped = await client.messages.stream({ ...ASKED, stop_sequences: ["four", "🌊"] })
      .finalMessage();
    expect<unknown>([stopped.stop_reason, stopped.stop_sequence, stopped.content]).toEqual([
      "stop_sequence",
      "🌊",
      [{ type: "text", text: "一 two " }],
    ]);
  });

  test("countTokens() counts what create() costs", async () => {
    const counted = await client.messages.countTokens({ model: ASKED.model, messages: HELLO });
    const { usage } = await client.messages.create(ASKED);
    expect(counted).toEqual({ input_tokens: usage.input_tokens });
  });

  test("models are listed in pages, and found by name", async () => {
    const page = await client.models.list({ limit: 3 });
    expect([page.data.length, page.has_more]).toEqual([3, true]);
    const ids: string[] = [];
    for await (const { id } of client.models.list({ limit: 7 })) ids.push(id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toContain("claude-opus-4-5-20251101");
    expect(await client.models.retrieve("claude-opus-4-5")).toMatchObject({
      id: "claude-opus-4-5-20251101",
      display_name: "Claude Opus 4.5",
    });
    // Whoever does not say Anthropic's version is OpenAI's client.
    expect(await (await fetch(`${weir.url}/v1/models`)).json()).toMatchObject({ object: "list" });
  });

  test("what is wrong is told in Anthropic's words", async () => {
    const error = await thrown(client.messages.create({ ...ASKED, max_tokens: 0 }));
    expect(error).toBeInstanceOf(BadRequestError);
    const { status, error: body, requestID } = error as BadRequestError;
    expect([status, body]).toEqual([400, {
      type: "error",
      error: {
        type: "invalid_request_error",
        message: "max_tokens: Input should be greater than or equal to 1",
      },
      request_id: requestID,
    }]);
    const answer = await rawExchange(weir.port, rawPost("/v1/messages", "{oops"));
    expect(answer).toContain("400 Bad Request");
    expect(answer).toContain("not valid JSON");
  });

  test("HEAD / is answered", async () => {
    expect((await fetch(weir.url, { method: "HEAD" })).status).toBe(200);
  });

  test("other methods and paths are refused in the dialect around them", async () => {
    expect((await fetch(`${weir.url}/v1/messages`)).status).toBe(405);
    const error = await thrown(client.messages.batches.list());
    expect(error).toBeInstanceOf(NotFoundError);
    expect((error as NotFoundError).error).toMatchObject({
      type: "error",
      error: { type: "not_found_error" },
    });
  });

  test("tools of every kind are accepted", async () => {
    const message = await client.messages.create({
      ...ASKED,
      tools: [TOOL, { type: "web_search_20250305", name: "web_search" }],
      tool_choice: { type: "auto" },
    });
    expect(message.stop_reason).not.toBeNull();
  });
});

describe("a weir with a token, for the models it lists", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({
      files: {
        "config.yaml": "auth: { token: weir-token }\nmock: { models: [claude-a, claude-b] }\n",
      },
    });
  });
  afterAll(() => weir.stop());

  const asked = { ...ASKED, model: "claude-a" };

  test("takes it as x-api-key and as a bearer's", async () => {
    const inField = { apiKey: null, defaultHeaders: { "x-api-key": "weir-token" } };
    for (const key of [inField, { apiKey: null, authToken: "weir-token" }]) {
      const client = new Anthropic({ baseURL: weir.url, maxRetries: 0, ...key });
      expect((await client.messages.create(asked)).role).toBe("assistant");
      expect(await client.messages.countTokens({ model: "claude-a", messages: HELLO }))
        .toHaveProperty("input_tokens");
      expect((await client.models.list()).data.map(({ id }) => id)).toEqual([
        "claude-a",
        "claude-b",
      ]);
    }
  });

  test("refuses another one, and none, and shows neither", async () => {
    for (
      const [key, message] of [
        [{ apiKey: null, defaultHeaders: { "x-api-key": "sk-wrong" } }, "invalid x-api-key"],
        [{ apiKey: null, authToken: "sk-wrong" }, "Invalid bearer token"],
      ] as const
    ) {
      const client = new Anthropic({ baseURL: weir.url, maxRetries: 0, ...key });
      for (const ask of [() => client.messages.create(asked), () => client.models.list()]) {
        const error = await thrown(ask());
        expect(error).toBeInstanceOf(AuthenticationError);
        expect([ask.toString(), (error as AuthenticationError).error]).toMatchObject([
          ask.toString(),
          { error: { type: "authentication_error", message } },
        ]);
      }
    }
    const bare = await rawExchange(weir.port, rawPost("/v1/messages", asked));
    expect(bare).toContain("401 Unauthorized");
    expect(bare).toContain("x-api-key header is required");
  });

  test("refuses a model that it does not have", async () => {
    const client = new Anthropic({ baseURL: weir.url, apiKey: "weir-token", maxRetries: 0 });
    const wrong = { ...asked, model: "claude-sonet" };
    const asks = [
      () => client.messages.create(wrong),
      () => client.messages.countTokens({ model: wrong.model, messages: HELLO }),
      () => client.models.retrieve(wrong.model),
    ];
    for (const ask of asks) {
      const error = await thrown(ask());
      expect(error).toBeInstanceOf(NotFoundError);
      expect((error as NotFoundError).error).toMatchObject({
        error: { type: "not_found_error", message: "model: claude-sonet" },
      });
    }
  });
});
