/** Keys as clients meet them: what each opens, in every dialect, and what it is limited by. */

import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { postgresPrograms, startPostgres } from "../memory/postgres_server.ts";
import {
  launch,
  type LaunchOptions,
  makeFolder,
  run,
  TEST_MS_MAX,
  waitFor,
  type Weir,
} from "./launch.ts";
import { childrenOf, isRunning } from "./processes.ts";
import { tellUpstream } from "./told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const running: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop();
});

/** A weir with these keys; "root" opens everything. */
async function start(
  keys: readonly object[],
  { set, ...options }: LaunchOptions = {},
  workers = 1,
): Promise<Weir> {
  const weir = await launch({
    ...options,
    set: {
      "server.workers": workers,
      "auth.token": "root-secret",
      keys: JSON.stringify(keys),
      ...set,
    },
  });
  running.push(async () => {
    const children = childrenOf(weir.pid);
    await weir.stop();
    for (const pid of children) if (isRunning(pid)) process.kill(pid, "SIGKILL");
  });
  await waitFor(() => workers === 1 || weir.output().includes(`workers: ${workers}`), "workers");
  return weir;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Each on a connection of its own, so that any worker may get it. */
async function ask(
  { url }: Pick<Weir, "url">,
  token: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const response = await fetch(url + path, {
    method: body === undefined ? "GET" : "POST",
    headers: {
      connection: "close",
      "content-type": "application/json",
      ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** Runs `weir key …` on the config of `weir`, and gives what it prints. */
async function weirKey(folder: string, set: string, ...words: string[]): Promise<string> {
  const { code, output, errors } = await run([
    "key",
    ...words,
    "--set",
    set.replace("sqlite://", `sqlite://${folder}/`),
  ]);
  if (code !== 0) throw new Error(errors);
  return output.trim();
}

const MESSAGES = [{ role: "user", content: "Hello there" }];
const CHAT = { model: "gpt-4o", messages: MESSAGES };
const ASK_CHAT = ["/v1/chat/completions", CHAT] as const;

function ratelimits({ headers }: Answer): Record<string, string> {
  return Object.fromEntries([...headers].filter(([name]) => name.includes("ratelimit")));
}

function codeOf({ text }: Answer): string {
  return JSON.parse(text).error.code;
}

/** Surfaces that ask a model → a body, and where its error stands. */
const SURFACES: readonly (readonly [string, (model: string) => object, (body: never) => string])[] =
  [
    ["/v1/chat/completions", (model) => ({ ...CHAT, model }), (body) => body["error"]["message"]],
    ["/v1/completions", (model) => ({ model, prompt: "x" }), (body) => body["error"]["message"]],
    ["/v1/responses", (model) => ({ model, input: "x" }), (body) => body["error"]["message"]],
    ["/v1/embeddings", (model) => ({ model, input: "x" }), (body) => body["error"]["message"]],
    [
      "/v1/messages",
      (model) => ({ ...CHAT, model, max_tokens: 5 }),
      (body) => body["error"]["message"],
    ],
    [
      "/v1/messages/count_tokens",
      (model) => ({ ...CHAT, model }),
      (body) => body["error"]["message"],
    ],
    ["/api/chat", (model) => ({ ...CHAT, model }), (body) => body["detail"]],
    ["/chat", (model) => ({ ...CHAT, model }), () => ""],
  ];

describe("a key with models", () => {
  test("is let in for these and turned away for others, in the dialect of each surface", async () => {
    const weir = await start([{
      name: "some",
      token: "some-key",
      models: ["gpt-4o*", "claude-*"],
    }]);
    for (const [path, body, message] of SURFACES) {
      for (const model of ["gpt-4o", "claude-sonnet-4-5"]) {
        expect([path, (await ask(weir, "some-key", path, body(model))).status]).toEqual([
          path,
          200,
        ]);
      }
      const { status, text, headers } = await ask(weir, "some-key", path, body("o3"));
      expect([path, status]).toEqual([path, 403]);
      const told = text === "" ? headers.get("x-weir-reason") : message(JSON.parse(text) as never);
      expect([path, told || "in a header"]).toEqual([
        path,
        path === "/chat"
          ? expect.any(String)
          : "The key some may use some models only, and the model 'o3' is none of them",
      ]);
      expect((await ask(weir, "root-secret", path, body("o3"))).status).toBe(200);
    }
    // Its model is the config's.
    const { status, text } = await ask(weir, "some-key", "/v1/response", { query: "x" });
    expect([status, JSON.parse(text).code]).toEqual([403, -1]);
  });

  test("is told apart by what every upstream would read", async () => {
    const upstream = tellUpstream(({ body }) => Response.json({ got: body }));
    running.push(() => upstream.stop());
    const weir = await start([{ name: "some", token: "some-key", models: ["good"] }], {
      set: { "llm.base_url": `${upstream.url}/v1`, "llm.api_key": "sk-up" },
    });
    const post = (body: string) => ask(weir, "some-key", "/v1/chat/completions", body);
    expect((await post('{"model":"good","messages":[]}')).status).toBe(200);
    for (
      const body of [
        '{"model":"bad","messages":[]}',
        '{"model":"good","model":"bad","messages":[]}',
        '{"mod\\u0065l":"bad","model":"good","messages":[]}',
        '{"messages":[]}',
        '{"a":1,"model":"good",',
      ]
    ) expect([body, (await post(body)).status]).toEqual([body, 403]);
    // A body that is large would go up while it comes: with such keys it is read first.
    const large = `{"messages":["${"x".repeat(200_000)}"],"model":"bad"}`;
    expect((await post(large)).status).toBe(403);
    expect(upstream.requests.length).toBe(1);
    expect((await post(large.replace("bad", "good"))).status).toBe(200);
    expect(upstream.requests[1]!.headers.get("authorization")).toBe("Bearer sk-up");
  });
});

test("a key with routes takes these and no others", async () => {
  const weir = await start([
    { name: "one", token: "one-key", routes: ["cheap"] },
    { name: "both", token: "both-key", routes: ["cheap", "dear"] },
  ], {
    set: {
      routes: JSON.stringify([
        { name: "cheap", match: { model: "mini*" }, to: ["mock"] },
        { name: "dear", match: { model: "max*" }, to: ["mock"] },
      ]),
    },
  });
  const status = async (key: string, path: string, body: object) =>
    (await ask(weir, key, path, body)).status;
  const table = [
    ["one-key", "mini-1", 200],
    ["one-key", "max-1", 403],
    ["one-key", "other", 403],
    ["both-key", "max-1", 200],
    ["both-key", "other", 403],
    ["root-secret", "other", 200],
  ] as const;
  for (const [key, model, wanted] of table) {
    expect([key, model, await status(key, ASK_CHAT[0], { ...CHAT, model })]).toEqual([
      key,
      model,
      wanted,
    ]);
    const embedded = await status(key, "/v1/embeddings", { input: "x", model });
    expect([key, model, embedded]).toEqual([key, model, wanted]);
  }
});

test("a key ends, and is unknown from then on", async () => {
  const weir = await start([
    { name: "old", token: "old-key", expires: "2020-01-31" },
    { name: "new", token: "new-key", expires: "2999-01-31T12:00:00+01:00" },
  ]);
  expect((await ask(weir, "new-key", ...ASK_CHAT)).status).toBe(200);
  const { status, text } = await ask(weir, "old-key", ...ASK_CHAT);
  expect([status, text]).toEqual([401, expect.stringContaining("Incorrect API key provided")]);
});

describe("limits of a key", () => {
  test("requests: what is left stands in the headers, and the wait in the refusal", async () => {
    const weir = await start([{ name: "slow", token: "slow-key", requests_per_min: 2 }]);
    const first = await ask(weir, "slow-key", ...ASK_CHAT);
    expect(ratelimits(first)).toEqual({
      "x-ratelimit-limit-requests": "2",
      "x-ratelimit-remaining-requests": "1",
      "x-ratelimit-reset-requests": expect.stringMatching(/s$/),
    });
    await ask(weir, "slow-key", ...ASK_CHAT);
    const refused = await ask(weir, "slow-key", ...ASK_CHAT);
    expect([refused.status, codeOf(refused)]).toEqual([429, "rate_limit_exceeded"]);
    expect(refused.text).toContain("Rate limit reached for the key slow on requests per min (RPM)");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    const claude = await ask(weir, "", "/v1/messages", { ...CHAT, max_tokens: 5 }, {
      "x-api-key": "slow-key",
    });
    expect([claude.status, JSON.parse(claude.text).error.type]).toEqual([429, "rate_limit_error"]);
    expect(ratelimits(claude)["anthropic-ratelimit-requests-limit"]).toBe("2");
    const envelope = await ask(weir, "slow-key", "/v1/response", { query: "x" });
    expect([envelope.status, JSON.parse(envelope.text).code]).toEqual([429, -1]);
    expect((await ask(weir, "slow-key", "/api/chat", CHAT)).status).toBe(429);
    expect((await ask(weir, "root-secret", ...ASK_CHAT)).status).toBe(200);
    const metrics = await ask(weir, "root-secret", "/metrics");
    expect(metrics.text).toContain('weir_key_refused_total{by="requests_per_min"} 4');
  });

  test("tokens: what an answer has cost counts when it has ended", async () => {
    const weir = await start([{ name: "few", token: "few-key", tokens_per_min: 1000 }], {
      set: { "mock.reply": "word ".repeat(2000).trim() },
    });
    const first = await ask(weir, "few-key", ...ASK_CHAT);
    expect(first.status).toBe(200);
    const { total_tokens } = JSON.parse(first.text).usage;
    expect(total_tokens).toBeGreaterThan(1500);
    const second = await ask(weir, "few-key", ...ASK_CHAT);
    expect([second.status, JSON.parse(second.text).error.type]).toEqual([429, "tokens"]);
    // The debt is worked off as the bucket refills: 1000 tokens a minute.
    const used = Number(/Used (\d+)/.exec(second.text)![1]);
    expect(used).toBeGreaterThan(total_tokens - 100);
    expect(used).toBeLessThanOrEqual(total_tokens);
  });

  test("requests at once: a place is free when its answer has ended, however it has", async () => {
    const weir = await start([{ name: "two", token: "two-key", concurrent_max: 2 }], {
      set: { "mock.delay_ms": 3_000_000 },
    });
    const leave = new AbortController();
    const open = () =>
      fetch(`${weir.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: "Bearer two-key", "content-type": "application/json" },
        body: JSON.stringify({ ...CHAT, stream: true }),
        signal: leave.signal,
      });
    const streams = [await open(), await open()];
    expect(streams.map(({ status }) => status)).toEqual([200, 200]);
    const refused = await ask(weir, "two-key", ...ASK_CHAT);
    expect([refused.status, refused.text]).toEqual([
      429,
      expect.stringContaining("concurrent requests: Limit 2, Used 2"),
    ]);
    leave.abort();
    await waitFor(async () => {
      const models = await open2(weir);
      return models === 200;
    }, "a free place");
  });

  /** The status of a request that is over at once. */
  async function open2(weir: Weir): Promise<number> {
    const response = await fetch(`${weir.url}/v1/embeddings`, {
      method: "POST",
      headers: { authorization: "Bearer two-key", "content-type": "application/json" },
      body: JSON.stringify({ model: "text-embedding-3-small", input: "x" }),
    });
    await response.text();
    return response.status;
  }

  test("hold beside those that the mock plays, and the key's stand in the headers", async () => {
    const weir = await start([{ name: "k", token: "k-key", requests_per_min: 50 }], {
      set: { "mock.limits": "[{requests_per_min: 2}]" },
    });
    const first = await ask(weir, "k-key", ...ASK_CHAT);
    expect(ratelimits(first)["x-ratelimit-limit-requests"]).toBe("50");
    await ask(weir, "k-key", ...ASK_CHAT);
    const refused = await ask(weir, "k-key", ...ASK_CHAT);
    expect(refused.text).toContain("Rate limit reached for gpt-4o on requests per min (RPM)");
    const other = await ask(weir, "root-secret", ...ASK_CHAT);
    expect(ratelimits(other)["x-ratelimit-limit-requests"]).toBe("2");
  });

  test("stand in the place of an upstream's, and count a request once that is tried again", async () => {
    let count = 0;
    const upstream = tellUpstream(() => {
      if (++count % 3 !== 0) {
        return new Response("{}", { status: 503, headers: { "retry-after": "0" } });
      }
      return Response.json({ usage: { prompt_tokens: 10, completion_tokens: 20 } }, {
        headers: {
          "x-ratelimit-limit-requests": "10000",
          "x-ratelimit-remaining-tokens": "9999",
          "x-request-id": "up-1",
        },
      });
    });
    running.push(() => upstream.stop());
    const weir = await start([{ name: "k", token: "k-key", requests_per_min: 5 }], {
      set: { "llm.base_url": `${upstream.url}/v1`, "llm.api_key": "sk-up", "llm.retries": 2 },
    });
    const first = await ask(weir, "k-key", ...ASK_CHAT);
    expect([first.status, upstream.requests.length]).toEqual([200, 3]);
    expect(ratelimits(first)).toEqual({
      "x-ratelimit-limit-requests": "5",
      "x-ratelimit-remaining-requests": "4",
      "x-ratelimit-reset-requests": expect.any(String),
    });
    expect(first.headers.get("x-request-id")).toBe("up-1");
    const plain = await ask(weir, "root-secret", ...ASK_CHAT);
    expect(ratelimits(plain)["x-ratelimit-limit-requests"]).toBe("10000");
  });

  test("hold for all workers together", async () => {
    const weir = await start([{ name: "k", token: "k-key", requests_per_day: 10 }], {}, 2);
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => ask(weir, "k-key", ...ASK_CHAT)),
    );
    expect(answers.filter(({ status }) => status === 200).length).toBe(10);
    expect(answers.filter(({ status }) => status === 429).length).toBe(30);
  });
});

describe("a budget", () => {
  test("in tokens is spent by what was said, and holds after a restart", async () => {
    const folder = makeFolder();
    const set = { "store.url": `sqlite://${folder}/store.db` };
    const keys = [{ name: "b", token: "b-key", budget_tokens: 30, budget_per: "day" }];
    const weir = await start(keys, { set });
    const statuses = [];
    for (let i = 0; i < 6; i++) statuses.push((await ask(weir, "b-key", ...ASK_CHAT)).status);
    expect(statuses.indexOf(429)).toBe(3); // 13 tokens each
    expect(statuses.lastIndexOf(200)).toBe(2);
    const refused = await ask(weir, "b-key", ...ASK_CHAT);
    expect([codeOf(refused), refused.headers.get("x-should-retry")])
      .toEqual(["insufficient_quota", "false"]);
    expect(refused.text).toMatch(
      /for this day is spent \(39 of 30 tokens\): it begins anew at 2\d+-/,
    );
    const claude = await ask(weir, "b-key", "/v1/messages", { ...CHAT, max_tokens: 5 });
    expect([claude.status, JSON.parse(claude.text).error.type]).toEqual([429, "rate_limit_error"]);
    weir.kill("SIGKILL");
    await weir.exited;
    const next = await start(keys, { set });
    await waitFor(async () => (await ask(next, "b-key", ...ASK_CHAT)).status === 429, "429");
  });

  test("lets nothing in that an upstream answers later, where nobody would count it", async () => {
    const upstream = tellUpstream(() => Response.json({ id: "resp_1", status: "queued" }));
    running.push(() => upstream.stop());
    const keys = [{ name: "b", token: "b-key", budget_tokens: 1000 }, {
      name: "f",
      token: "f-key",
    }];
    const body = { model: "gpt-4o", input: "x", background: true };
    const proxy = { "llm.base_url": `${upstream.url}/v1`, "llm.api_key": "sk-up" };
    for (const set of [{}, proxy]) {
      const weir = await start(keys, { set });
      const isRead = async () => (await ask(weir, "b-key", ...ASK_CHAT)).status === 200;
      await waitFor(isRead, "what is spent to be known");
      const { status, text } = await ask(weir, "b-key", "/v1/responses", body);
      // The mock knows at once what it will say.
      const isCounted = set !== proxy;
      expect([status, text.includes("in the background")]).toEqual([
        isCounted ? 200 : 403,
        !isCounted,
      ]);
      expect((await ask(weir, "f-key", "/v1/responses", body)).status).toBe(200);
      const later = { ...body, background: false };
      expect((await ask(weir, "b-key", "/v1/responses", later)).status).toBe(200);
    }
  });

  test("counts streams that a client has left, and answers whose upstream tells no usage", async () => {
    const upstream = tellUpstream(() =>
      new Response(
        `data: {"choices":[{"index":0,"delta":{"content":"${"word ".repeat(400)}"}}]}\n\n` +
          "data: [DONE]\n\n",
        { headers: { "content-type": "text/event-stream" } },
      )
    );
    running.push(() => upstream.stop());
    const weir = await start([{ name: "b", token: "b-key", budget_tokens: 20 }], {
      set: { "llm.base_url": `${upstream.url}/v1`, "llm.api_key": "sk-up" },
    });
    const stream = ["/v1/chat/completions", { ...CHAT, stream: true }] as const;
    await waitFor(async () => (await ask(weir, "b-key", ...stream)).status === 429, "429");
    expect(upstream.requests.length).toBeLessThan(5);
  });

  test("in money lets nothing in whose price nobody knows", async () => {
    const weir = await start([{ name: "b", token: "b-key", budget_usd: 1.5 }]);
    await waitFor(async () => {
      const { status, text } = await ask(weir, "b-key", "/v1/chat/completions", {
        ...CHAT,
        model: "of-nobody",
      });
      return status === 403 && text.includes("nobody knows what the model 'of-nobody' costs");
    }, "403");
  });

  test("in money is spent by what is published, and by the prices of the config", async () => {
    const weir = await start([{ name: "b", token: "b-key", budget_usd: 0.01 }], {
      set: { prices: "[{model: mine, input: 0, output: 10000}]" },
    });
    const asked = async (model: string) =>
      (await ask(weir, "b-key", "/v1/chat/completions", { ...CHAT, model })).status;
    await waitFor(async () => await asked("gpt-4o-mini") === 200, "the store is read");
    expect(await asked("gpt-4o-mini")).toBe(200); // some 3 millionths of a dollar
    expect(await asked("mine")).toBe(200); // more than one hundredth
    expect(await asked("gpt-4o-mini")).toBe(429);
    const { text } = await ask(weir, "b-key", "/v1/chat/completions", CHAT);
    expect(text).toMatch(/is spent \(0\.04\d{4} of 0\.01 US dollars\)/);
  });
});

describe("keys of the store", () => {
  for (const workers of [1, 2]) {
    test(`are rotated and revoked under load, with ${workers} process(es)`, async () => {
      const folder = makeFolder();
      const set = "store.url=sqlite://store.db";
      const first = await weirKey(folder, set, "add", "ci", "--model", "gpt-*");
      expect(first).toMatch(/^weir_[0-9A-Za-z]{43}$/);
      const weir = await start(
        [],
        { set: { "store.url": `sqlite://${folder}/store.db` } },
        workers,
      );
      let key = first;
      let isOver = false;
      const seen: number[] = [];
      const load = Array.from({ length: 8 }, async () => {
        while (!isOver) seen.push((await ask(weir, key, ...ASK_CHAT)).status);
      });
      await waitFor(() => seen.length > 50, "load");
      for (let round = 0; round < 3; round++) {
        const next = await weirKey(folder, set, "rotate", "ci", "--grace-hours", "1");
        // The old one holds while processes learn of the new one.
        const isKnown = async () => {
          // So many connections reach every process.
          const tries = Array.from({ length: 32 }, () => ask(weir, next, ...ASK_CHAT));
          return (await Promise.all(tries)).every(({ status }) => status === 200);
        };
        await waitFor(isKnown, "the new key");
        key = next;
        const count = seen.length;
        await waitFor(() => seen.length > count + 30, "load");
      }
      isOver = true;
      await Promise.all(load);
      expect(seen.every((status) => status === 200)).toBe(true);
      expect((await ask(weir, first, ...ASK_CHAT)).status).toBe(200);
      await weirKey(folder, set, "revoke", "ci");
      const isGone = async () => {
        const shown = Array.from({ length: 32 }, (_, i) => i % 2 ? first : key);
        const tries = shown.map((one) => ask(weir, one, ...ASK_CHAT));
        return (await Promise.all(tries)).every(({ status }) => status === 401);
      };
      await waitFor(isGone, "401");
      expect((await ask(weir, "root-secret", ...ASK_CHAT)).status).toBe(200);
    });
  }

  test("are the lock with store.keys: on, and open nothing with off", async () => {
    const folder = makeFolder();
    const key = await weirKey(folder, "store.url=sqlite://store.db", "add", "ci");
    const url = { "store.url": `sqlite://${folder}/store.db`, "auth.token": "" };
    const table = [["on", 401, 200], ["off", 200, 200], ["auto", 200, 200]] as const;
    for (const [keys, bare, shown] of table) {
      const weir = await start([], { set: { ...url, "store.keys": keys } });
      expect([keys, (await ask(weir, "", ...ASK_CHAT)).status]).toEqual([keys, bare]);
      expect([keys, (await ask(weir, key, ...ASK_CHAT)).status]).toEqual([keys, shown]);
      if (keys !== "on") continue;
      expect((await ask(weir, "weir_other", ...ASK_CHAT)).status).toBe(401);
      expect((await ask(weir, key, "/metrics")).status).toBe(403);
    }
    const weir = await start([], {
      set: { ...url, "auth.token": "root-secret", "store.keys": "off" },
    });
    expect((await ask(weir, key, ...ASK_CHAT)).status).toBe(401);
  });
});

test("nothing of a key stands in logs, errors, the journal or the store", async () => {
  const folder = makeFolder();
  const set = "store.url=sqlite://store.db";
  const ended = await weirKey(folder, set, "add", "gone");
  await weirKey(folder, set, "revoke", "gone");
  const live = await weirKey(folder, set, "add", "ci", "--budget-tokens", "5");
  const weir = await start([{ name: "own", token: "own-config-key", models: ["m"] }], {
    set: {
      "store.url": `sqlite://${folder}/store.db`,
      "ops.log": "requests",
      "ops.log_format": "json",
      "ops.journal": "bodies",
      "ops.log_prompts": true,
    },
  });
  const said: string[] = [];
  for (const token of [ended, live, "own-config-key", `${live}x`, live.slice(0, -1)]) {
    for (const headers of [{}, { "x-api-key": token }]) {
      for (
        const path of ["/v1/chat/completions", "/v1/messages", "/api/chat", "/chat", "/nowhere"]
      ) {
        const body = { ...CHAT, max_tokens: 5 };
        const { text, headers: told } = await ask(weir, token, path, body, headers);
        said.push(text, JSON.stringify([...told]));
      }
    }
  }
  await waitFor(
    async () => (await ask(weir, live, ...ASK_CHAT)).status === 429,
    "the budget's end",
  );
  said.push((await ask(weir, "root-secret", "/__weir/requests?limit=1000")).text);
  said.push((await ask(weir, "root-secret", "/metrics")).text);
  said.push(JSON.stringify(await weir.health()));
  const listed = await weirKey(folder, set, "list", "--json");
  expect(listed).toContain('"name":"gone"');
  said.push(listed, await weirKey(folder, set, "list"));
  weir.kill("SIGTERM");
  await weir.exited;
  said.push(weir.output(), weir.errors());
  for (const name of readdirSync(folder, { recursive: true }) as string[]) {
    if (name !== "weir-usage") said.push(readFileSync(join(folder, name)).toString("latin1"));
  }
  for (const token of [ended, live, "own-config-key"]) {
    for (const part of [token, token.slice(5), token.slice(5, 17), token.slice(-12)]) {
      const where = said.filter((text) => text.includes(part)).map((text) => text.slice(0, 300));
      expect([part, where]).toEqual([part, []]);
    }
  }
});

test("kill -9 under load loses the usage of no request that was over", async () => {
  const folder = makeFolder();
  const set = { "store.url": `sqlite://${folder}/store.db`, "server.workers": 2 };
  const keys = [{ name: "b", token: "b-key", budget_tokens: 1_000_000_000 }];
  let whole = 0;
  let begun = 0;
  for (let round = 0; round < 3; round++) {
    const weir = await start(keys, { set }, 2);
    await waitFor(async () =>
      (await ask(weir, "b-key", ...ASK_CHAT).finally(() => begun++)).status === 200
    );
    whole++;
    let isOver = false;
    // Half of them as streams: whoever has the last byte of an answer finds it counted.
    const load = Array.from({ length: 16 }, async (_, i) => {
      const end = i % 2 === 0 ? "}\n" : "data: [DONE]\n\n";
      while (!isOver) {
        begun++;
        try {
          const body = { ...CHAT, stream: i % 2 !== 0 };
          const { status, text } = await ask(weir, "b-key", ASK_CHAT[0], body);
          if (status === 200 && text.endsWith(end)) whole++;
        } catch {
          return;
        }
      }
    });
    const enough = whole + 200 + 150 * round;
    await waitFor(() => whole > enough, "load");
    for (const pid of [weir.pid, ...childrenOf(weir.pid)]) process.kill(pid, "SIGKILL");
    isOver = true;
    await Promise.all(load);
  }
  const weir = await start(keys, { set }, 1);
  await ask(weir, "b-key", ...ASK_CHAT);
  const { openSqliteStore } = await import("../../src/store/sqlite.ts");
  const store = openSqliteStore({
    path: join(folder, "store.db"),
    clock: () => performance.now(),
    sleep: Bun.sleep,
  });
  // 13 tokens each. What was open may be there or not.
  const requests = async () => ((await store.spent(Date.now()))[0]?.monthTokens ?? 0) / 13;
  await waitFor(async () => await requests() >= whole, `${whole} of ${begun} requests`);
  expect(await requests()).toBeLessThanOrEqual(begun + 1);
  await store.close();
});

const programs = postgresPrograms();
test.skipIf(programs === undefined)(
  "two processes share one Postgres, which goes and comes",
  async () => {
    const server = await startPostgres(programs!);
    running.push(() => server.stop());
    const url = await server.makeDatabase();
    const set = { "store.url": url, "memory.timeout_ms": 2000 };
    const key = await weirKey("", `store.url=${url}`, "add", "ci", "--budget-tokens", "100");
    const [one, other] = [await start([], { set }), await start([], { set })];
    expect((await ask(one, key, ...ASK_CHAT)).status).toBe(200);
    // What one has spent the other knows: together they end it.
    for (let i = 0; i < 4; i++) await ask(one, key, ...ASK_CHAT);
    const isSpent = (weir: Weir) => async () => (await ask(weir, key, ...ASK_CHAT)).status === 429;
    await waitFor(isSpent(other), "the budget's end");
    await waitFor(isSpent(one), "the budget's end at the other");

    const free = await weirKey("", `store.url=${url}`, "add", "free");
    for (const weir of [one, other]) {
      await waitFor(async () => (await ask(weir, free, ...ASK_CHAT)).status === 200, "the new key");
    }
    await server.crash();
    await waitFor(async () => "store" in await one.health(), "health to say so");
    expect((await one.health())["status"]).toBe("degraded");
    expect((await ask(one, free, ...ASK_CHAT)).status).toBe(200);
    expect((await ask(one, "weir_unknown", ...ASK_CHAT)).status).toBe(401);
    // One that starts now knows the config's keys, and of others that it cannot know.
    const late = await start([], { set });
    expect((await ask(late, "root-secret", ...ASK_CHAT)).status).toBe(200);
    const unknown = await ask(late, free, ...ASK_CHAT);
    expect([unknown.status, unknown.headers.get("retry-after")]).toEqual([503, "1"]);
    await server.start();
    await waitFor(async () => (await ask(late, free, ...ASK_CHAT)).status === 200, "the keys");
    await waitFor(async () => !("store" in await one.health()), "health to be well");
    await weirKey("", `store.url=${url}`, "revoke", "free");
    for (const weir of [one, other, late]) {
      await waitFor(async () => (await ask(weir, free, ...ASK_CHAT)).status === 401, "401");
    }
  },
);
