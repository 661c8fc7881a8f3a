import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import OpenAI, {
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  NotFoundError,
} from "openai";
import { TokenCounters } from "../../src/sources/tokens.ts";
import { launch, rawExchange, rawPost, waitFor, type Weir } from "./launch.ts";
import { brokenRules } from "./stream_rules.ts";

const HELLO = [{ role: "user" as const, content: "Hello 你好 🌊" }];

let weir: Weir;
let openai: OpenAI;

beforeAll(async () => {
  weir = await launch();
  openai = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "sk-test" });
});
afterAll(() => weir.stop());

/** The body of a raw answer, chunked framing taken off. */
function bodyOf(answer: string): string {
  const at = answer.indexOf("\r\n\r\n");
  const [head, body] = [answer.slice(0, at), answer.slice(at + 4)];
  if (!/transfer-encoding: chunked/i.test(head)) return body;
  let bytes = Buffer.from(body);
  const pieces: Buffer[] = [];
  for (;;) {
    const end = bytes.indexOf("\r\n");
    const size = parseInt(bytes.toString("latin1", 0, end), 16);
    if (size === 0) return Buffer.concat(pieces).toString();
    pieces.push(bytes.subarray(end + 2, end + 2 + size));
    bytes = bytes.subarray(end + 2 + size + 2);
  }
}

async function post(body: unknown, headers: readonly string[] = [], port = weir.port) {
  const answer = await rawExchange(port, rawPost("/v1/chat/completions", body, headers));
  return { answer, status: Number(answer.slice(9, 12)), body: bodyOf(answer) };
}

/** A stream with what differs from one answer to the next masked. */
function masked(stream: string): string {
  return stream.replaceAll(/chatcmpl-[A-Za-z0-9]{29}/g, "chatcmpl-ID")
    .replaceAll(/"created":\d{10}/g, '"created":TIME');
}

