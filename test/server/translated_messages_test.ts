import Anthropic, { RateLimitError } from "@anthropic-ai/sdk";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI, { BadRequestError } from "openai";
import { type Aimock, launchAimock } from "./aimock.ts";
import { launch, TEST_MS_MAX, type Weir } from "./launch.ts";
import { type SeenRequest, tellUpstream, type ToldUpstream } from "./told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const TEXT = "你好 🌊, this answer comes word by word from a server that nobody here wrote";

/** The same for both of aimock's dialects: it is asked in the one that a client does not speak. */
const FIXTURES = [
  {
    match: { userMessage: "hello" },
    response: { content: TEXT, usage: { input_tokens: 9, output_tokens: 7 } },
    chunkSize: 5,
  },
  { match: { userMessage: "think" }, response: { content: TEXT, reasoning: "Let me see, 嗯" } },
  {
    match: { userMessage: "weather" },
    response: {
      toolCalls: [{ id: "call_w", name: "weather", arguments: '{"city":"杭州","days":2}' }],
    },
  },
  {
    match: { userMessage: "both" },
    response: {
      toolCalls: [
        { name: "weather", arguments: '{"city":"杭州"}' },
        { name: "time", arguments: "{}" },
      ],
    },
  },
  {
    match: { userMessage: "refuse" },
    response: { error: { message: "no: 不行", type: "rate_limit_error" }, status: 429 },
  },
];

let aimock: Aimock;
beforeAll(async () => {
  aimock = await launchAimock(FIXTURES);
});
afterAll(() => aimock.stop());

function thrown(promise: PromiseLike<unknown>): Promise<unknown> {
  return Promise.resolve(promise).then(() => undefined, (error: unknown) => error);
}

const SCHEMA = {
  type: "object" as const,
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city"],
};

describe("@anthropic-ai/sdk over an upstream that knows chat completions only", () => {
  let weir: Weir;
  let client: Anthropic;
  beforeAll(async () => {
    weir = await launch({
      set: {
        "llm.base_url": `${aimock.url}/v1`,
        "llm.speaks": "[openai_chat]",
        "llm.api_key": "sk-up",
        "llm.retries": 0,
      },
    });
    client = new Anthropic({ baseURL: weir.url, apiKey: "sk-x", maxRetries: 0 });
  });
  afterAll(() => weir.stop());

  const TOOLS: Anthropic.Tool[] = [{ name: "weather", description: "d", input_schema: SCHEMA }];
  function asking(content: string, more: Partial<Anthropic.MessageCreateParams> = {}) {
    return {
      model: "gpt-5",
      max_tokens: 5000,
      messages: [{ role: "user" as const, content }],
      ...more,
    } as Anthropic.MessageCreateParamsNonStreaming;
  }

  test("a text, streamed and whole", async () => {
    const whole = await client.messages.create(asking("hello"));
    expect<unknown>([whole.content, whole.stop_reason]).toEqual([
      [{ type: "text", text: TEXT }],
      "end_turn",
    ]);
    const pieces: string[] = [];
    const streamed = await client.messages.stream(asking("hello"))
      .on("text", (text) => void pieces.push(text)).finalMessage();
    expect<unknown>(streamed.content).toEqual(whole.content);
    expect(pieces.length).toBeGreaterThan(5);
    expect(streamed.usage.input_tokens).toBeGreaterThan(0);
    expect(streamed.usage.output_tokens).toBeGreaterThan(0);
  });

  test("the prompt's tokens are told from the first event on", async () => {
    const events = await client.messages.create({ ...asking("hello"), stream: true });
    for await (const event of events) {
      if (event.type !== "message_start") continue;
      expect(event.message.usage.input_tokens).toBeGreaterThan(0);
    }
  });

  test("a call, whole", async () => {
    const call = await client.messages.create(asking("weather", { tools: TOOLS }));
    expect(call).toMatchObject({
      stop_reason: "tool_use",
      content: [{
        type: "tool_use",
        id: "call_w",
        name: "weather",
        input: { city: "杭州", days: 2 },
      }],
    });
  });

  test("a question of many bytes", async () => {
    const content = `${"水".repeat(60_000)} hello`;
    const message = await client.messages.create(asking(content));
    expect<unknown>(message.content).toEqual([{ type: "text", text: TEXT }]);
  });

  test("two calls are two blocks", async () => {
    const message = await client.messages.stream(asking("both", { tools: TOOLS })).finalMessage();
    expect(message.stop_reason).toBe("tool_use");
    expect(message.content).toMatchObject([
      { type: "tool_use", name: "weather", input: { city: "杭州" } },
      { type: "tool_use", name: "time", input: {} },
    ]);
  });

  test("reasoning is thinking, where that is enabled", async () => {
    const thinking = { type: "enabled", budget_tokens: 1024 } as const;
    for (
      const message of [
        await client.messages.create(asking("think", { thinking })),
        await client.messages.stream(asking("think", { thinking })).finalMessage(),
      ]
    ) {
      expect(message.content).toMatchObject([
        { type: "thinking", thinking: "Let me see, 嗯" },
        { type: "text", text: TEXT },
      ]);
    }
    const without = await client.messages.create(asking("think"));
    expect<unknown>(without.content).toEqual([{ type: "text", text: TEXT }]);
  });

  test("its refusal keeps its status and its sentence", async () => {
    const error = await thrown(client.messages.create(asking("refuse")));
    expect(error).toBeInstanceOf(RateLimitError);
    expect((error as RateLimitError).error).toMatchObject({
      error: { type: "rate_limit_error", message: "no: 不行" },
    });
  });

  test("tokens are counted by weir itself", async () => {
    const counted = await client.messages.countTokens({
      model: "gpt-5",
      messages: [{ role: "user", content: "hello" }],
    });
    expect(counted.input_tokens).toBeGreaterThan(3);
  });
});

