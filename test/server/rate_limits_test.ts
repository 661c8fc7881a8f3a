import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { launch, type LaunchOptions, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { childrenOf, isRunning } from "./processes.ts";
import { connect, rawChat, type RawClient } from "./raw_client.ts";
import { STREAMING_SURFACES } from "./streaming_surfaces.ts";

setDefaultTimeout(TEST_MS_MAX);

const running: (() => Promise<void>)[] = [];
const clients: RawClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.leave();
  for (const stop of running.splice(0)) await stop();
});

/** A weir with `workers` processes and these entries of `mock.limits`. */
async function start(
  limits: readonly object[],
  { set, ...options }: LaunchOptions = {},
  workers = 1,
): Promise<Weir> {
  const weir = await launch({
    ...options,
    set: {
      "server.workers": workers,
      "mock.limits": JSON.stringify(limits),
      "memory.url": "sqlite://rate_limits.db",
      ...set,
    },
  });
  running.push(async () => {
    const children = childrenOf(weir.pid);
    await weir.stop();
    for (const pid of children) if (isRunning(pid)) process.kill(pid, "SIGKILL");
  });
  await waitFor(() => workers === 1 || weir.output().includes(`workers: ${workers}`));
  return weir;
}

/** Each on a connection of its own, so that any worker may get it. */
async function ask(
  weir: Weir,
  path: string,
  body?: unknown,
  { method = body === undefined ? "GET" : "POST", headers = {} }: {
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
  } = {},
) {
  const response = await fetch(`${weir.url}${path}`, {
    method,
    headers: { connection: "close", "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const told = Object.fromEntries(
    [...response.headers].filter(([name]) => name.includes("ratelimit")),
  );
  return { status: response.status, headers: response.headers, text, told };
}

interface Shown {
  readonly state: string;
  readonly buckets: readonly {
    readonly limit: string;
    readonly remaining: number;
    readonly key: string;
  }[];
}

async function shown(weir: Weir): Promise<readonly Shown[]> {
  return JSON.parse((await ask(weir, "/__weir/limits")).text).limits;
}

const MESSAGES = [{ role: "user", content: "Say this is a test" }];
const CHAT = { model: "gpt-4o", messages: MESSAGES };
const CLAUDE = { model: "claude-sonnet-4-5", max_tokens: 100, messages: MESSAGES };

describe("mock.limits", () => {
  test("answers tell what is left, and only those that do on the live API", async () => {
    const weir = await start([{ requests_per_min: 600, tokens_per_min: 60_000 }], {
      set: { "mock.models": '["gpt-4o","gpt-3.5-turbo-instruct","claude-sonnet-4-5","e","m"]' },
    });
    const openai = {
      "x-ratelimit-limit-requests": "600",
      "x-ratelimit-limit-tokens": "60000",
      "x-ratelimit-remaining-requests": "599",
      "x-ratelimit-remaining-tokens": expect.stringMatching(/^599\d\d$/),
      "x-ratelimit-reset-requests": expect.stringMatching(/^(?:9\d|100)ms$/),
      "x-ratelimit-reset-tokens": expect.stringMatching(/^\d{1,2}ms$/),
    };
    const anthropic = {
      "anthropic-ratelimit-requests-limit": "600",
      "anthropic-ratelimit-requests-remaining": "599",
      "anthropic-ratelimit-requests-reset": expect.stringMatching(/^20\d\d-\d\d-\d\dT[\d:]{8}Z$/),
      "anthropic-ratelimit-tokens-limit": "60000",
      "anthropic-ratelimit-tokens-remaining": "60000",
      "anthropic-ratelimit-tokens-reset": expect.stringMatching(/^20\d\d-\d\d-\d\dT[\d:]{8}Z$/),
    };
    const completion = { model: "gpt-3.5-turbo-instruct", prompt: "Say this" };
    const response = { model: "gpt-4o", input: "Say this" };
    const rows: readonly [string, object | undefined, number, object][] = [
      ["/v1/chat/completions", CHAT, 200, openai],
      ["/v1/chat/completions", { ...CHAT, stream: true }, 200, openai],
      ["/v1/completions", completion, 200, openai],
      ["/v1/completions", { ...completion, stream: true }, 200, openai],
      ["/v1/embeddings", { model: "e", input: "Say this" }, 200, openai],
      ["/v1/responses", response, 200, openai],
      ["/v1/messages", CLAUDE, 200, anthropic],
      ["/v1/messages", { ...CLAUDE, stream: true }, 200, anthropic],
      // They do not tell.
      ["/v1/responses", { ...response, stream: true }, 200, {}],
      ["/v1/responses", { ...response, temperature: "x" }, 400, {}],
      ["/v1/chat/completions", { ...CHAT, model: "nobody" }, 404, {}],
      ["/v1/moderations", { model: "m", input: "Say this" }, 200, {}],
      ["/v1/models", undefined, 200, {}],
      ["/chat", CHAT, 200, {}],
      ["/api/chat", { messages: MESSAGES, model: "gpt-4o" }, 200, {}],
    ];
    for (const [i, [path, body, status, told]] of rows.entries()) {
      // A key for each, whose buckets are full.
      const got = await ask(weir, path, body, { headers: { authorization: `Bearer key-${i}` } });
      expect([path, got.status, got.told]).toEqual([path, status, told as Record<string, string>]);
    }
    // A chat request that is wrong tells what is left, and takes nothing of it.
    const wrong = await ask(weir, "/v1/chat/completions", { ...CHAT, max_tokens: "x" });
    expect(wrong.status).toBe(400);
    expect(wrong.told).toMatchObject({
      "x-ratelimit-remaining-requests": "600",
      "x-ratelimit-reset-requests": "0s",
    });
  });

  test("the mock behind a route beside an upstream has limits, and the upstream has none", async () => {
    const weir = await start([{ requests_per_min: 600 }], {
      set: {
        "upstreams": '[{"name":"far","base_url":"http://127.0.0.1:9/v1"}]',
        "routes": '[{"match":{"model":"far*"},"to":["far"]}]',
      },
    });
    const told = { "x-ratelimit-remaining-requests": "599" };
    expect((await ask(weir, "/v1/chat/completions", CHAT)).told).toMatchObject(told);
    const wrong = await ask(weir, "/v1/chat/completions", { ...CHAT, max_tokens: "x" });
    expect([wrong.status, Object.keys(wrong.told).length]).toEqual([400, 3]);
    const far = await ask(weir, "/v1/chat/completions", { ...CHAT, model: "far" });
    expect([far.status, far.told]).toEqual([502, {}]);
  });

  test("a fixture's answers are under them, and say what is left", async () => {
    const weir = await start([{ requests_per_min: 2 }], {
      set: { "mock.fixtures": '["f.json"]' },
      files: {
        "f.json": JSON.stringify({
          fixtures: [
            { match: { userMessage: "test" }, response: { content: "Written." } },
            { match: { inputText: "sea" }, response: { embedding: [0.5, 0.5] } },
          ],
        }),
      },
    });
    const chat = () => ask(weir, "/v1/chat/completions", CHAT);
    expect([(await chat()).text.includes("Written."), (await chat()).told]).toMatchObject([true, {
      "x-ratelimit-remaining-requests": "0",
    }]);
    expect((await chat()).status).toBe(429);
    const embedding = { model: "text-embedding-3-small", input: "sea" };
    const embed = () => ask(weir, "/v1/embeddings", embedding);
    expect((await embed()).told).toMatchObject({ "x-ratelimit-remaining-requests": "1" });
    await embed();
    const { status, told } = await embed();
    expect([status, told["x-ratelimit-remaining-requests"]]).toEqual([429, "0"]);
  });

  test.each(STREAMING_SURFACES.map(({ path }) => path))(
    "%s says in its own dialect that a limit is reached",
    async (path) => {
      const weir = await start([{ requests_per_min: 1 }], { set: { "ops.journal": "heads" } });
      const { body, headers = {} } = STREAMING_SURFACES.find((one) => one.path === path)!;
      const first = await ask(weir, path, body, { headers });
      const second = await ask(weir, path, body, { headers });
      expect([first.status, second.status]).toEqual([200, REFUSED[path]!.status]);
      expect(second.text).toMatch(REFUSED[path]!.body);
      const { text } = await ask(weir, "/metrics");
      expect(text).toContain('weir_limited_total{by="requests_per_min"} 1\n');
      if (path === "/api/workflows/runs") return; // its failure is the workflow's
      const { requests } = JSON.parse((await ask(weir, "/__weir/requests")).text);
      const { error } = requests.find((one: { error: unknown }) => one.error !== null);
      expect(error).toMatchObject({ code: "limit_requests" });
      expect(error.retry_after_s).toBeWithin(1, 61);
    },
  );

  test("a provider is switched out of order for all workers, and back", async () => {
    const weir = await start([{ model: "gpt*", requests_per_min: 600 }, {}], {}, 3);
    const put = (body: object) => ask(weir, "/__weir/limits", body, { method: "PUT" });
    const all = async (path: string, body: object) => {
      const got = await Promise.all(Array.from({ length: 9 }, () => ask(weir, path, body)));
      return [...new Set(got.map(({ status, text }) => `${status} ${codeOf(text)}`))];
    };
    const chat = () => all("/v1/chat/completions", CHAT);
    const messages = () => all("/v1/messages", CLAUDE);
    expect(await chat()).toEqual(["200 none"]);
    expect((await put({ state: "overloaded" })).status).toBe(200);
    expect(await chat()).toEqual(["503 server_is_overloaded"]);
    expect(await messages()).toEqual(["529 overloaded_error"]);
    await put({ state: "quota", entry: 0 });
    await put({ state: "ok", entry: 1 });
    expect(await chat()).toEqual(["429 insufficient_quota"]);
    expect(await messages()).toEqual(["200 none"]);
    await put({ state: "slow_down", entry: 0 });
    expect(await chat()).toEqual(["429 slow_down"]);
    expect((await shown(weir)).map(({ state }) => state)).toEqual(["slow_down", "ok"]);
    expect(JSON.parse((await ask(weir, "/__weir/reset", {})).text).reset).toContain("limits");
    expect(await chat()).toEqual(["200 none"]);
    expect((await put({ state: "ok", entry: 2 })).text).toContain("entry must be from 0 to 1");
    expect((await put({ state: "tired" })).text).toContain("ok, quota, overloaded, slow_down");
    expect((await ask(weir, "/__weir/limits", undefined, { method: "DELETE" })).status).toBe(200);
  });

  test("without limits there is nothing to switch, and no header", async () => {
    const weir = await start([]);
    const { status } = await ask(weir, "/__weir/limits", { state: "ok" }, { method: "PUT" });
    expect([status, await shown(weir)]).toEqual([409, []]);
    expect((await ask(weir, "/v1/chat/completions", CHAT)).told).toEqual({});
  });

  test("the fault rate-limit tells of the limits that there are, or of one that is made up", async () => {
    const headers = { "x-weir-fault": "rate-limit;retry-after=2" };
    for (const [entries, limit] of [[[{ requests_per_min: 600 }], "600"], [[], "60"]] as const) {
      const weir = await start(entries);
      const chat = await ask(weir, "/v1/chat/completions", CHAT, { headers });
      expect([chat.status, chat.headers.get("retry-after-ms")]).toEqual([429, "2000"]);
      expect(chat.told).toMatchObject({
        "x-ratelimit-limit-requests": limit,
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": expect.stringMatching(/^1m(?:1|1.9)s$/),
      });
      expect(chat.text).toContain(
        `Limit ${limit}, Used ${limit}, Requested 1. Please try again in 2s.`,
      );
      const claude = await ask(weir, "/v1/messages", CLAUDE, { headers });
      expect([claude.status, claude.headers.get("retry-after")]).toEqual([429, "2"]);
      expect(claude.told["anthropic-ratelimit-requests-remaining"]).toBe("0");
      // It has taken nothing.
      const next = await ask(weir, "/v1/chat/completions", CHAT);
      expect(next.status).toBe(200);
      if (entries.length > 0) expect(next.told["x-ratelimit-remaining-requests"]).toBe("599");
    }
  });

  test("Anthropic's dialect gives back what an answer has not needed, and OpenAI's does not", async () => {
    const weir = await start([{ tokens_per_day: 10_000 }]);
    const statuses = async (path: string, body: object) => [
      (await ask(weir, path, { ...body, max_tokens: 9000 })).status,
      (await ask(weir, path, { ...body, max_tokens: 9000, stream: true })).status,
      (await ask(weir, path, { ...body, max_tokens: 9000 })).status,
    ];
    expect(await statuses("/v1/messages", CLAUDE)).toEqual([200, 200, 200]);
    expect(await statuses("/v1/chat/completions", CHAT)).toEqual([200, 429, 429]);
  });

  test("several workers keep one limit", async () => {
    const weir = await start([{ requests_per_day: 100 }], {}, 3);
    const got = await Promise.all(
      Array.from({ length: 150 }, () => ask(weir, "/v1/chat/completions", CHAT)),
    );
    expect(got.filter(({ status }) => status === 200)).toHaveLength(100);
    const refused = got.find(({ status }) => status === 429)!;
    expect(refused.told["x-ratelimit-remaining-requests"]).toBe("0");
    expect(Number(refused.headers.get("retry-after-ms"))).toBeGreaterThan(800_000);
  });

  test("a reload keeps what was taken", async () => {
    const weir = await start([{ requests_per_day: 10 }], {}, 2);
    for (let i = 0; i < 4; i++) await ask(weir, "/v1/chat/completions", CHAT);
    weir.kill("SIGHUP");
    await waitFor(() => weir.errors().includes("have taken over"));
    const { told } = await ask(weir, "/v1/chat/completions", CHAT);
    expect(told["x-ratelimit-remaining-requests"]).toBe("5");
  });
});

/** The code of an error; "none" = it is none. */
function codeOf(text: string): string {
  const { error } = JSON.parse(text);
  return error?.code ?? error?.type ?? "none";
}

/** What the second request within a minute is answered, where one is allowed. */
const REFUSED: Readonly<
  Record<string, { readonly status: number; readonly body: RegExp }>
> = {
  "/v1/chat/completions": {
    status: 429,
    body: /"Rate limit reached for gpt-4o on requests per min \(RPM\): Limit 1, Used 1, /,
  },
  "/v1/responses": { status: 429, body: /"code": "rate_limit_exceeded"/ },
  "/v1/completions": { status: 429, body: /"type": "requests"/ },
  "/v1/messages": {
    status: 429,
    body: /"rate_limit_error","message":"This request would exceed the rate limit of 1 requests/,
  },
  "/chat": { status: 429, body: /"code": "rate_limit_exceeded"/ },
  "/api/chat": { status: 200, body: /^data: {"error":"Rate limit reached .*\n\ndata: \[DONE\]/ },
  "/conv": { status: 429, body: /"detail":"Rate limit reached/ },
  "/v1/response": { status: 200, body: /"code":-1,"msg":"流式响应错误: Rate limit reached/ },
  "/api/workflows/runs": {
    status: 200,
    body: /"status":"failed","error":"Rate limit reached for /,
  },
};

describe("mock.limits[].concurrent_max", () => {
  const STREAM = JSON.stringify({ ...CHAT, stream: true });
  const CLOSE = ["Connection: close"];
  const LIMITS = [{ concurrent_max: 3, per: "all" }];

  async function open(weir: Weir, body = STREAM): Promise<RawClient> {
    const client = await connect(weir.port, rawChat(body, CLOSE));
    clients.push(client);
    return client;
  }

  /** Waits until nobody is in. */
  async function untilNobody(weir: Weir): Promise<void> {
    await waitFor(async () => (await shown(weir))[0]!.buckets.length === 0, "places given back");
  }

  /** Three may be in, and no fourth one. */
  async function expectRoom(weir: Weir): Promise<void> {
    await untilNobody(weir);
    const inside = await Promise.all([1, 2, 3].map(() => open(weir)));
    for (const client of inside) await client.until('"role"');
    const fourth = await ask(weir, "/v1/chat/completions", CHAT);
    expect(fourth.status).toBe(429);
    expect(fourth.text).toContain("on concurrent requests: Limit 3, Used 3, Requested 1.");
    for (const client of inside) client.leave();
    await untilNobody(weir);
  }

  test("a place is given back however the answer ends", async () => {
    const weir = await start(LIMITS, {
      set: {
        "mock.delay_ms": 600_000,
        "mock.models": '["gpt-4o"]',
        "mock.fixtures": '["f.json"]',
      },
      files: {
        "f.json": JSON.stringify({
          fixtures: [
            { match: { userMessage: "whole" }, response: { content: "x" }, latency: 0 },
            { match: { userMessage: "error" }, response: { error: { status: 500 } } },
            {
              match: { userMessage: "cut" },
              response: { content: "a b c d e f" },
              latency: 1,
              truncateAfterChunks: 3,
            },
            {
              match: { userMessage: "drop" },
              response: { content: "x" },
              chaos: { disconnectRate: 1 },
            },
          ],
        }),
      },
    }, 2);
    const body = (content: string, more: object = {}) =>
      JSON.stringify({ ...CHAT, messages: [{ role: "user", content }], ...more });
    const endings: readonly [string, () => Promise<unknown>][] = [
      ["the client leaves a stream", async () => {
        const client = await open(weir);
        await client.until('"role"');
        client.leave();
      }],
      ["the client leaves before the answer", async () => {
        const client = await open(weir, JSON.stringify(CHAT));
        await waitFor(async () => (await shown(weir))[0]!.buckets.length > 0);
        client.leave();
      }],
      ["a whole stream", async () => (await open(weir, body("whole", { stream: true }))).closed],
      ["an answer in one piece", async () => (await open(weir, body("whole"))).closed],
      ["an error of a fixture", async () => (await open(weir, body("error"))).closed],
      ["a cut stream", async () => (await open(weir, body("cut", { stream: true }))).closed],
      ["no answer at all", async () => (await open(weir, body("drop", { stream: true }))).closed],
      ["no such model", async () => (await open(weir, body("x", { model: "none" }))).closed],
      ["what is wrong", async () => (await open(weir, body("x", { n: "x" }))).closed],
    ];
    for (const [, end] of endings) {
      // More than there are places: if one of them were kept, the last would not come in.
      for (let i = 0; i < 5; i++) {
        await end();
        await untilNobody(weir);
      }
    }
    await expectRoom(weir);
  });

  test("a workflow's call gives its place back", async () => {
    const weir = await start([{ concurrent_max: 1, per: "all" }]);
    for (let i = 0; i < 3; i++) {
      const { status, text } = await ask(weir, "/api/workflows/runs", {
        input: { prompt: "x" },
        wait_for_completion: true,
      });
      expect([status, text]).toEqual([200, expect.stringContaining("openai")]);
    }
    expect((await shown(weir))[0]!.buckets).toEqual([]);
  });

  test("what a killed worker held is free again", async () => {
    const weir = await start(LIMITS, { set: { "mock.delay_ms": 600_000 } }, 2);
    const inside = await Promise.all([1, 2, 3].map(() => open(weir)));
    for (const client of inside) await client.until('"role"');
    expect((await ask(weir, "/v1/chat/completions", CHAT)).status).toBe(429);
    for (const pid of childrenOf(weir.pid)) process.kill(pid, "SIGKILL");
    await waitFor(() => weir.health().then(() => true, () => false), "new workers");
    await expectRoom(weir);
  });
});

describe("the official client", () => {
  test("64 of them, which wait as long as they are told, get all their answers", async () => {
    const limit = 600;
    const weir = await start([{ requests_per_min: limit, per: "all" }], {}, 2);
    const startMs = performance.now();
    const told = await Promise.all(Array.from({ length: 64 }, async () => {
      const client = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "x", maxRetries: 100 });
      const texts: (string | null | undefined)[] = [];
      for (let i = 0; i < 10; i++) {
        const { choices } = await client.chat.completions.create({
          model: "gpt-4o",
          messages: [{ role: "user", content: "x" }],
        });
        texts.push(choices[0]?.message.content);
      }
      return texts;
    }));
    expect(told.flat()).toEqual(new Array(640).fill("powered by openai"));
    // 600 are there at first, and the others come with ten a second.
    expect(performance.now() - startMs).toBeGreaterThan((640 - limit) / limit * 60_000 - 100);
  });

  test("of Anthropic reads limits, and an overload that it would wait for", async () => {
    const weir = await start([{ requests_per_min: 1 }]);
    const client = new Anthropic({ baseURL: weir.url, apiKey: "x", maxRetries: 0 });
    const create = () =>
      client.messages.create({
        model: "claude-sonnet-4-5",
        max_tokens: 9,
        messages: [{ role: "user", content: "x" }],
      }).catch((error: unknown) => error);
    expect(await create()).toMatchObject({ role: "assistant" });
    const limited = await create();
    expect(limited).toBeInstanceOf(Anthropic.RateLimitError);
    expect((limited as { headers: Headers }).headers.get("retry-after")).toMatch(/^\d\d?$/);
    await ask(weir, "/__weir/limits", { state: "overloaded" }, { method: "PUT" });
    const overloaded = await create();
    expect(overloaded).toBeInstanceOf(Anthropic.InternalServerError);
    expect(overloaded).toMatchObject({ status: 529, type: "overloaded_error" });
  });

  test("reads the kind of an error, and does not wait in vain for what is too large", async () => {
    const weir = await start([{ tokens_per_min: 100, requests_per_min: 10 }]);
    const client = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "x", maxRetries: 0 });
    const error = await client.chat.completions.create({
      model: "gpt-4o",
      max_tokens: 200,
      messages: [{ role: "user", content: "x" }],
    }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error).toMatchObject({ status: 429, code: "rate_limit_exceeded", type: "tokens" });
  });
});
