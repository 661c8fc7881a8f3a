import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { brokenRules, eventsOf } from "../dialects/openai_responses/event_rules.ts";
import { type Aimock, launchAimock } from "./aimock.ts";
import { chatOnlyUpstream, SAID } from "./chat_upstream.ts";
import { launch, TEST_MS_MAX, type Weir } from "./launch.ts";
import { tellUpstream, type ToldUpstream } from "./told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const REPLY =
  "一 two 🌊 four five six seven eight nine ten eleven twelve thirteen fourteen fifteen " +
  "sixteen seventeen eighteen";

function post(weir: Weir, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${weir.url}/v1/responses`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

const ASKED = { model: "gpt-4o", input: "hi" };
const STREAMED = { ...ASKED, stream: true };

describe("the mock's responses", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: { "mock.reply": REPLY } });
  });
  afterAll(() => weir.stop());

  test("a stream keeps the rules of all streams, and says the reply", async () => {
    for (const model of ["gpt-4o", "gpt-5", "gpt-5.5", "some-model"]) {
      const response = await post(weir, { ...STREAMED, model });
      expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
      expect(response.headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{32}$/);
      const stream = await response.text();
      expect(brokenRules(stream)).toEqual([]);
      const { usage, output } = eventsOf(stream).at(-1)!["response"] as {
        readonly usage: { readonly output_tokens: number };
        readonly output: readonly { readonly content: readonly { readonly text: string }[] }[];
      };
      expect(output.at(-1)!.content[0]!.text).toBe(REPLY); // behind what a model has thought
      expect(usage.output_tokens).toBeGreaterThan(10);
    }
  });

  test("every answer has ids of its own", async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, async (_, at) => {
      const response = await post(weir, at % 2 === 0 ? ASKED : STREAMED);
      return /resp_[0-9a-f]{50}/.exec(await response.text())![0];
    }));
    expect(new Set(ids).size).toBe(20);
  });

  test("an answer in one piece is laid out as the API's", async () => {
    const response = await post(weir, ASKED);
    expect(response.headers.get("content-type")).toBe("application/json");
    const text = await response.text();
    expect(text).toStartWith('{\n  "id": "resp_');
    expect(text).toEndWith('"metadata": {}\n}');
  });

  test("an answer that is cut says that it is incomplete", async () => {
    const stream = await (await post(weir, { ...STREAMED, max_output_tokens: 16 })).text();
    expect(brokenRules(stream)).toEqual([]);
    const last = eventsOf(stream).at(-1)!;
    expect(last.type).toBe("response.incomplete");
    expect(last["response"]).toMatchObject({
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
      usage: { output_tokens: 16 },
      output: [{ status: "incomplete" }],
    });
    const whole = await (await post(weir, { ...ASKED, max_output_tokens: 16 })).json();
    expect(whole).toMatchObject({ status: "incomplete", completed_at: null });
  });

  const refused = [
    [{ previous_response_id: "resp_1" }, 400, "previous_response_not_found"],
    [{ conversation: "conv_1" }, 404, null],
    [{ input: undefined }, 400, "missing_required_parameter"],
  ] as const;
  for (const [body, status, code] of refused) {
    test(`${JSON.stringify(body)} is ${status}`, async () => {
      const response = await post(weir, { ...ASKED, ...body });
      expect(response.status).toBe(status);
      const { error } = await response.json() as { error: { code: unknown; message: string } };
      expect(error.code as string | null).toBe(code);
    });
  }

  test("what it does not know as a model is refused in that API's words", async () => {
    const strict = await launch({ set: { "mock.models": "[gpt-4o]" } });
    try {
      for (const below of ["", "/input_tokens", "/compact"]) {
        const response = await fetch(`${strict.url}/v1/responses${below}`, {
          method: "POST",
          body: JSON.stringify({ model: "gpt-4p", input: "hello" }),
        });
        expect(response.status).toBe(400);
        expect(await response.text()).toBe(
          '{\n  "error": {\n    "message": "The requested model \'gpt-4p\' does not exist.",\n' +
            '    "type": "invalid_request_error",\n    "param": "model",\n' +
            '    "code": "model_not_found"\n  }\n}',
        );
      }
    } finally {
      await strict.stop();
    }
  });

  test("a request that says much is answered like any other", async () => {
    const instructions = 'say \\"水\\" \\'.repeat(20_000);
    const tools = [{ type: "function", name: "f", parameters: { type: "object" } }];
    const body = { ...ASKED, instructions, tools };
    const stream = await (await post(weir, { ...body, stream: true })).text();
    expect(brokenRules(stream)).toEqual([]);
    const whole = await (await post(weir, body)).json();
    expect(whole).toMatchObject({ instructions, tools, status: "completed" });
  });

  test("a WebSocket is told to come back without one", async () => {
    const response = await fetch(`${weir.url}/v1/responses`, {
      headers: {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
      },
    });
    expect(response.status).toBe(426);
    expect(response.headers.get("upgrade")).toBe("HTTP/1.1");
  });
});

describe("over an upstream that has it", () => {
  let weir: Weir;
  let upstream: ToldUpstream;
  beforeAll(async () => {
    upstream = tellUpstream();
    weir = await launch({
      set: { "llm.base_url": `${upstream.url}/v1`, "llm.retries": 0, "server.keepalive_ms": 0 },
    });
  });
  afterAll(async () => {
    await weir.stop();
    upstream.stop();
  });

  /** Asks, and says `events` in the upstream's place of its own ones. */
  async function begin(body: string) {
    const index = upstream.requests.length;
    const asked = post(weir, body);
    return { told: await upstream.told(index), asked, seen: upstream.requests[index]! };
  }

  test("what breaks off ends with an error, then a failed response, numbered on", async () => {
    const { told, asked } = await begin(JSON.stringify(STREAMED));
    const created = '{"type":"response.created","response":{"id":"resp_abc","object":"response",' +
      '"created_at":1776481268,"model":"gpt-4o-2024-08-06","instructions":"\\"model\\":\\"no\\""},' +
      '"sequence_number":0}';
    told.raw(`event: response.created\ndata: ${created}\n\n`);
    told.raw('data: {"type":"x","sequence_number":41}\n\n');
    const reader = (await asked).body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let isTold = false;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
      if (isTold || !text.includes(":41}")) continue;
      isTold = true;
      told.break();
    }
    const [error, failed] = eventsOf(text.slice(text.indexOf("event: error")));
    expect(error).toMatchObject({ type: "error", sequence_number: 42 });
    expect((error!["error"] as { message: string }).message).not.toBe("");
    expect(failed).toMatchObject({
      type: "response.failed",
      sequence_number: 43,
      response: {
        id: "resp_abc",
        created_at: 1776481268,
        status: "failed",
        output: [],
      },
    });
    expect(text.endsWith("\n\n")).toBe(true);
  });

  test("a whole stream goes down as it came", async () => {
    const { told, asked, seen } = await begin('{ "model":"x","odd":[1.0] ,"stream":true}');
    expect([seen.path, seen.body]).toEqual([
      "/v1/responses",
      '{ "model":"x","odd":[1.0] ,"stream":true}',
    ]);
    const odd = 'data:{"type":"response.completed","odd":"水"}\n\n';
    told.raw(odd);
    told.finish();
    expect(await (await asked).text()).toContain(odd);
  });
});

/** Larger than what is read of a body before it goes up. */
const LARGE = "水".repeat(400_000);

describe("over an upstream that may not have it", () => {
  test("a large body is asked again in the chat API, and the upstream is remembered", async () => {
    const upstream = chatOnlyUpstream();
    const weir = await launch({ set: { "llm.base_url": `${upstream.url}/v1`, "llm.retries": 0 } });
    try {
      for (let i = 0; i < 2; i++) {
        const response = await post(weir, { ...ASKED, input: LARGE });
        expect(await response.json()).toMatchObject({
          status: "completed",
          output: [{ content: [{ text: SAID }] }],
          usage: { input_tokens: 9, output_tokens: 7 },
        });
      }
      const [, chat] = upstream.requests;
      expect(upstream.requests.map(({ path }) => path)).toEqual([
        "/v1/responses",
        "/v1/chat/completions",
        "/v1/chat/completions",
      ]);
      expect(JSON.parse(chat!.body).messages).toEqual([{ role: "user", content: LARGE }]);
    } finally {
      await weir.stop();
      upstream.stop();
    }
  });

  test("an item that is named goes up as it was said; a prompt kept elsewhere is refused", async () => {
    const upstream = chatOnlyUpstream();
    const weir = await launch({
      set: { "llm.base_url": `${upstream.url}/v1`, "llm.speaks": "[openai_chat]" },
    });
    try {
      const { output } = await (await post(weir, ASKED)).json() as { output: { id: string }[] };
      const named = { type: "item_reference", id: output[0]!.id };
      const input = [{ role: "user", content: "a" }, named, { role: "user", content: "b" }];
      expect((await post(weir, { ...ASKED, input })).status).toBe(200);
      expect(JSON.parse(upstream.requests.at(-1)!.body).messages).toEqual([
        { role: "user", content: "a" },
        { role: "assistant", content: SAID },
        { role: "user", content: "b" },
      ]);
      const lost = [{ type: "item_reference", id: "msg_1" }];
      expect((await post(weir, { ...ASKED, input: lost })).status).toBe(404);
      expect((await post(weir, { ...ASKED, prompt: { id: "pmpt_1" } })).status).toBe(404);
      expect(upstream.requests).toHaveLength(2);
    } finally {
      await weir.stop();
      upstream.stop();
    }
  });

  test("a chat request that is large is asked whole where only responses are known", async () => {
    const mock = await launch({ set: { "mock.reply": SAID } });
    const weir = await launch({
      set: { "llm.base_url": `${mock.url}/v1`, "llm.speaks": "[openai_responses]" },
    });
    try {
      const client = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "sk", maxRetries: 0 });
      const messages = [{ role: "user" as const, content: LARGE }];
      const answer = await client.chat.completions.create({ model: "gpt-4o", messages });
      expect(answer.choices[0]!.message.content).toBe(SAID);
    } finally {
      await weir.stop();
      await mock.stop();
    }
  });
});

describe("an upstream that nobody here wrote", () => {
  const TEXT = "你好 🌊, from a server that nobody here wrote";
  let aimock: Aimock;
  let weir: Weir;
  let client: OpenAI;
  const FIXTURES = [
    { match: { userMessage: "hello" }, response: { content: TEXT }, chunkSize: 5 },
    {
      match: { userMessage: "tool" },
      response: { toolCalls: [{ name: "weather", arguments: '{"city":"杭州"}' }] },
    },
  ];
  beforeAll(async () => {
    aimock = await launchAimock(FIXTURES);
    weir = await launch({
      set: {
        "llm.base_url": `${aimock.url}/v1`,
        "llm.retries": 0,
        "llm.speaks": "[openai_responses]",
      },
    });
    client = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "sk", maxRetries: 0 });
  });
  afterAll(async () => {
    await weir.stop();
    await aimock.stop();
  });

  test("chat clients hear its responses", async () => {
    const stream = await client.chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "hello" }],
      stream: true,
    });
    let text = "";
    let reason: string | null = null;
    for await (const { choices: [choice] } of stream) {
      text += choice?.delta.content ?? "";
      reason = choice?.finish_reason ?? reason;
    }
    expect([text, reason]).toEqual([TEXT, "stop"]);
  });

  test("chat clients get its calls", async () => {
    const tools = [{
      type: "function" as const,
      function: { name: "weather", parameters: { type: "object" } },
    }];
    const { choices: [choice] } = await client.chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "tool" }],
      tools,
    });
    expect(choice!.finish_reason).toBe("tool_calls");
    expect(choice!.message.tool_calls).toMatchObject([
      { type: "function", function: { name: "weather", arguments: '{"city":"杭州"}' } },
    ]);
  });

  test("what its API has no words for is refused before it is asked", async () => {
    const refusal = await client.chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "hello" }],
      stop: ["x"],
    }).catch((error: unknown) => error);
    expect(String(refusal)).toContain("'stop' cannot be passed on");
    const messages = await fetch(`${weir.url}/v1/messages`, {
      method: "POST",
      body: JSON.stringify({
        model: "gpt-4o",
        max_tokens: 9,
        messages: [{ role: "user", content: "hello" }],
        stop_sequences: ["x"],
      }),
    });
    expect(messages.status).toBe(400);
    expect(await messages.text()).toContain("'stop_sequences' cannot be passed on");
  });

  test("responses are relayed", async () => {
    const response = await client.responses.create({ model: "gpt-4o", input: "hello" });
    expect(response.output_text).toBe(TEXT);
  });
});