describe("POST /v1/chat/completions, streamed", () => {
  test("the official client hears the reply word by word", async () => {
    const stream = await openai.chat.completions.create({
      model: "gpt-4o",
      messages: HELLO,
      stream: true,
    });
    const texts: string[] = [];
    for await (const chunk of stream) {
      const text = chunk.choices[0]?.delta.content;
      if (text) texts.push(text);
    }
    expect(texts).toEqual(["powered", " by", " openai"]);
  });

  test("the official .stream() helper gathers it, usage included", async () => {
    const completion = await openai.chat.completions.stream({
      model: "gpt-4o",
      messages: HELLO,
      stream_options: { include_usage: true },
    }).finalChatCompletion();
    expect(completion.choices[0]!.message.content).toBe("powered by openai");
    expect(completion.choices[0]!.finish_reason).toBe("stop");
    expect(completion.usage!.completion_tokens).toBe(4);
    expect(completion.model).toBe("gpt-4o-2024-08-06");
  });

  test("the bytes are today's, to the letter", async () => {
    const { body } = await post({ model: "gpt-4o-mini", messages: HELLO, stream: true });
    const chunk = (delta: string, finish: string) =>
      `data: {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":TIME,` +
      `"model":"gpt-4o-mini-2024-07-18","service_tier":"default",` +
      `"system_fingerprint":"fp_77656972a1","choices":[{"index":0,"delta":${delta},` +
      `"logprobs":null,"finish_reason":${finish}}],"obfuscation":"PAD"}\n\n`;
    const withoutPads = masked(body).replaceAll(
      /"obfuscation":"[A-Za-z0-9]*"/g,
      '"obfuscation":"PAD"',
    );
    expect(withoutPads).toBe(
      [
        chunk('{"role":"assistant","content":"","refusal":null}', "null"),
        chunk('{"content":"powered"}', "null"),
        chunk('{"content":" by"}', "null"),
        chunk('{"content":" openai"}', "null"),
        chunk("{}", '"stop"'),
        "data: [DONE]\n\n",
      ].join(""),
    );
    expect(brokenRules(body)).toEqual([]);
  });

  const shapes: readonly (readonly [string, Record<string, unknown>])[] = [
    ["plain", {}],
    ["usage", { stream_options: { include_usage: true } }],
    ["no pad", { stream_options: { include_obfuscation: false } }],
    ["usage, no pad", { stream_options: { include_usage: true, include_obfuscation: false } }],
    ["n = 3", { n: 3 }],
    ["n = 2 with usage", { n: 2, stream_options: { include_usage: true } }],
    ["max_tokens", { max_tokens: 2 }],
    ["max_completion_tokens", { max_completion_tokens: 1 }],
    ["stop", { stop: ["by"] }],
    ["stop at the first word", { stop: "powered" }],
    ["tools are accepted", { tools: [{ type: "function", function: { name: "f" } }] }],
    ["an unknown model with odd letters", { model: 'моя "модель" 🌊' }],
  ];
  for (const [name, extra] of shapes) {
    test(`keeps every rule of recorded streams: ${name}`, async () => {
      const { body, status } = await post({
        model: "gpt-4o",
        messages: HELLO,
        stream: true,
        ...extra,
      });
      expect(status).toBe(200);
      expect(brokenRules(body)).toEqual([]);
    });
  }

  test("the pad is there by default, and gone when it is refused", async () => {
    const ask = { model: "gpt-4o", messages: HELLO, stream: true };
    expect((await post(ask)).body).toContain('"obfuscation":"');
    const without = await post({ ...ask, stream_options: { include_obfuscation: false } });
    expect(without.body).not.toContain("obfuscation");
    expect(without.body).not.toContain("usage");
  });

  test("n answers stand side by side, each with its own role and finish", async () => {
    const { body } = await post({ model: "gpt-4o", messages: HELLO, stream: true, n: 2 });
    const order = [...body.matchAll(/"index":(\d),"delta":(\{[^}]*\})/g)].map(([, i, d]) => i! + d);
    const both = (delta: string) => [`0${delta}`, `1${delta}`];
    expect(order).toEqual([
      '0{"role":"assistant","content":"","refusal":null}',
      '0{"content":"powered"}',
      '1{"role":"assistant","content":"","refusal":null}',
      '1{"content":"powered"}',
      ...both('{"content":" by"}'),
      ...both('{"content":" openai"}'),
      ...both("{}"),
    ]);
  });

  for (
    const [asked, tier] of [
      [undefined, "default"],
      ["auto", "default"],
      ["fast", "priority"],
      ["flex", "flex"],
      ["priority", "priority"],
      ["default", "default"],
    ]
  ) {
    test(`service_tier ${asked} is answered with ${tier}`, async () => {
      const ask = { model: "gpt-4o", messages: HELLO, service_tier: asked };
      for (const stream of [true, false]) {
        const { body } = await post({ ...ask, stream });
        const tiers = new Set(body.match(/(?<="service_tier": ?")[a-z]+/g));
        expect([...tiers]).toEqual([tier!]);
      }
    });
  }

  for (const model of ["gpt-4o", "gpt-4"]) {
    test(`chunks: token gives the tokens of ${model}, which join to the reply`, async () => {
      const reply = "深い川は 🧜🏽‍♀️ internationalisation, quietly.\n\nOn.";
      const weir = await launch({
        set: { "mock.reply": reply, "mock.chunks": "token", "mock.delay_ms": 0 },
      });
      try {
        const response = await fetch(`${weir.url}/v1/chat/completions`, {
          method: "POST",
          body: JSON.stringify({
            model,
            messages: HELLO,
            stream: true,
            stream_options: { include_usage: true },
          }),
        });
        const body = await response.text();
        const chunks = body.split("\n\n").slice(0, -2)
          .map((event) => JSON.parse(event.slice("data: ".length)));
        const texts = chunks.flatMap(({ choices }) => choices[0]?.delta.content || []);
        expect(texts).toEqual([...new TokenCounters(1000).of(model).pieces(reply)!]);
        expect(texts.join("")).toBe(reply);
        expect(texts.length).toBeLessThanOrEqual(chunks.at(-1).usage.completion_tokens);
        expect(brokenRules(body)).toEqual([]);
      } finally {
        await weir.stop();
      }
    });
  }

  test("every answer has its own id and the same head throughout", async () => {
    const ids = new Set<string>();
    for (let i = 0; i < 20; i++) {
      const { body } = await post({ model: "gpt-4o", messages: HELLO, stream: true });
      for (const [id] of body.matchAll(/chatcmpl-[A-Za-z0-9]{29}(?=")/g)) ids.add(id);
    }
    expect(ids.size).toBe(20);
  });

  test("the headers are the recorded ones", async () => {
    const { answer } = await post({ model: "gpt-4o", messages: HELLO, stream: true });
    const head = answer.slice(0, answer.indexOf("\r\n\r\n")).toLowerCase();
    expect(head).toContain("content-type: text/event-stream; charset=utf-8");
    expect(head).toMatch(/x-request-id: req_[0-9a-f]{32}/);
    expect(head).toContain("openai-version: 2020-10-01");
    expect(head).toMatch(/openai-processing-ms: \d+/);
    expect(head).toContain("x-accel-buffering: no");
    expect(head).toContain("cache-control: no-cache");
    expect(head).toContain("access-control-allow-origin: *");
    expect(head).not.toContain("cf-");
  });
});

describe("POST /v1/chat/completions, whole", () => {
  test("the official client gets a chat.completion with every detail of usage", async () => {
    const completion = await openai.chat.completions.create({ model: "gpt-4o", messages: HELLO });
    expect(completion).toMatchObject({
      object: "chat.completion",
      model: "gpt-4o-2024-08-06",
      service_tier: "default",
      choices: [{
        index: 0,
        message: {
          role: "assistant",
          content: "powered by openai",
          refusal: null,
          annotations: [],
        },
        logprobs: null,
        finish_reason: "stop",
      }],
      usage: {
        completion_tokens: 4,
        prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
        completion_tokens_details: {
          reasoning_tokens: 0,
          audio_tokens: 0,
          accepted_prediction_tokens: 0,
          rejected_prediction_tokens: 0,
        },
      },
    });
    expect(completion.id).toMatch(/^chatcmpl-[A-Za-z0-9]{29}$/);
    expect(completion._request_id).toMatch(/^req_[0-9a-f]{32}$/);
  });

  test("its body is indented by two and ends in a newline", async () => {
    const { body } = await post({ model: "gpt-4o", messages: HELLO });
    expect(body).toBe(`${JSON.stringify(JSON.parse(body), null, 2)}\n`);
    expect(Object.keys(JSON.parse(body))).toEqual([
      "id",
      "object",
      "created",
      "model",
      "choices",
      "usage",
      "service_tier",
      "system_fingerprint",
    ]);
  });

  test("max_tokens ends it with length, n repeats it", async () => {
    const { choices, usage } = await openai.chat.completions.create({
      model: "gpt-4o",
      messages: HELLO,
      max_tokens: 2,
      n: 3,
    });
    expect(choices.map(({ finish_reason }) => finish_reason)).toEqual([
      "length",
      "length",
      "length",
    ]);
    expect(choices.map(({ message }) => message.content)).toEqual(Array(3).fill("powered by"));
    expect(usage!.completion_tokens).toBe(6);
  });
});

describe("errors before the stream", () => {
  test("broken JSON, as the API says it", async () => {
    const { status, body, answer } = await post('{"model":');
    expect(status).toBe(400);
    expect(JSON.parse(body).error.message).toStartWith("We could not parse the JSON body");
    expect(answer).toMatch(/content-type: application\/json/i);
  });

  test("an empty body", async () => expect((await post("")).status).toBe(400));

  test("a BadRequestError with param and code for the official client", async () => {
    const asking = openai.chat.completions.create({ model: "gpt-4o", messages: [] });
    const error = await asking.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ status: 400, code: "empty_array", param: "messages" });
  });

  test("an unknown path", async () => {
    const answer = await rawExchange(weir.port, rawPost("/v1/nope", {}));
    expect(answer).toStartWith("HTTP/1.1 404");
    expect(JSON.parse(bodyOf(answer)).error.message).toBe("Invalid URL (POST /v1/nope)");
  });

  test("a wrong method", async () => {
    const response = await fetch(`${weir.url}/v1/chat/completions`);
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
    expect(await response.json()).toMatchObject({
      error: { message: "Only POST requests are accepted.", code: "method_not_supported" },
    });
  });

  test("a preflight is answered for any header", async () => {
    const response = await fetch(`${weir.url}/v1/chat/completions`, {
      method: "OPTIONS",
      headers: {
        origin: "https://example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-os",
      },
    });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-allow-headers"))
      .toBe("authorization,content-type,x-stainless-os");
  });
});

describe("GET /v1/models", () => {
  test("the official client lists them and gets one", async () => {
    const ids = [];
    for await (const model of openai.models.list()) ids.push(model.id);
    expect(ids).toContain("gpt-4o");
    expect(await openai.models.retrieve("gpt-4o")).toMatchObject({ id: "gpt-4o", object: "model" });
  });
});

describe("GET /health", () => {
  test("JSON with the facts, and OK for plain text", async () => {
    expect(await weir.health()).toMatchObject({ status: "ok", source: "mock", streams_open: 0 });
    const text = await fetch(`${weir.url}/health`, { headers: { accept: "text/plain" } });
    expect(await text.text()).toBe("OK\n");
    expect(text.headers.get("content-type")).toStartWith("text/plain");
  });
});

describe("with auth.token, mock.models and a small body limit", () => {
  let strict: Weir;
  const TOKEN = "sk-secret-0123456789";
  beforeAll(async () => {
    strict = await launch({
      set: {
        "auth.token": TOKEN,
        "mock.models": "[gpt-4o]",
        "server.body_max_bytes": 2000,
      },
    });
  });
  afterAll(() => strict.stop());

  const client = (apiKey: string) => new OpenAI({ baseURL: `${strict.url}/v1`, apiKey });

  test("the right key is let in", async () => {
    const completion = await client(TOKEN).chat.completions.create({
      model: "gpt-4o",
      messages: HELLO,
    });
    expect(completion.choices[0]!.message.content).toBe("powered by openai");
  });

  test("a wrong key is an AuthenticationError that does not repeat it", async () => {
    const asking = client("sk-wrong-9876543210abcdef").chat.completions.create({
      model: "gpt-4o",
      messages: HELLO,
    });
    const error = await asking.catch((thrown: unknown) => thrown) as AuthenticationError;
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error.code).toBe("invalid_api_key");
    expect(error.message).toContain("Incorrect API key provided: sk-wrong***");
    expect(error.message).not.toContain("9876543210");
  });

  test("no key is 401 with the long text", async () => {
    const { status, body } = await post({}, [], strict.port);
    expect(status).toBe(401);
    expect(JSON.parse(body).error.message).toStartWith("You didn't provide an API key.");
  });

  test("a model that is not listed is a NotFoundError", async () => {
    const asking = client(TOKEN).chat.completions.create({ model: "gpt-9", messages: HELLO });
    const error = await asking.catch((thrown: unknown) => thrown) as NotFoundError;
    expect(error).toBeInstanceOf(NotFoundError);
    expect(error.code).toBe("model_not_found");
    expect(error.message).toContain("The model `gpt-9` does not exist");
  });

  test("a body above the limit is 413, whether it names its length or not", async () => {
    const key = `Authorization: Bearer ${TOKEN}`;
    const large = { model: "gpt-4o", messages: [{ role: "user", content: "x".repeat(3000) }] };
    const named = await post(large, [key], strict.port);
    expect(named.status).toBe(413);
    expect(JSON.parse(named.body).error.code).toBe("body_too_large");
    const text = JSON.stringify(large);
    const chunked = await rawExchange(
      strict.port,
      "POST /v1/chat/completions HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n" +
        `${key}\r\nTransfer-Encoding: chunked\r\n\r\n` +
        `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`,
    );
    expect(chunked).toStartWith("HTTP/1.1 413");
  });

  test("a chunked body below the limit is read", async () => {
    const text = JSON.stringify({ model: "gpt-4o", messages: HELLO, stream: true });
    const size = Buffer.byteLength(text).toString(16);
    const answer = await rawExchange(
      strict.port,
      "POST /v1/chat/completions HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n" +
        `Authorization: Bearer ${TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n` +
        `${size}\r\n${text}\r\n0\r\n\r\n`,
    );
    expect(answer).toStartWith("HTTP/1.1 200");
  });
});

describe("mock.persona: minimal", () => {
  let minimal: Weir;
  beforeAll(async () => {
    minimal = await launch({ set: { "mock.persona": "minimal" } });
  });
  afterAll(() => minimal.stop());

  const chunk = (delta: string, finish = "null") =>
    `data: {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":TIME,` +
    `"model":"gpt-3.5-turbo","choices":[{"index":0,"delta":${delta},"finish_reason":${finish}}]}\n\n`;
  const SIX_EVENTS = chunk('{"role":"assistant"}') + chunk('{"content":"powered "}') +
    chunk('{"content":"by "}') + chunk('{"content":"openai"}') + chunk("{}", '"stop"') +
    "data: [DONE]\n\n";

  for (
    const [name, body] of [
      ["the README's request", { model: "gpt-3.5-turbo", messages: HELLO, stream: true }],
      ["no stream key", { model: "gpt-3.5-turbo", messages: HELLO }],
      ["another model", { model: "gpt-4o", messages: HELLO, stream: true }],
      ["nothing that could be understood", "not json"],
    ] as const
  ) {
    test(`${name}: the six events of the OpenResty mock, byte for byte`, async () => {
      expect(masked((await post(body, [], minimal.port)).body)).toBe(SIX_EVENTS);
    });
  }

  test("stream: false gives an object without today's extras", async () => {
    const { body } = await post(
      { model: "gpt-3.5-turbo", messages: HELLO, stream: false },
      [],
      minimal.port,
    );
    expect(JSON.parse(body)).toMatchObject({
      object: "chat.completion",
      choices: [{ index: 0, message: { role: "assistant", content: "powered by openai" } }],
    });
    expect(body).not.toContain("system_fingerprint");
  });
});

describe("a paced answer", () => {
  let paced: Weir;
  beforeAll(async () => {
    paced = await launch({ set: { "mock.delay_ms": 20, "mock.reply": "一 two 🌊 four" } });
  });
  afterAll(() => paced.stop());

  test("is chunked, and its events are the same as those of a whole one", async () => {
    const ask = { model: "gpt-4o", messages: HELLO, stream: true };
    const { answer, body } = await post(ask, [], paced.port);
    expect(answer).toMatch(/transfer-encoding: chunked/i);
    expect(brokenRules(body)).toEqual([]);
    const text = [...body.matchAll(/"content":"([^"]*)"/g)].map(([, piece]) => piece).join("");
    expect(text).toBe("一 two 🌊 four");
  });

  test("a client that leaves frees its stream at once", async () => {
    const slow = await launch({ set: { "mock.delay_ms": 60_000 } });
    try {
      const abort = new AbortController();
      const client = new OpenAI({ baseURL: `${slow.url}/v1`, apiKey: "sk-test" });
      const stream = await client.chat.completions.create(
        { model: "gpt-4o", messages: HELLO, stream: true },
        { signal: abort.signal },
      );
      await waitFor(async () => (await slow.health())["streams_open"] === 1);
      abort.abort();
      const end = await Array.fromAsync(stream).catch((error: unknown) => error);
      expect(end instanceof APIUserAbortError || Array.isArray(end)).toBe(true);
      await waitFor(async () => (await slow.health())["streams_open"] === 0);
    } finally {
      await slow.stop();
    }
  });

  test("5000 clients that leave at any moment leave nothing open", async () => {
    const request = rawPost("/v1/chat/completions", {
      model: "gpt-4o",
      messages: HELLO,
      stream: true,
    });
    let left = 0;
    async function leaveOne(i: number): Promise<void> {
      const socket = await Bun.connect({
        hostname: "127.0.0.1",
        port: paced.port,
        socket: { data() {}, close() {}, error() {} },
      });
      socket.write(request.slice(0, i % 3 === 0 ? request.length : request.length - (i % 40)));
      if (i % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
      socket.terminate();
      left++;
    }
    for (let i = 0; i < 5000; i += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, j) => leaveOne(i + j)));
    }
    expect(left).toBe(5000);
    await waitFor(async () => (await paced.health())["streams_open"] === 0);
    expect((await post({ model: "gpt-4o", messages: HELLO }, [], paced.port)).status).toBe(200);
  });
});