describe("the openai client over an upstream that knows Anthropic's messages only", () => {
  let weir: Weir;
  let openai: OpenAI;
  beforeAll(async () => {
    weir = await launch({
      set: {
        "llm.base_url": `${aimock.url}/v1`,
        "llm.speaks": "[anthropic_messages]",
        "llm.api_key": "sk-up",
        "llm.retries": 0,
      },
    });
    openai = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "sk-x", maxRetries: 0 });
  });
  afterAll(() => weir.stop());

  const TOOLS = [{
    type: "function" as const,
    function: { name: "weather", description: "d", parameters: SCHEMA },
  }];
  function asking(content: string) {
    return { model: "claude-sonnet-4-5", messages: [{ role: "user" as const, content }] };
  }

  test("a text, streamed and whole", async () => {
    const whole = await openai.chat.completions.create(asking("hello"));
    expect(whole.choices[0]).toMatchObject({ message: { content: TEXT }, finish_reason: "stop" });
    expect(whole.usage!.total_tokens).toBe(16);
    const stream = await openai.chat.completions.create({
      ...asking("hello"),
      stream: true,
      stream_options: { include_usage: true },
    });
    const pieces: string[] = [];
    let total = 0;
    for await (const { choices: [choice], usage } of stream) {
      if (choice?.delta.content) pieces.push(choice.delta.content);
      total = usage?.total_tokens ?? total;
    }
    expect(pieces.join("")).toBe(TEXT);
    expect(pieces.length).toBeGreaterThan(5);
    expect(total).toBe(whole.usage!.total_tokens);
  });

  test("a question of many bytes", async () => {
    const { choices: [choice] } = await openai.chat.completions.create(
      asking(`${"水".repeat(60_000)} hello`),
    );
    expect(choice!.message.content).toBe(TEXT);
  });

  test("two calls have their own numbers", async () => {
    const { choices: [choice] } = await openai.chat.completions.stream({
      ...asking("both"),
      tools: TOOLS,
    }).finalChatCompletion();
    expect(choice!.finish_reason).toBe("tool_calls");
    expect(choice!.message.tool_calls).toMatchObject([
      { function: { name: "weather", arguments: '{"city":"杭州"}' } },
      { function: { name: "time", arguments: "{}" } },
    ]);
  });

  test("what cannot be asked there is refused, and says what", async () => {
    const error = await thrown(openai.chat.completions.create({ ...asking("hello"), n: 2 }));
    expect(error).toBeInstanceOf(BadRequestError);
    expect((error as BadRequestError).param).toBe("n");
    expect((error as BadRequestError).message).toContain("leave out 'n'");
  });

  test("other surfaces ask it as well", async () => {
    const answer = await fetch(`${weir.url}/api/chat`, {
      method: "POST",
      body: JSON.stringify({ messages: [{ role: "user", content: "hello" }] }),
    });
    const said = [...(await answer.text()).matchAll(/^data: (\{.*\})$/gm)]
      .map(([, json]) => (JSON.parse(json!) as { readonly content: string }).content);
    expect(said.join("")).toBe(TEXT);
  });
});

