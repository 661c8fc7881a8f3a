import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { gzipSync } from "node:zlib";
import OpenAI from "openai";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { DONE, EVENT, gate, whole } from "./proxied.ts";
import { connect, parseRaw, rawChat, type RawClient, type RawResponse } from "./raw_client.ts";
import {
  type Act,
  act,
  chunk,
  headText,
  LAST_CHUNK,
  response,
  type Script,
  scriptedUpstream,
  type SeenRequest,
  sseHead,
} from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const ANSWER_MAX = 65_536;
const JSON_FIELDS = { "content-type": "application/json", "x-request-id": "req_of_upstream" };
const WHOLE = JSON.stringify({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1_700_000_000,
  model: "gpt-4o",
  choices: [{ index: 0, message: { role: "assistant", content: "水 🌊" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 8, completion_tokens: 4, total_tokens: 12 },
});
const STREAM = [
  'data: {"id":"chatcmpl-2","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n',
  ...Array.from({ length: 20 }, (_, i) => EVENT.replace("水", `水${i}`)),
  'data: {"id":"chatcmpl-2","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
  DONE,
];

/** What the upstream plays, by the model that is asked for. */
const scripts = new Map<string, Script>();
const upstream = scriptedUpstream((request) =>
  scripts.get(modelOf(request))?.(request) ?? [act.send(response(WHOLE, JSON_FIELDS))]
);
let weir: Weir;
let models = 0;

function modelOf({ body }: SeenRequest): string {
  return String(JSON.parse(body.toString()).model);
}

/** A model of its own for a test. `kind`: which route takes it. */
function model(kind = "kept"): string {
  return `${kind}-${models++}`;
}

/** How often the upstream was asked for it. */
function asked(model: string): number {
  return upstream.requests.filter((request) => modelOf(request) === model).length;
}

function body(model: string, more: object = {}): string {
  return JSON.stringify({ model, messages: [{ role: "user", content: "你好 🌊" }], ...more });
}

/** Asks, and leaves the connection open. */
function begin(body: string, fields: readonly string[] = [], path = "/v1/chat/completions") {
  const all = ["Connection: close", "Authorization: Bearer blue-key", ...fields];
  // The last of two counts.
  const request = rawChat(body, [...new Map(all.map((one) => [one.split(":")[0], one])).values()]);
  return connect(
    weir.port,
    Buffer.from(request.toString("latin1").replace("/v1/chat/completions", path), "latin1"),
  );
}

async function ask(...what: Parameters<typeof begin>): Promise<RawResponse> {
  return parseRaw(await (await begin(...what)).closed);
}

/** What the cache did for an answer. */
function result(answer: RawResponse): string | undefined {
  return field(answer, "x-weir-cache");
}

/** The value of a field, in lower case. */
function field({ head }: RawResponse, name: string): string | undefined {
  const line = head.split("\r\n").find((line) => line.startsWith(`${name}:`));
  return line?.slice(name.length + 1).trim();
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${weir.url}/metrics`, {
    headers: { authorization: "Bearer root" },
  })).text();
  const line = text.split("\n").find((line) => line.startsWith(`${name} `));
  return Number(line?.split(" ").at(-1));
}

beforeAll(async () => {
  weir = await launch({
    files: {
      "config.yaml": `server: {keepalive_ms: 0}
auth: {token: root}
keys:
  - {name: blue, token: blue-key, requests_per_day: 100000, tokens_per_day: 1000000000}
  - {name: red, token: red-key}
  - {name: few, token: few-key, requests_per_day: 2}
upstreams:
  - {name: one, base_url: "${upstream.url}/v1", retries: 0, resend: never, breaker_share: 0, api_key: sk-up}
  - {name: chat, base_url: "${upstream.url}/v1", retries: 0, breaker_share: 0, api_key: sk-up, speaks: [openai_chat]}
routes:
  - {match: {model: "kept*"}, to: [one], cache: {ttl_s: 3600}}
  - {match: {model: "short*"}, to: [one], cache: {ttl_s: 1}}
  - {match: {model: "all*"}, to: [one], cache: {scope: all, headers: [x-team], volatile: [trace]}}
  - {match: {model: "recorded*"}, to: [one], cache: {pace: recorded}}
  - {match: {model: "paced*"}, to: [one], cache: {pace: 100}}
  - {match: {model: "spoken*"}, to: [chat], cache: {}}
  - {match: {model: "slowly*"}, to: [chat], cache: {pace: 100}}
  - {to: [one]}
cache: {answer_max_bytes: ${ANSWER_MAX}, answers_max: 100}
`,
    },
  });
});
afterAll(async () => {
  await weir.stop();
  upstream.close();
});

describe("what is kept", () => {
  test("a whole answer is given again, its bytes and all of its head that is true for others", async () => {
    const name = model();
    const first = await ask(body(name));
    const again = await ask(body(name));
    expect([first.status, result(first), field(first, "age")]).toEqual([200, "miss", undefined]);
    expect(field(first, "x-request-id")).toBe("req_of_upstream");
    expect([again.status, result(again)]).toEqual([200, "hit"]);
    expect(again.body).toEqual(first.body);
    expect(again.body.toString()).toBe(WHOLE);
    expect(field(again, "content-type")).toBe("application/json");
    expect(Number(field(again, "age"))).toBeGreaterThanOrEqual(0);
    expect(field(again, "x-weir-upstream")).toBe("cache");
    expect(field(again, "x-request-id")).toMatch(/^req_[0-9a-f]{32}$/);
    expect(asked(name)).toBe(1);
  });

  test("a stream is given again, byte by byte", async () => {
    const name = model();
    scripts.set(name, () => whole(...STREAM));
    const first = await ask(body(name, { stream: true }));
    const again = await ask(body(name, { stream: true }));
    expect(first.body.toString()).toBe(STREAM.join(""));
    expect([result(again), again.isWhole]).toEqual(["hit", true]);
    expect(again.body).toEqual(first.body);
    expect(field(again, "content-type")).toBe("text/event-stream; charset=utf-8");
    expect(asked(name)).toBe(1);
  });

  const same: Readonly<Record<string, readonly [string, string]>> = {
    "the order of keys and blanks": [
      '{"model":"M","messages":[],"temperature":1.0,"stop":null}',
      '{ "stop":null, "temperature": 1, "messages":[ ], "model":"M"}\n',
    ],
    "escapes": ['{"model":"M","user":"a","x":"水"}', '{"model":"M","user":"b","x":"\\u6c34"}'],
    "who asks": [
      '{"model":"M","metadata":{"a":1},"safety_identifier":"x"}',
      '{"model":"M","prompt_cache_key":"k"}',
    ],
  };
  for (const [what, [one, other]] of Object.entries(same)) {
    test(`${what} make no other request`, async () => {
      const name = model();
      expect(result(await ask(one.replace("M", name)))).toBe("miss");
      expect(result(await ask(other.replace("M", name)))).toBe("hit");
    });
  }

  const different: Readonly<Record<string, readonly [string, string]>> = {
    "a stream and a whole answer": ['{"model":"M","stream":true}', '{"model":"M"}'],
    "stream_options": [
      '{"model":"M","stream":true}',
      '{"model":"M","stream":true,"stream_options":{"include_usage":true}}',
    ],
    "the order of a list": ['{"model":"M","stop":["a","b"]}', '{"model":"M","stop":["b","a"]}'],
    "numbers that no double holds": [
      '{"model":"M","seed":12345678901234567890}',
      '{"model":"M","seed":12345678901234567891}',
    ],
    "two fields of one name": ['{"model":"M","n":1,"n":2}', '{"model":"M","n":2}'],
    "a name deep down": ['{"model":"M","x":{"user":"a"}}', '{"model":"M","x":{"user":"b"}}'],
  };
  for (const [what, bodies] of Object.entries(different)) {
    test(`${what} make another request`, async () => {
      const name = model();
      scripts.set(
        name,
        ({ body }) =>
          body.includes('"stream":true')
            ? whole(...STREAM)
            : [act.send(response(WHOLE, JSON_FIELDS))],
      );
      for (const body of bodies) expect(result(await ask(body.replace("M", name)))).toBe("miss");
      for (const body of bodies) expect(result(await ask(body.replace("M", name)))).toBe("hit");
    });
  }

  test("headers that change the answer make another request, others do not", async () => {
    const name = model();
    expect(result(await ask(body(name), ["User-Agent: one"]))).toBe("miss");
    expect(result(await ask(body(name), ["User-Agent: two"]))).toBe("hit");
    expect(result(await ask(body(name), ["Anthropic-Beta: x"]))).toBe("miss");
    expect(result(await ask(body(name), ["Accept-Encoding: gzip, br"]))).toBe("miss");
    expect(result(await ask(body(name), ["Accept-Encoding: GZIP,br"]))).toBe("hit");
    const own = model("all");
    expect(result(await ask(body(own), ["X-Team: a"]))).toBe("miss");
    expect(result(await ask(body(own), ["X-Team: b"]))).toBe("miss");
    expect(result(await ask(body(own, { trace: 1 }), ["X-Team: b"]))).toBe("hit");
  });

  test("what an answer varies by is compared", async () => {
    const name = model();
    scripts.set(name, () => [act.send(response(WHOLE, { ...JSON_FIELDS, vary: "X-Mood" }))]);
    expect(result(await ask(body(name), ["X-Mood: calm"]))).toBe("miss");
    expect(result(await ask(body(name), ["X-Mood: calm"]))).toBe("hit");
    expect(result(await ask(body(name), ["X-Mood: wild"]))).toBe("miss");
    const packed = model();
    scripts.set(packed, () => [
      act.send(response(WHOLE, { ...JSON_FIELDS, vary: "Accept-Encoding" })),
    ]);
    expect(result(await ask(body(packed), ["Accept-Encoding: gzip, br"]))).toBe("miss");
    expect(result(await ask(body(packed), ["Accept-Encoding: gzip,br"]))).toBe("hit");
  });

  test("each key has its own answers, unless all share them", async () => {
    const red = ["Authorization: Bearer red-key"];
    const [own, shared] = [model(), model("all")];
    expect(result(await ask(body(own)))).toBe("miss");
    expect(result(await ask(body(own), red))).toBe("miss");
    expect(result(await ask(body(own), red))).toBe("hit");
    expect(result(await ask(body(shared)))).toBe("miss");
    expect(result(await ask(body(shared), red))).toBe("hit");
  });

  test("a compressed answer is kept as it is", async () => {
    const name = model();
    const packed = gzipSync(WHOLE);
    scripts.set(name, () => [
      act.send(response(packed, { ...JSON_FIELDS, "content-encoding": "gzip" })),
    ]);
    const fields = ["Accept-Encoding: gzip"];
    await ask(body(name), fields);
    const again = await ask(body(name), fields);
    expect([result(again), field(again, "content-encoding")]).toEqual(["hit", "gzip"]);
    expect(again.body).toEqual(packed);
    expect(result(await ask(body(name)))).toBe("miss");
  });

  test("a compressed stream is, too, and not half of one", async () => {
    const name = model();
    const packed = gzipSync(STREAM.join(""));
    const head = { "content-encoding": "gzip" };
    let isCut = true;
    scripts.set(name, () => [
      act.send(sseHead(head)),
      act.send(chunk(isCut ? packed.subarray(0, packed.length - 30) : packed)),
      act.send(LAST_CHUNK),
    ]);
    const fields = ["Accept-Encoding: gzip"];
    await ask(body(name, { stream: true }), fields);
    isCut = false;
    expect(result(await ask(body(name, { stream: true }), fields))).toBe("miss");
    const again = await ask(body(name, { stream: true }), fields);
    expect(result(again)).toBe("hit");
    expect(again.body).toEqual(packed);
  });

  const paths: Readonly<Record<string, readonly [string, object, string]>> = {
    "embeddings": ["/v1/embeddings", { input: "x" }, '{"object":"list","data":[]}'],
    "moderations": ["/v1/moderations", { input: "x" }, '{"id":"modr-1","results":[]}'],
    "completions": ["/v1/completions", { prompt: "x" }, '{"id":"cmpl-1","choices":[]}'],
    "a response that is kept nowhere": [
      "/v1/responses",
      { input: "x", store: false },
      '{"id":"resp_1","status":"completed","output":[]}',
    ],
    "a message": ["/v1/messages", { max_tokens: 1 }, '{"id":"msg_1","type":"message"}'],
  };
  for (const [what, [path, more, answer]] of Object.entries(paths)) {
    test(`${what}`, async () => {
      const name = model();
      scripts.set(name, () => [act.send(response(answer, JSON_FIELDS))]);
      expect(result(await ask(body(name, more), [], path))).toBe("miss");
      const again = await ask(body(name, more), [], path);
      expect([result(again), again.body.toString()]).toEqual(["hit", answer]);
      expect(asked(name)).toBe(1);
    });
  }

  test("streams of the other dialects end in their own way", async () => {
    const events: Readonly<Record<string, readonly [object, readonly string[]]>> = {
      "/v1/responses": [{ store: false, input: "x" }, [
        'event: response.created\ndata: {"type":"response.created"}\n\n',
        'event: response.completed\ndata: {"type":"response.completed"}\n\n',
      ]],
      "/v1/messages": [{ max_tokens: 1 }, [
        'event: message_start\ndata: {"type":"message_start"}\n\n',
        'event: message_stop\ndata: {"type":"message_stop"}\n\n',
      ]],
    };
    for (const [path, [more, told]] of Object.entries(events)) {
      const name = model();
      scripts.set(name, () => whole(...told));
      const asking = body(name, { ...more, stream: true });
      expect(result(await ask(asking, [], path))).toBe("miss");
      const again = await ask(asking, [], path);
      expect([result(again), again.body.toString()]).toEqual(["hit", told.join("")]);
    }
  });
});

describe("what is not", () => {
  const REFUSAL = '{"error":{"message":"no","type":"x","param":null,"code":null}}';
  const answers: Readonly<Record<string, readonly Act[]>> = {
    "a refusal": [act.send(response(REFUSAL, JSON_FIELDS, "400 Bad Request"))],
    "a failure": [act.send(response(REFUSAL, JSON_FIELDS, "503 Busy"))],
    "another success": [act.send(response(WHOLE, JSON_FIELDS, "201 Created"))],
    "an error that says it is none": [act.send(response(REFUSAL, JSON_FIELDS))],
    "what is not to be kept": [
      act.send(response(WHOLE, { ...JSON_FIELDS, "cache-control": "private, No-Store" })),
    ],
    "what varies by anything": [act.send(response(WHOLE, { ...JSON_FIELDS, vary: "*" }))],
    "no JSON": [act.send(response("<html>", { "content-type": "text/html" }))],
    "half of some JSON": [act.send(response(WHOLE.slice(0, 50), JSON_FIELDS))],
    "what ends with its connection": [
      act.send(headText("200 OK", { ...JSON_FIELDS, connection: "close" })),
      act.send(WHOLE),
      act.end,
    ],
    "what is too large": [
      act.send(response(JSON.stringify({ a: "x".repeat(ANSWER_MAX) }), JSON_FIELDS)),
    ],
    "a stream without its end": whole(...STREAM.slice(0, -1)),
    "a stream that breaks off": [
      act.send(sseHead()),
      act.send(chunk(EVENT)),
      act.reset,
    ],
    "a stream with an error in it": whole(EVENT, `data: ${REFUSAL}\n\n`, DONE),
    "a stream that is too large": whole(
      EVENT,
      `data: {"choices":[{"delta":{"content":"${"x".repeat(ANSWER_MAX)}"}}]}\n\n`,
      DONE,
    ),
  };
  for (const [what, acts] of Object.entries(answers)) {
    test(what, async () => {
      const name = model();
      scripts.set(name, () => acts);
      const asking = body(name, what.includes("stream") ? { stream: true } : {});
      const first = await ask(asking);
      expect(result(first)).toBe("miss");
      const again = await ask(asking);
      expect(result(again)).toBe("miss");
      // Where weir says an error itself, it has an id of its own.
      if (!what.includes("breaks off")) expect(again.body).toEqual(first.body);
      expect(asked(name)).toBe(2);
    });
  }

  const requests: Readonly<Record<string, readonly [object, string?]>> = {
    "a completion that is stored": [{ store: true }],
    "a response that is stored, as they are": [{ input: "x" }, "/v1/responses"],
    "a response in a conversation": [
      { input: "x", store: false, conversation: "conv_1" },
      "/v1/responses",
    ],
    "a response with tools of its upstream": [
      { input: "x", store: false, tools: [{ type: "code_interpreter" }] },
      "/v1/responses",
    ],
    "a message in a container": [{ container: "c" }, "/v1/messages"],
    "speech": [{ input: "x" }, "/v1/audio/speech"],
    "a large question": [{ x: "x".repeat(1_048_576) }],
  };
  for (const [what, [more, path = "/v1/chat/completions"]] of Object.entries(requests)) {
    test(what, async () => {
      const name = model();
      const free = ["Authorization: Bearer red-key"];
      for (const _ of [1, 2]) {
        expect(result(await ask(body(name, more), free, path))).toBe("bypass");
      }
      expect(asked(name)).toBe(2);
    });
  }

  test("a route without a cache says nothing of one", async () => {
    const answer = await ask(body(model("other")));
    expect([result(answer), answer.status]).toEqual([undefined, 200]);
  });
});

describe("what a client wants with cache-control", () => {
  const control = (text: string) => [`Cache-Control: ${text}`];

  test("no-store: nothing is read or kept", async () => {
    const name = model();
    expect(result(await ask(body(name), control("no-store")))).toBe("bypass");
    expect(result(await ask(body(name)))).toBe("miss");
    expect(result(await ask(body(name), control("max-age=5, NO-STORE")))).toBe("bypass");
    expect(asked(name)).toBe(3);
  });

  test("no-cache: a new answer takes the place of the old one", async () => {
    const name = model();
    const told = ['{"id":"old","choices":[]}', '{"id":"new","choices":[]}'];
    scripts.set(name, () => [act.send(response(told[asked(name) - 1]!, JSON_FIELDS))]);
    expect((await ask(body(name))).body.toString()).toBe(told[0]!);
    const fresh = await ask(body(name), control("no-cache"));
    expect([result(fresh), fresh.body.toString()]).toEqual(["miss", told[1]!]);
    const again = await ask(body(name));
    expect([result(again), again.body.toString()]).toEqual(["hit", told[1]!]);
  });

  test("max-age and min-fresh", async () => {
    const name = model();
    await ask(body(name));
    expect(result(await ask(body(name), control("max-age=600")))).toBe("hit");
    expect(result(await ask(body(name), control("min-fresh=60")))).toBe("hit");
    expect(result(await ask(body(name), control("min-fresh=3601")))).toBe("miss");
    expect(result(await ask(body(name), control("max-age=odd")))).not.toBe("bypass");
  });

  test("only-if-cached: nobody else is asked", async () => {
    const name = model();
    const missing = await ask(body(name), control("only-if-cached"));
    expect(missing.status).toBe(504);
    expect(JSON.parse(missing.body.toString()).error.code).toBe("cache_missing");
    expect(field(missing, "x-should-retry")).toBe("false");
    expect(asked(name)).toBe(0);
    await ask(body(name));
    expect(result(await ask(body(name), control("only-if-cached")))).toBe("hit");
  });
});

describe("many at once", () => {
  const MANY = 200;

  for (const isStream of [true, false]) {
    test(`${MANY} equal requests are one to the upstream: ${isStream ? "streams" : "whole answers"}`, async () => {
      const name = model();
      const half = gate();
      scripts.set(name, () =>
        isStream
          ? [
            act.send(sseHead()),
            ...STREAM.slice(0, 5).map((text) => act.send(chunk(text))),
            act.wait(half.opened),
            ...STREAM.slice(5).map((text) => act.send(chunk(text))),
            act.send(LAST_CHUNK),
          ]
          : [act.wait(half.opened), act.send(response(WHOLE, JSON_FIELDS))]);
      const clients = await Promise.all(
        Array.from({ length: MANY }, () => begin(body(name, { stream: isStream }))),
      );
      if (isStream) await Promise.all(clients.map((client) => client.until(STREAM[4]!.slice(-30))));
      else await waitFor(async () => await metric("weir_streams_open") >= MANY);
      half.open();
      const answers = await Promise.all(clients.map(async ({ closed }) => parseRaw(await closed)));
      expect(asked(name)).toBe(1);
      const wanted = isStream ? STREAM.join("") : WHOLE;
      for (const { status, body, isWhole } of answers) {
        expect([status, body.toString(), isWhole]).toEqual([200, wanted, true]);
      }
      const results = Map.groupBy(answers, (answer) => result(answer));
      expect(results.get("miss")?.length).toBe(1);
      expect(results.get("joined")?.length).toBe(MANY - 1);
      const joined = results.get("joined")!;
      expect(new Set(joined.map((answer) => field(answer, "x-weir-attempts")))).toEqual(
        new Set(["0"]),
      );
    });
  }

  /** A stream that says one event and waits. */
  function waiting() {
    const name = model();
    const rest = gate();
    const acts = [
      act.send(sseHead()),
      act.send(chunk(EVENT)),
      act.wait(rest.opened),
      act.send(chunk(DONE)),
      act.send(LAST_CHUNK),
    ];
    scripts.set(name, () => acts);
    return { name, rest, asking: body(name, { stream: true }) };
  }

  /** Clients who have its first event. */
  async function clients(asking: string, count: number): Promise<readonly RawClient[]> {
    const all: RawClient[] = [];
    for (let i = 0; i < count; i++) {
      const client = await begin(asking);
      await client.until("delta");
      all.push(client);
    }
    return all;
  }

  test("who asked first leaves, and the others get all of it", async () => {
    const { name, rest, asking } = waiting();
    const [first, ...others] = await clients(asking, 4);
    first!.leave();
    await first!.closed;
    await waitFor(async () => await metric("weir_streams_open") === 3);
    rest.open();
    for (const { closed } of others) {
      const { body, isWhole } = parseRaw(await closed);
      expect([body.toString(), isWhole]).toEqual([EVENT + DONE, true]);
    }
    expect(asked(name)).toBe(1);
    expect(result(await ask(asking))).toBe("hit");
  });

  test("who asked first leaves before the upstream has said anything", async () => {
    const name = model();
    const head = gate();
    scripts.set(name, () => [act.wait(head.opened), act.send(response(WHOLE, JSON_FIELDS))]);
    const first = await begin(body(name));
    await waitFor(() => asked(name) === 1);
    const other = await begin(body(name));
    await waitFor(async () => await metric("weir_streams_open") === 2);
    first.leave();
    await waitFor(async () => await metric("weir_streams_open") === 1);
    head.open();
    expect(parseRaw(await other.closed).body.toString()).toBe(WHOLE);
    expect(asked(name)).toBe(1);
  });

  for (const when of ["before", "behind"]) {
    test(`all leave ${when} the first byte, and the upstream is left`, async () => {
      const name = model();
      scripts.set(
        name,
        () =>
          when === "before"
            ? [act.stall]
            : [act.send(sseHead()), act.send(chunk(EVENT)), act.stall],
      );
      const { aborted } = upstream;
      const all = await Promise.all([1, 2, 3].map(() => begin(body(name, { stream: true }))));
      await waitFor(async () => await metric("weir_streams_open") === 3);
      await waitFor(() => asked(name) === 1);
      if (when === "behind") await Promise.all(all.map((client) => client.until("delta")));
      all[0]!.leave();
      all[1]!.leave();
      await waitFor(async () => await metric("weir_streams_open") === 1);
      expect(upstream.aborted).toBe(aborted);
      all[2]!.leave();
      await waitFor(() => upstream.aborted === aborted + 1);
      scripts.set(name, () => whole(...STREAM));
      expect(result(await ask(body(name, { stream: true })))).toBe("miss");
    });
  }

  test("an answer that breaks off does for all, and is not kept", async () => {
    const name = model();
    const rest = gate();
    scripts.set(name, () => [
      act.send(sseHead()),
      act.send(chunk(EVENT)),
      act.wait(rest.opened),
      act.reset,
    ]);
    const all = await clients(body(name, { stream: true }), 3);
    rest.open();
    for (const { closed } of all) {
      const text = parseRaw(await closed).body.toString();
      expect(text.startsWith(EVENT)).toBeTrue();
      expect(text).toContain('"error"');
      expect(text).not.toContain("[DONE]");
    }
    expect(asked(name)).toBe(1);
    scripts.set(name, () => whole(...STREAM));
    expect(result(await ask(body(name, { stream: true })))).toBe("miss");
  });

  test("a failure is asked for once more, for all others; a refusal is not", async () => {
    for (const [status, count] of [["503 Busy", 2], ["400 Bad Request", 1]] as const) {
      const name = model();
      const head = gate();
      const refusal = '{"error":{"message":"no"}}';
      scripts.set(name, () => [
        act.wait(head.opened),
        act.send(response(refusal, JSON_FIELDS, status)),
      ]);
      const all = await Promise.all([1, 2, 3, 4, 5].map(() => begin(body(name))));
      await waitFor(async () => await metric("weir_streams_open") === 5);
      head.open();
      for (const { closed } of all) {
        const answer = parseRaw(await closed);
        expect([answer.status, answer.body.toString()]).toEqual([
          Number(status.slice(0, 3)),
          refusal,
        ]);
      }
      expect(asked(name)).toBe(count);
    }
  });

  test("a failure that passes is one's only", async () => {
    const name = model();
    const head = gate();
    scripts.set(
      name,
      () =>
        asked(name) === 1
          ? [act.wait(head.opened), act.reset]
          : [act.send(response(WHOLE, JSON_FIELDS))],
    );
    const all = await Promise.all([1, 2, 3, 4, 5].map(() => begin(body(name))));
    await waitFor(async () => await metric("weir_streams_open") === 5);
    head.open();
    const statuses = await Promise.all(
      all.map(async ({ closed }) => parseRaw(await closed).status),
    );
    expect(statuses.toSorted()).toEqual([200, 200, 200, 200, 502]);
    expect(asked(name)).toBe(2);
  });

  test("what is for one alone is asked for by each", async () => {
    const name = model();
    const head = gate();
    const fields = { ...JSON_FIELDS, "cache-control": "no-store" };
    scripts.set(name, () => [act.wait(head.opened), act.send(response(WHOLE, fields))]);
    const all = await Promise.all([1, 2, 3].map(() => begin(body(name))));
    await waitFor(async () => await metric("weir_streams_open") === 3);
    head.open();
    const answers = await Promise.all(all.map(async ({ closed }) => parseRaw(await closed)));
    expect(answers.map(result).toSorted()).toEqual(["bypass", "bypass", "miss"]);
    expect(asked(name)).toBe(3);
  });

  test("what is too large goes on to all who are there, also to one that waits", async () => {
    const name = model();
    const rest = gate();
    const large = EVENT.replace("水", "x".repeat(200_000));
    scripts.set(name, () => [
      act.send(sseHead()),
      act.send(chunk(EVENT)),
      act.wait(rest.opened),
      ...Array.from({ length: 10 }, () => act.send(chunk(large))),
      act.send(chunk(DONE)),
      act.send(LAST_CHUNK),
    ]);
    const asking = body(name, { stream: true });
    const [slow, ...others] = await clients(asking, 3);
    slow!.pause();
    rest.open();
    const wanted = EVENT + large.repeat(10) + DONE;
    for (const { closed } of others) {
      expect(parseRaw(await closed).body.toString() === wanted).toBeTrue();
    }
    slow!.resume();
    expect(parseRaw(await slow!.closed).body.toString() === wanted).toBeTrue();
    expect(asked(name)).toBe(1);
    expect(result(await ask(asking))).toBe("miss");
  });
});

describe("what is said again in another dialect", () => {
  const PATH = "/v1/messages";

  function message(name: string, isStream: boolean): string {
    return body(name, { max_tokens: 100, stream: isStream });
  }

  /** What an answer says, without the id that each has of its own. */
  function saidIn({ body }: RawResponse): string {
    return body.toString().replace(/msg_\w+/g, "msg_1");
  }

  for (const isStream of [true, false]) {
    test(isStream ? "streams" : "whole answers", async () => {
      const name = model("spoken");
      scripts.set(name, () => whole(...STREAM));
      const first = await ask(message(name, isStream), [], PATH);
      const again = await ask(message(name, isStream), [], PATH);
      expect([result(first), result(again), again.status]).toEqual(["miss", "hit", 200]);
      expect(saidIn(again)).toBe(saidIn(first));
      expect(saidIn(again)).toContain("水19 🌊");
      expect(again.body).not.toEqual(first.body);
      expect(asked(name)).toBe(1);
    });
  }

  test("at a pace", async () => {
    const name = model("slowly");
    scripts.set(name, () => whole(...STREAM));
    const first = await ask(message(name, true), [], PATH);
    const begunMs = performance.now();
    const again = await ask(message(name, true), [], PATH);
    expect(performance.now() - begunMs).toBeGreaterThan(19 * 10 - 5);
    expect([result(again), saidIn(again)]).toEqual(["hit", saidIn(first)]);
  });

  test("many ask at once, who asked first leaves, and the rest get all", async () => {
    const name = model("spoken");
    const rest = gate();
    scripts.set(name, () => [
      act.send(sseHead()),
      act.send(chunk(STREAM[1]!)),
      act.wait(rest.opened),
      ...STREAM.slice(2).map((text) => act.send(chunk(text))),
      act.send(LAST_CHUNK),
    ]);
    const all = await Promise.all(
      Array.from({ length: 50 }, () => begin(message(name, true), [], PATH)),
    );
    await Promise.all(all.map((client) => client.until("text_delta")));
    all[0]!.leave();
    await waitFor(async () => await metric("weir_streams_open") === 49);
    rest.open();
    const answers = await Promise.all(
      all.slice(1).map(async ({ closed }) => parseRaw(await closed)),
    );
    for (const answer of answers) {
      expect(answer.isWhole).toBeTrue();
      expect(saidIn(answer)).toBe(saidIn(answers[0]!));
      expect(saidIn(answer)).toContain("message_stop");
    }
    expect(asked(name)).toBe(1);
  });

  test("all leave, and the upstream is left", async () => {
    const name = model("spoken");
    scripts.set(name, () => [act.send(sseHead()), act.send(chunk(STREAM[1]!)), act.stall]);
    const { aborted } = upstream;
    const all = await Promise.all([1, 2].map(() => begin(message(name, true), [], PATH)));
    await Promise.all(all.map((client) => client.until("text_delta")));
    for (const client of all) client.leave();
    await waitFor(() => upstream.aborted === aborted + 1);
  });

  test("what breaks off does for all, and is not kept; neither is what is not to be", async () => {
    const name = model("spoken");
    scripts.set(name, () => [act.send(sseHead()), act.send(chunk(STREAM[1]!)), act.reset]);
    const broken = await ask(message(name, true), [], PATH);
    expect(broken.body.toString()).toContain("event: error");
    scripts.set(name, () => [
      act.send(sseHead({ "cache-control": "no-store" })),
      ...STREAM.map((text) => act.send(chunk(text))),
      act.send(LAST_CHUNK),
    ]);
    for (const _ of [1, 2]) {
      expect(result(await ask(message(name, true), [], PATH))).toBe("miss");
    }
    expect(asked(name)).toBe(3);
  });
});

describe("pace", () => {
  test("recorded: pieces come as they came, the first one at once", async () => {
    const name = model("recorded");
    const rest = gate();
    scripts.set(name, () => [
      act.send(sseHead()),
      act.send(chunk(EVENT)),
      act.wait(rest.opened),
      act.send(chunk(DONE)),
      act.send(LAST_CHUNK),
    ]);
    const first = await begin(body(name, { stream: true }));
    await first.until("delta");
    await Bun.sleep(300);
    rest.open();
    await first.closed;
    const begunMs = performance.now();
    const again = await ask(body(name, { stream: true }));
    expect(performance.now() - begunMs).toBeGreaterThan(250);
    expect([result(again), again.body.toString()]).toEqual(["hit", EVENT + DONE]);
  });

  test("so many events a second", async () => {
    const name = model("paced");
    scripts.set(name, () => whole(STREAM.join("")));
    await ask(body(name, { stream: true }));
    const begunMs = performance.now();
    const again = await ask(body(name, { stream: true }));
    expect(performance.now() - begunMs).toBeGreaterThan((STREAM.length - 1) * 10 - 5);
    expect([result(again), again.body.toString()]).toEqual(["hit", STREAM.join("")]);
  });
});

describe("what it costs", () => {
  /** What keys have used so far. */
  async function usage(key: string): Promise<{ requests: number; tokens: number }> {
    const { usage } = await (await fetch(`${weir.url}/__weir/usage?by=key`, {
      headers: { authorization: "Bearer root" },
    })).json() as {
      usage: { key: string; requests: number; tokens_in: number; tokens_out: number }[];
    };
    const row = usage.find((row) => row.key === key);
    return { requests: row?.requests ?? 0, tokens: (row?.tokens_in ?? 0) + (row?.tokens_out ?? 0) };
  }

  test("an answer is paid once, by whoever asked first and is still there", async () => {
    const red = ["Authorization: Bearer red-key"];
    const name = model("all");
    const rest = gate();
    scripts.set(name, () => [
      act.send(sseHead()),
      act.send(chunk(EVENT)),
      act.wait(rest.opened),
      act.send(chunk('data: {"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":4}}\n\n')),
      act.send(chunk(DONE)),
      act.send(LAST_CHUNK),
    ]);
    const before = { blue: await usage("blue"), red: await usage("red") };
    const asking = body(name, { stream: true });
    const first = await begin(asking);
    await first.until("delta");
    const second = await begin(asking, red);
    await second.until("delta");
    first.leave();
    await waitFor(async () => await metric("weir_streams_open") === 1);
    rest.open();
    await second.closed;
    expect(result(await ask(asking))).toBe("hit");
    await waitFor(async () => (await usage("red")).requests === before.red.requests + 1);
    expect((await usage("red")).tokens).toBe(before.red.tokens + 12);
    expect((await usage("blue")).tokens).toBe(before.blue.tokens);
  });

  test("a hit takes its part of the requests that a key may make", async () => {
    const few = ["Authorization: Bearer few-key"];
    const name = model();
    expect(result(await ask(body(name), few))).toBe("miss");
    expect(result(await ask(body(name), few))).toBe("hit");
    expect((await ask(body(name), few)).status).toBe(429);
  });
});

describe("how long and how much", () => {
  test("an answer lives for ttl_s", async () => {
    const name = model("short");
    expect(result(await ask(body(name)))).toBe("miss");
    await waitFor(async () => result(await ask(body(name))) === "miss");
    expect(asked(name)).toBe(2);
  });

  test("no more answers are kept than may be", async () => {
    const names = Array.from({ length: 120 }, () => model());
    for (const name of names) await ask(body(name));
    expect(await metric("weir_cache_entries")).toBe(100);
    expect(result(await ask(body(names.at(-1)!)))).toBe("hit");
    expect(result(await ask(body(names[0]!)))).toBe("miss");
    expect(await metric("weir_cache_bytes")).toBeGreaterThan(100 * WHOLE.length);
  });
});

describe("beside other parts", () => {
  let drained: Weir;
  beforeAll(async () => {
    drained = await launch({
      files: {
        "config.yaml": `server: {keepalive_ms: 0}
chat: {on_disconnect: drain}
faults: {header: true}
ops: {log: requests, log_prompts: true}
upstreams:
  - {name: one, base_url: "${upstream.url}/v1", retries: 0, breaker_share: 0, api_key: sk-up, concurrency_max: 1}
routes: [{to: [one], cache: {}}]
`,
      },
    });
  });
  afterAll(() => drained.stop());

  const open = (asking: string, fields: readonly string[] = []) =>
    connect(drained.port, rawChat(asking, ["Connection: close", ...fields]));
  const read = async (...what: Parameters<typeof open>) =>
    parseRaw(await (await open(...what)).closed);

  test("an answer that is finished without its client is kept", async () => {
    const name = model();
    const rest = gate();
    scripts.set(name, () => [
      act.send(sseHead()),
      act.send(chunk(EVENT)),
      act.wait(rest.opened),
      act.send(chunk(DONE)),
      act.send(LAST_CHUNK),
    ]);
    const asking = body(name, { stream: true });
    const client = await open(asking);
    await client.until("delta");
    client.leave();
    const other = await open(asking);
    await other.until("delta");
    rest.open();
    expect(parseRaw(await other.closed).body.toString()).toBe(EVENT + DONE);
    expect(result(await read(asking))).toBe("hit");
    expect(asked(name)).toBe(1);
  });

  test("a fault is one's own: what is kept is whole", async () => {
    const name = model();
    scripts.set(name, () => whole(...STREAM));
    const asking = body(name, { stream: true });
    const fault = ["x-weir-fault: cut@event=3"];
    const before = await read(asking, fault);
    expect(before.isWhole).toBeFalse();
    const answer = await read(asking);
    expect([answer.isWhole, answer.body.toString()]).toEqual([true, STREAM.join("")]);
    const hit = await read(asking, fault);
    expect([result(hit), hit.isWhole]).toEqual(["hit", false]);
    expect(hit.body.toString()).toBe(STREAM.slice(0, 3).join(""));
    expect((await read(asking)).body.toString()).toBe(STREAM.join(""));
  });

  test("a place at the upstream is free when the answer is over, and not when one leaves", async () => {
    const name = model();
    const rest = gate();
    scripts.set(name, () => [act.wait(rest.opened), act.send(response(WHOLE, JSON_FIELDS))]);
    const waiting = model();
    const [first, other] = [await open(body(name)), await open(body(name))];
    await waitFor(() => asked(name) === 1);
    first.leave();
    const next = await open(body(waiting));
    await waitFor(async () => Number((await drained.health())["streams_open"]) === 3);
    expect(asked(waiting)).toBe(0);
    rest.open();
    expect(parseRaw(await other.closed).body.toString()).toBe(WHOLE);
    expect(parseRaw(await next.closed).status).toBe(200);
    expect(asked(waiting)).toBe(1);
  });

  test("lines of the log say what was asked, and what the cache did", async () => {
    const name = model();
    for (const _ of [1, 2]) await read(body(name));
    const lines = await waitFor(() => {
      const all = drained.errors().concat(drained.output()).split("\n")
        .filter((line) => line.startsWith("{") && line.includes(`"model":"${name}"`));
      return all.length === 2 && all.map((line) => JSON.parse(line));
    });
    expect(lines.map(({ cache, prompt, source }) => [cache, prompt, source])).toEqual([
      ["miss", "你好 🌊", "proxy"],
      ["hit", "你好 🌊", "cache"],
    ]);
  });
});

test("OpenAI's own client has its answers out of it", async () => {
  const [one, other] = [model(), model()];
  scripts.set(other, () => whole(...STREAM));
  const client = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "blue-key", maxRetries: 0 });
  const messages = [{ role: "user" as const, content: "hi" }];
  for (const wanted of ["miss", "hit"]) {
    const { data, response } = await client.chat.completions.create({ model: one, messages })
      .withResponse();
    expect(data.choices[0]!.message.content).toBe("水 🌊");
    expect(response.headers.get("x-weir-cache")).toBe(wanted);
    const { data: stream, response: streamed } = await client.chat.completions
      .create({ model: other, messages, stream: true }).withResponse();
    let text = "";
    for await (const { choices } of stream) text += choices[0]?.delta.content ?? "";
    expect(streamed.headers.get("x-weir-cache")).toBe(wanted);
    expect(text).toBe(Array.from({ length: 20 }, (_, i) => `水${i} 🌊`).join(""));
  }
});

test("logs, metrics and the journal tell", async () => {
  const before = await metric('weir_cache_requests_total{result="hit"}');
  const name = model();
  await ask(body(name));
  await ask(body(name));
  expect(await metric('weir_cache_requests_total{result="hit"}')).toBe(before + 1);
  const noted = await fetch(`${weir.url}/__weir/requests?model=${name}`, {
    headers: { authorization: "Bearer root" },
  });
  const { requests } = await noted.json() as {
    requests: readonly { readonly cache: string; readonly source: string }[];
  };
  expect(requests.map(({ cache, source }) => [cache, source]).toSorted()).toEqual([
    ["hit", "cache"],
    ["miss", "proxy"],
  ]);
});
