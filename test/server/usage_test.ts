/** What answers cost, as it is counted on every way out, and as it is told. */

import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { TokenCounter } from "../../src/sources/tokens.ts";
import { launch, type LaunchOptions, run, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { type SeenRequest, tellUpstream, type ToldUpstream } from "./told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const running: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop();
});

const KEYS = [
  { name: "blue", token: "blue-key" },
  { name: "red", token: "red-key", tokens_per_day: 1_000_000 },
];

/** A weir with these keys; "root" is an admin's. */
async function start({ set, ...options }: LaunchOptions = {}): Promise<Weir> {
  const weir = await launch({
    ...options,
    set: { "auth.token": "root", keys: JSON.stringify(KEYS), ...set },
  });
  running.push(() => weir.stop());
  return weir;
}

function told(answer?: (request: SeenRequest) => Response | undefined): ToldUpstream {
  const upstream = tellUpstream(answer);
  running.push(() => upstream.stop());
  return upstream;
}

/** In front of `upstream`. */
function inFront({ url }: ToldUpstream, more: Readonly<Record<string, string>> = {}) {
  return { "llm.base_url": `${url}/v1`, "llm.api_key": "sk-up", ...more };
}

const MESSAGES = [{ role: "user", content: "Say something, please." }];

function post(
  { url }: Pick<Weir, "url">,
  path: string,
  body: object,
  key = "blue-key",
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

type Line = Readonly<Record<string, string | number | null>>;

/** What `key` is told of usage by model. */
async function usageOf({ url }: Pick<Weir, "url">, query = "by=model", key = "root") {
  const answer = await fetch(`${url}/__weir/usage?${query}`, {
    headers: { authorization: `Bearer ${key}` },
  });
  const { usage, error } = await answer.json() as {
    readonly usage: readonly Line[];
    readonly error?: { readonly message: string };
  };
  return { status: answer.status, usage, error: error?.message ?? "" };
}

/** The line of one model, once its answers have ended. */
async function lineOf(weir: Weir, model: string, requests = 1): Promise<Line> {
  let line: Line | undefined;
  await waitFor(async () => {
    line = (await usageOf(weir)).usage.find((one) => one["model"] === model);
    return line !== undefined && Number(line["requests"]) >= requests;
  }, `usage of ${model}`);
  return line!;
}

const counter = new TokenCounter(1_048_576);
const WORDS = Array.from({ length: 40 }, (_, i) => ` word${i}`);
/** Tokens of the first `count` words. */
const tokensOf = (count: number) => counter.count(WORDS.slice(0, count).join(""));
/** Tokens of `MESSAGES` as weir counts them. */
const PROMPT = 3 + 3 + 1 + counter.count(MESSAGES[0]!.content);

const CHUNK = {
  chat: (word: string) => `data: {"choices":[{"index":0,"delta":{"content":"${word}"}}]}\n\n`,
  messages: (word: string) =>
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,' +
    `"delta":{"type":"text_delta","text":"${word}"}}\n\n`,
  responses: (word: string) =>
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",' +
    `"item_id":"m","output_index":0,"content_index":0,"delta":"${word}"}\n\n`,
};
const MESSAGE_START =
  'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",' +
  '"role":"assistant","content":[],"model":"c","usage":{"input_tokens":5,' +
  '"cache_read_input_tokens":4,"cache_creation_input_tokens":2,"output_tokens":1}}}\n\n' +
  'event: content_block_start\ndata: {"type":"content_block_start","index":0,' +
  '"content_block":{"type":"text","text":""}}\n\n';

describe("of a stream that is relayed", () => {
  const SAID = 25;
  const PATHS = {
    chat: ["/v1/chat/completions", { messages: MESSAGES, stream: true }, "", PROMPT],
    messages: [
      "/v1/messages",
      { messages: MESSAGES, stream: true, max_tokens: 99 },
      MESSAGE_START,
      11, // as its first event tells it
    ],
    responses: ["/v1/responses", { input: MESSAGES, stream: true }, "", PROMPT],
  } as const;
  for (const [dialect, [path, body, opening, prompt]] of Object.entries(PATHS)) {
    for (const way of ["left by its client", "cut by its upstream"]) {
      test(`${way}, ${dialect}: what was said is counted, and marked`, async () => {
        const upstream = told();
        const weir = await start({
          set: inFront(upstream, {
            "llm.speaks": "[openai_chat, anthropic_messages, openai_responses]",
          }),
        });
        const leaving = new AbortController();
        const answer = post(weir, path, { model: "m", ...body }, "blue-key", leaving.signal);
        const telling = await upstream.told(0);
        const chunk = CHUNK[dialect as keyof typeof CHUNK];
        telling.raw(opening + WORDS.slice(0, SAID).map(chunk).join(""));
        const reader = (await answer).body!.getReader();
        let got = "";
        const decoder = new TextDecoder();
        while (!got.includes(` word${SAID - 1}"`)) {
          got += decoder.decode((await reader.read()).value, { stream: true });
        }
        if (way.startsWith("left")) leaving.abort();
        else telling.break();
        reader.read().catch(() => {});
        expect(await lineOf(weir, "m")).toMatchObject({
          estimated: 1,
          tokens_in: prompt,
          tokens_out: tokensOf(SAID),
          unknown_tokens: 0,
          cost_usd: null,
          unknown_costs: 1,
        });
      });
    }
  }

  test("said again in another dialect and left: what was said is counted, and marked", async () => {
    const upstream = told();
    const weir = await start({ set: inFront(upstream, { "llm.speaks": "[openai_chat]" }) });
    const leaving = new AbortController();
    const body = { model: "m", input: MESSAGES, stream: true };
    const answer = post(weir, "/v1/responses", body, "blue-key", leaving.signal);
    const telling = await upstream.told(0);
    telling.raw(WORDS.slice(0, SAID).map(CHUNK.chat).join(""));
    const reader = (await answer).body!.getReader();
    let got = "";
    while (!got.includes(` word${SAID - 1}"`)) {
      got += new TextDecoder().decode((await reader.read()).value);
    }
    leaving.abort();
    reader.read().catch(() => {});
    expect(await lineOf(weir, "m")).toMatchObject({ estimated: 1, tokens_out: tokensOf(SAID) });
  });

  test("and whole: as it is told, those of a cache and of reasoning apart; else as weir counts", async () => {
    const usage = '{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,' +
      '"prompt_tokens_details":{"cached_tokens":64},"completion_tokens_details":{"reasoning_tokens":8}}';
    const upstream = told(({ body }) => {
      const isTold = body.includes('"gpt-4o"');
      const stream = WORDS.map(CHUNK.chat).join("") +
        (isTold ? `data: {"choices":[],"usage":${usage}}\n\n` : "") + "data: [DONE]\n\n";
      return new Response(stream, { headers: { "content-type": "text/event-stream" } });
    });
    const weir = await start({ set: inFront(upstream, { "ops.log": "requests" }) });
    const body = { messages: MESSAGES, stream: true };
    for (const model of ["gpt-4o", "m"]) {
      await (await post(weir, "/v1/chat/completions", { model, ...body })).text();
    }
    expect(await lineOf(weir, "gpt-4o")).toEqual({
      model: "gpt-4o",
      requests: 1,
      estimated: 0,
      tokens_in: 100,
      tokens_cached: 64,
      tokens_out: 20,
      tokens_reasoning: 8,
      unknown_tokens: 0,
      cost_usd: (36 * 2.5 + 64 * 1.25 + 20 * 10) / 1e6,
      unknown_costs: 0,
    });
    expect(await lineOf(weir, "m")).toMatchObject({
      estimated: 1,
      tokens_in: PROMPT,
      tokens_out: tokensOf(WORDS.length),
    });
    await waitFor(() => (weir.output() + weir.errors()).includes('"cost_usd":0.00037'), "the log");
    expect(weir.output() + weir.errors())
      .toContain('"tokens_in":100,"tokens_out":20,"tokens_cached":64,"tokens_reasoning":8');
    const metrics = await fetch(`${weir.url}/metrics`, {
      headers: { authorization: "Bearer root" },
    });
    const text = await metrics.text();
    expect(text).toContain("weir_cost_usd_total 0.00037");
    expect(text).toContain("weir_tokens_cached_total 64");
    expect(text).toContain("weir_usage_estimated_total 1");
    expect(text).toContain("weir_cost_unknown_total 1");
  });
});

for (const coding of ["gzip", "br", "deflate", "zstd"]) {
  test(`a compressed answer costs what it tells, or says until it is cut: ${coding}`, async () => {
    const pack = {
      gzip: gzipSync,
      br: brotliCompressSync,
      deflate: deflateSync,
      zstd: zstdCompressSync,
    };
    const asTold = Buffer.from('{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7}}');
    const stream = Buffer.from(WORDS.map(CHUNK.chat).join("") + "data: [DONE]\n\n");
    const upstream = told(({ body }) => {
      const isStream = body.includes('"stream":true');
      return new Response(pack[coding as keyof typeof pack](isStream ? stream : asTold), {
        headers: {
          "content-type": isStream ? "text/event-stream" : "application/json",
          "content-encoding": coding,
        },
      });
    });
    const weir = await start({ set: inFront(upstream) });
    const body = { messages: MESSAGES };
    await (await post(weir, "/v1/chat/completions", { model: "told", ...body })).text();
    expect(await lineOf(weir, "told")).toMatchObject({ estimated: 0, tokens_in: 9, tokens_out: 7 });
    const said = { model: "said", ...body, stream: true };
    await (await post(weir, "/v1/chat/completions", said)).text();
    expect(await lineOf(weir, "said")).toMatchObject({
      estimated: 1,
      tokens_out: tokensOf(WORDS.length),
    });
  });
}

test("an answer that is finished without its client costs what is told at its end, once", async () => {
  const upstream = told();
  const weir = await start({ set: inFront(upstream, { "chat.on_disconnect": "drain" }) });
  const leaving = new AbortController();
  const body = { model: "m", messages: MESSAGES, stream: true };
  const answer = post(weir, "/v1/chat/completions", body, "blue-key", leaving.signal);
  const telling = await upstream.told(0);
  const reader = (await answer).body!.getReader();
  await reader.read();
  leaving.abort();
  reader.read().catch(() => {});
  await waitFor(async () => (await weir.health())["streams_open"] === 0, "the client to have left");
  expect((await usageOf(weir)).usage).toEqual([]);
  telling.raw(WORDS.map(CHUNK.chat).join(""));
  telling.raw('data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7}}\n\n');
  telling.finish();
  expect(await lineOf(weir, "m")).toMatchObject({
    requests: 1,
    estimated: 0,
    tokens_in: 9,
    tokens_out: 7,
  });
});

describe("of what weir answers by itself", () => {
  const REPLY = WORDS.join("").trim();

  test("whole streams cost what the mock says, whatever the client wants to know", async () => {
    const weir = await start({ set: { "mock.reply": REPLY } });
    const body = { messages: MESSAGES };
    const plain = await post(weir, "/v1/chat/completions", { model: "plain", ...body });
    const { usage } = await plain.json() as { readonly usage: Record<string, number> };
    const PLACES = [
      ["/v1/chat/completions", { model: "streamed", ...body, stream: true }],
      ["/v1/responses", { model: "response", input: MESSAGES, stream: true }],
      ["/v1/messages", { model: "message", ...body, max_tokens: 999, stream: true }],
      ["/api/chat", { model: "content", ...body }],
      ["/v1/completions", { model: "old", prompt: MESSAGES[0]!.content, stream: true }],
    ] as const;
    for (const [path, body] of PLACES) await (await post(weir, path, body)).text();
    for (const model of ["plain", "streamed", "response", "message", "content"]) {
      expect(await lineOf(weir, model)).toMatchObject({
        estimated: 0,
        tokens_in: usage["prompt_tokens"]!,
        tokens_out: usage["completion_tokens"]!,
      });
    }
    expect(await lineOf(weir, "old")).toMatchObject({
      estimated: 0,
      tokens_out: 16, // the old API says no more unless it is asked to
    });
  });

  test("a stream that is left, or cut by a fixture, costs what was said of it, and is marked", async () => {
    const fixtures = [{
      match: { model: "cut" },
      response: { content: REPLY },
      truncateAfterChunks: 11,
    }, {
      match: { model: "left" },
      response: { content: REPLY },
      streamingProfile: { ttft: 0, tps: 1 },
    }];
    const weir = await start({
      set: { "mock.fixtures": "[f.json]" },
      files: { "f.json": JSON.stringify({ fixtures }) },
    });
    const ask = (model: string, signal?: AbortSignal) =>
      post(
        weir,
        "/v1/chat/completions",
        { model, messages: MESSAGES, stream: true },
        "blue-key",
        signal,
      );
    await (await ask("cut")).text().catch(() => "");
    const whole = tokensOf(WORDS.length);
    const cut = await lineOf(weir, "cut");
    expect(cut).toMatchObject({ estimated: 1, tokens_in: PROMPT });
    expect(cut["tokens_out"]).toBeGreaterThan(5);
    expect(cut["tokens_out"]).toBeLessThan(whole / 2);
    const leaving = new AbortController();
    const reader = (await ask("left", leaving.signal)).body!.getReader();
    await reader.read();
    leaving.abort();
    reader.read().catch(() => {});
    const left = await lineOf(weir, "left");
    expect(left).toMatchObject({ estimated: 1, tokens_in: PROMPT });
    expect(left["tokens_out"]).toBeLessThan(whole / 2);
  });

  test("a workflow costs whoever has started it what its jobs ask models for", async () => {
    const weir = await start();
    for (const isWaiting of [true, false]) {
      const answer = await post(weir, "/api/workflows/runs", {
        input: { prompt: "Hello" },
        wait_for_completion: isWaiting,
      });
      expect(answer.status).toBe(200);
      await answer.text();
    }
    const sums = async () => (await usageOf(weir, "by=key")).usage;
    await waitFor(async () => Number((await sums())[0]?.["requests"]) === 2, "usage");
    const [sum, ...others] = await sums();
    expect(sum).toMatchObject({ key: "blue", estimated: 0, tokens_out: 2 * 4 });
    expect(Number(sum!["tokens_in"])).toBeGreaterThan(5);
    expect(others).toEqual([]);
  });

  test("a conversation of /conv that weir keeps costs what its turns do", async () => {
    const weir = await start();
    const ask = async (body: object) => {
      const answer = await fetch(`${weir.url}/conv`, {
        method: "POST",
        headers: {
          "authorization": "Bearer blue-key",
          "chat-type": "conversation",
          "content-type": "application/json",
        },
        body: JSON.stringify(body),
      });
      expect(answer.status).toBe(200);
      return await answer.text();
    };
    const told = await ask({ content: "Hello" });
    const [id, parent] = ["conversation_id", "id"]
      .map((name) => new RegExp(`"${name}":"([^"]+)"`).exec(told)![1]);
    await ask({ content: "And?", conversation_id: id, parent_message_id: parent });
    const sums = async () => (await usageOf(weir, "by=key,model")).usage;
    await waitFor(async () => Number((await sums())[0]?.["requests"]) === 2, "usage");
    expect(await sums()).toMatchObject([{ key: "blue", requests: 2, tokens_out: 2 * 4 }]);
    // The second question has the first turn before it.
    expect(Number((await sums())[0]!["tokens_in"])).toBeGreaterThan(2 * 8);
  });

  test("vectors cost their question", async () => {
    const weir = await start();
    for (const key of ["blue-key", "red-key"]) {
      await (await post(
        weir,
        "/v1/embeddings",
        { model: "text-embedding-3-small", input: "word" },
        key,
      ))
        .text();
    }
    expect(await lineOf(weir, "text-embedding-3-small", 2)).toMatchObject({
      tokens_in: 2,
      tokens_out: 0,
      estimated: 0,
      cost_usd: 0.00000004,
    });
  });
});

describe("usage: ask of a route", () => {
  const OPENING = "data: " + '{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]' +
    ',"usage":null}\n\n';
  const USAGE =
    'data: {"id":"c","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7}}\n\n';
  const REST = 'data: {"choices":[],"moderation":{},"usage":null}\n\ndata: [DONE]\n\n';
  const set = (upstream: ToldUpstream, more = {}) =>
    inFront(upstream, { routes: "[{to: [llm], usage: ask}]", ...more });

  test("asks in the client's bytes, and takes nothing but the event out that it did not ask for", async () => {
    const stream = Buffer.from(OPENING + CHUNK.chat("Grüße") + USAGE + REST);
    const upstream = told();
    const weir = await start({ set: set(upstream) });
    const CASES: readonly (readonly [sent: string, up: string, isTaken: boolean])[] = [
      [
        '{"model":"m", "stream": true,\n "messages":[{"role":"user","content":"ü"}], "x": 1.0 }',
        '{"model":"m", "stream": true,\n "messages":[{"role":"user","content":"ü"}], "x": 1.0,"stream_options":{"include_usage":true} }',
        true,
      ],
      [
        '{"model":"m","stream":true,"stream_options":{"include_usage":false,"x":1},"messages":[]}',
        '{"model":"m","stream":true,"stream_options":{"include_usage":true,"x":1},"messages":[]}',
        true,
      ],
      [
        '{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}',
        '{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}',
        false,
      ],
      ['{"model":"m","messages":[]}', '{"model":"m","messages":[]}', false],
    ];
    for (const [index, [sent, up, isTaken]] of CASES.entries()) {
      const answer = fetch(`${weir.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: "Bearer blue-key", "content-type": "application/json" },
        body: sent,
      });
      const telling = await upstream.told(index);
      // In pieces that end anywhere, within characters and events.
      for (let at = 0; at < stream.length; at += 17) {
        telling.raw(stream.subarray(at, at + 17) as unknown as string);
        await Bun.sleep(0);
      }
      telling.finish();
      const text = await (await answer).text();
      const wanted = OPENING + CHUNK.chat("Grüße") + (isTaken ? "" : USAGE) + REST;
      expect(text.slice(text.indexOf("\n\n") + 2)).toStartWith(wanted); // the told one begins
      expect(upstream.requests[index]!.body).toBe(up);
    }
    expect(await lineOf(weir, "m", 4)).toMatchObject({ tokens_in: 36, tokens_out: 28 });
  });

  test("goes on without, where the upstream refuses that", async () => {
    const upstream = told(({ body }) =>
      body.includes("stream_options")
        ? Response.json({ error: { message: "Unknown parameter: stream_options" } }, {
          status: 400,
        })
        : new Response(CHUNK.chat("Hi") + "data: [DONE]\n\n", {
          headers: { "content-type": "text/event-stream" },
        })
    );
    const weir = await start({ set: set(upstream) });
    const body = { model: "m", messages: MESSAGES, stream: true };
    for (let i = 0; i < 2; i++) {
      const answer = await post(weir, "/v1/chat/completions", body);
      expect(await answer.text()).toBe(CHUNK.chat("Hi") + "data: [DONE]\n\n");
    }
    expect(upstream.requests.map(({ body }) => body.includes("stream_options")))
      .toEqual([true, false, false]);
    expect(await lineOf(weir, "m", 2)).toMatchObject({ estimated: 2, tokens_out: 2 });
  });

  test("off keeps nothing, but of keys that have limits", async () => {
    const weir = await start({ set: { routes: "[{to: [mock], usage: off}]" } });
    const body = { model: "m", messages: MESSAGES };
    await (await post(weir, "/v1/chat/completions", body)).text();
    await (await post(weir, "/v1/chat/completions", body, "red-key")).text();
    await lineOf(weir, "m");
    const { usage } = await usageOf(weir, "by=key");
    expect(usage.map(({ key, requests }) => [key, requests])).toEqual([["red", 1]]);
  });
});

test("a token in front of the mock alone costs nothing, unless that is wanted", async () => {
  const ask = async (set: Readonly<Record<string, string>>) => {
    const weir = await start({ set: { keys: "[]", "store.url": "sqlite://store.db", ...set } });
    const body = { model: "m", messages: MESSAGES };
    expect((await post(weir, "/v1/chat/completions", body, "root")).status).toBe(200);
    return weir;
  };
  const counts = async (weir: Weir) => (await usageOf(weir, "by=key")).usage.length > 0;
  expect(await counts(await ask({}))).toBe(false);
  for (const set of [{ "store.usage": "on" }, { keys: JSON.stringify(KEYS) }, inFront(told())]) {
    const weir = await ask({ ...set, routes: "[{match: {model: m}, to: [mock]}]" });
    await waitFor(() => counts(weir), "what it has cost");
  }
});

describe("usage is told", () => {
  test("all of it to admins, its own to another key, and as CSV", async () => {
    const weir = await start({
      set: { prices: "[{model: '=2+*', input: 1, output: 2}]", "store.url": "sqlite://store.db" },
    });
    const ask = async (model: string, key: string) =>
      await (await post(weir, "/v1/chat/completions", { model, messages: MESSAGES }, key)).text();
    await ask("=2+3", "blue-key");
    await ask("m", "red-key");
    await lineOf(weir, "m");
    const all = await usageOf(weir, "by=key,model");
    expect(all.usage.map(({ key, model }) => [key, model])).toEqual([["blue", "=2+3"], [
      "red",
      "m",
    ]]);
    for (const query of ["by=key", "by=key&key=red"]) {
      const own = await usageOf(weir, query, "red-key");
      expect(own.usage.map(({ key, requests }) => [key, requests])).toEqual([["red", 1]]);
    }
    const others = await usageOf(weir, "key=blue", "red-key");
    expect([others.status, others.error]).toEqual([
      403,
      "This key is shown its own usage only: leave 'key' out",
    ]);
    expect((await usageOf(weir, "", "wrong")).status).toBe(401);
    for (
      const [query, word] of [["by=x", "by"], ["since=2026-02-30", "since"], ["format=x", "format"]]
    ) {
      const { status, error } = await usageOf(weir, query);
      expect([status, error.startsWith(`${word} must be`)]).toEqual([400, true]);
    }
    const csv = await fetch(`${weir.url}/__weir/usage?by=model&format=csv`, {
      headers: { authorization: "Bearer root" },
    });
    const cost = (PROMPT + 2 * 4) / 1e6;
    expect(await csv.text()).toBe(
      "model,requests,estimated,tokens_in,tokens_cached,tokens_out,tokens_reasoning," +
        "unknown_tokens,cost_usd,unknown_costs\r\n" +
        `'=2+3,1,0,${PROMPT},0,4,0,0,${cost},0\r\nm,1,0,${PROMPT},0,4,0,0,unknown,1\r\n`,
    );
    const store = `store.url=sqlite://${weir.folder}/store.db`;
    const told = await run(["usage", "--by", "model", "--set", store]);
    expect(told.output).toMatch(
      /^model +requests +tokens_in +tokens_out +cost_usd +unknown_costs\n=2\+3 /,
    );
    expect(told.output).toMatch(/\nm +1 +\d+ +4 +unknown +1\ntotal +2 +\d+ +8 +0\.0000\d+ +1\n$/);
  });

  test("without any key, where store.usage is on", async () => {
    const weir = await launch({ set: { "store.usage": "on" } });
    running.push(() => weir.stop());
    const body = { model: "gpt-4o", messages: MESSAGES, stream: true };
    await (await post(weir, "/v1/chat/completions", body)).text();
    expect(await lineOf(weir, "gpt-4o")).toMatchObject({ requests: 1, estimated: 0 });
  });
});