describe("an upstream of Anthropic's own dialect", () => {
  let upstream: ToldUpstream;
  let weir: Weir;
  let answer: (request: SeenRequest) => Response;
  beforeAll(async () => {
    upstream = tellUpstream((request) => answer(request));
    weir = await launch({
      set: {
        "llm.base_url": `${upstream.url}/v1`,
        "llm.speaks": "[anthropic_messages]",
        "llm.api_key": "sk-up",
        "llm.retries": 0,
      },
    });
  });
  afterAll(async () => {
    await weir.stop();
    upstream.stop();
  });

  const BODY = '{ "model": "claude-x",  "max_tokens": 9, "unknown": {"水": 1}, "messages": [] }';
  function post(path: string, body = BODY, headers: Record<string, string> = {}) {
    return fetch(weir.url + path, {
      method: "POST",
      body,
      headers: {
        "anthropic-version": "2023-06-01",
        "content-type": "application/json",
        ...headers,
      },
    });
  }

  test("gets a client's bytes and gives its own, with weir's key in its place", async () => {
    const stream = 'event: message_stop\ndata: {"type":"message_stop"  }\n\n';
    const requestId = "req_011C12345678901234567890";
    answer = () =>
      new Response(stream, {
        headers: { "content-type": "text/event-stream", "request-id": requestId },
      });
    const response = await post("/v1/messages?beta=true", BODY, {
      "x-api-key": "sk-client",
      "anthropic-beta": "a,b",
    });
    expect(await response.text()).toBe(stream);
    expect(response.headers.get("request-id")).toBe(requestId);
    const seen = upstream.requests.at(-1)!;
    expect([seen.path, seen.body]).toEqual(["/v1/messages?beta=true", BODY]);
    expect(seen.headers.get("x-api-key")).toBe("sk-up");
    expect(seen.headers.get("authorization")).toBeNull();
    expect(seen.headers.get("anthropic-beta")).toBe("a,b");
  });

  test("is believed when it is overloaded", async () => {
    const body = '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}';
    answer = () => new Response(body, { status: 529, headers: { "retry-after": "3" } });
    const response = await post("/v1/messages");
    expect([response.status, await response.text(), response.headers.get("retry-after")])
      .toEqual([529, body, "3"]);
  });

  test("counts tokens, lists its models, and takes whatever else there is", async () => {
    answer = ({ method, path }) => Response.json({ method, path });
    const told = async (response: Promise<Response>) => await (await response).json() as unknown;
    expect(await told(post("/v1/messages/count_tokens")))
      .toEqual({ method: "POST", path: "/v1/messages/count_tokens" });
    const get = (path: string) =>
      told(fetch(weir.url + path, { headers: { "anthropic-version": "2023-06-01" } }));
    for (const path of ["/v1/models?limit=3", "/v1/models/claude-x", "/v1/messages/batches"]) {
      expect(await get(path)).toEqual({ method: "GET", path });
    }
    expect(upstream.requests.at(-1)!.headers.get("x-api-key")).toBe("sk-up");
    // A client of OpenAI's sees it, too.
    expect(await told(fetch(`${weir.url}/v1/models`))).toEqual({
      method: "GET",
      path: "/v1/models",
    });
    expect(upstream.requests.at(-1)!.headers.get("anthropic-version")).toBe("2023-06-01");
  });

  test("is asked for a turn with its version and weir's key", async () => {
    answer = () =>
      Response.json({
        type: "message",
        content: [{ type: "text", text: "水" }],
        stop_reason: "end_turn",
        usage: { input_tokens: 1, output_tokens: 1 },
      });
    const body = { model: "claude-x", messages: [{ role: "user", content: "hi" }] };
    const response = await post("/v1/chat/completions", JSON.stringify(body));
    expect(await response.json()).toMatchObject({ choices: [{ message: { content: "水" } }] });
    const seen = upstream.requests.at(-1)!;
    expect(seen.path).toBe("/v1/messages");
    expect(seen.headers.get("x-api-key")).toBe("sk-up");
    expect(seen.headers.get("anthropic-version")).toBe("2023-06-01");
    expect(JSON.parse(seen.body)).toMatchObject({ model: "claude-x", stream: true });
  });
});

describe("an upstream of which nobody knows what it speaks", () => {
  test("is tried, and asked in the chat dialect when it has no messages", async () => {
    const chunk = { choices: [{ index: 0, delta: { content: "水" }, finish_reason: "stop" }] };
    const upstream = tellUpstream(({ path }) =>
      path === "/v1/chat/completions"
        ? new Response(`data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`, {
          headers: { "content-type": "text/event-stream" },
        })
        : new Response("no such path", { status: 404 })
    );
    const weir = await launch({
      set: { "llm.base_url": `${upstream.url}/v1`, "llm.retries": 0 },
    });
    try {
      const client = new Anthropic({ baseURL: weir.url, apiKey: "sk-x", maxRetries: 0 });
      const messages = [{ role: "user" as const, content: "hi" }];
      expect((await client.messages.countTokens({ model: "qwen", messages })).input_tokens)
        .toBeGreaterThan(3);
      for (let i = 0; i < 2; i++) {
        const message = await client.messages.stream({ model: "qwen", max_tokens: 9, messages })
          .finalMessage();
        expect<unknown>(message.content).toEqual([{ type: "text", text: "水" }]);
      }
      expect((await client.messages.countTokens({ model: "qwen", messages })).input_tokens)
        .toBeGreaterThan(3);
      expect(upstream.requests.map(({ path }) => path)).toEqual([
        "/v1/messages/count_tokens",
        "/v1/messages",
        "/v1/chat/completions",
        "/v1/chat/completions",
      ]);
    } finally {
      await weir.stop();
      upstream.stop();
    }
  });
});
