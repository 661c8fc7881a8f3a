/**
 * Tapes in the place of an upstream, through real sockets: every way an exchange ends, modes, routes,
 * clients of other dialects, several workers, and a folder that takes nothing.
 */

import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { bodyOfTape, readTape, type Tape } from "../../src/sources/tape/format.ts";
import {
  launch,
  type LaunchOptions,
  makeFolder,
  TEST_MS_MAX,
  waitFor,
  type Weir,
} from "./launch.ts";
import { CHAT, DONE, EVENT } from "./proxied.ts";
import { connect, exchange, parseRaw, rawChat, type RawResponse } from "./raw_client.ts";
import {
  type Act,
  act,
  chunk,
  LAST_CHUNK,
  response,
  type Script,
  type ScriptedUpstream,
  scriptedUpstream,
  sseHead,
} from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const KEY = "sk-of-weir-itself-0123";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

function upstreamOf(script: Script): ScriptedUpstream {
  const upstream = scriptedUpstream(script);
  open.push(() => upstream.close());
  return upstream;
}

async function weirWith(
  set: LaunchOptions["set"],
  files: LaunchOptions["files"] = {},
): Promise<Weir> {
  const weir = await launch({
    set: { "server.keepalive_ms": 0, "ops.log": "errors", ...set },
    files,
  });
  open.push(() => weir.stop());
  return weir;
}

const recorder = (folder: string, url: string, more: LaunchOptions["set"] = {}) =>
  weirWith({
    "llm.base_url": `${url}/v1`,
    "llm.api_key": KEY,
    "llm.retries": 0,
    "tape.folder": folder,
    "tape.mode": "record",
    ...more,
  });

const player = (folder: string, more: LaunchOptions["set"] = {}) =>
  weirWith({
    "tape.folder": folder,
    "tape.mode": "strict",
    "tape.speed": 0,
    "llm.retries": 0,
    ...more,
  });

const ask = (port: number, body: string = CHAT, fields: readonly string[] = []) =>
  exchange(port, rawChat(body, ["Connection: close", ...fields]));

function asking(text: string, more: object = {}): string {
  return JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: text }], ...more });
}

async function tapesIn(folder: string, count: number): Promise<readonly Tape[]> {
  const names = await waitFor(() => {
    const names = existsSync(folder)
      ? readdirSync(folder).filter((name) => name.endsWith(".tape.jsonl")).sort()
      : [];
    return names.length >= count && names;
  }, `${count} tapes`);
  for (const name of names) expect(readFileSync(join(folder, name), "utf8")).not.toContain(KEY);
  return names.map((name) => readTape(readFileSync(join(folder, name))));
}

async function metric(weir: Weir, name: string): Promise<number> {
  const text = await (await fetch(`${weir.url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1]);
}

async function sources(weir: Weir) {
  const { requests } = await (await fetch(`${weir.url}/__weir/requests`)).json() as {
    requests: { source: string; tape: string | null }[];
  };
  return requests.map(({ source, tape }) => [source, tape]);
}

/** Of a response what does not belong to its connection, or to whether weir has a key to guard. */
function compared({ status, head, body, isWhole }: RawResponse) {
  const lines = head.split("\r\n").slice(1)
    .filter((line) =>
      !/^(?:date|connection|transfer-encoding|content-length|vary|access-control-allow-origin):/
        .test(line)
    );
  return { status, lines, body: body.toString("latin1"), isWhole };
}

const USAGE = `data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n`;

describe("what is recorded is replayed without an upstream", () => {
  const CASES:
    readonly (readonly [what: string, acts: readonly Act[], how: Tape["ending"]["how"]])[] = [
      [
        "a whole answer",
        [act.send(response('{"水":1}', { "x-ratelimit-remaining-tokens": "7" }))],
        "whole",
      ],
      [
        "a refusal",
        [act.send(response('{"error":{}}', { "retry-after": "9" }, "429 Too Many"))],
        "whole",
      ],
      [
        "a stream with odd borders",
        [
          act.send(sseHead({ "x-request-id": "req_1" })),
          ...[...Buffer.from(EVENT)].map((byte) => act.send(chunk(Uint8Array.of(byte)))),
          act.send(chunk(USAGE + DONE)),
          act.send(LAST_CHUNK),
        ],
        "whole",
      ],
      [
        "an answer that ends with its connection",
        [
          act.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + EVENT + DONE),
          act.end,
        ],
        "whole",
      ],
      [
        "one that breaks off",
        [act.send(sseHead()), act.send(chunk(EVENT)), act.end],
        "upstream_broke",
      ],
      ["a reset", [act.send(sseHead()), act.send(chunk(EVENT)), act.reset], "upstream_broke"],
      [
        "one that is silent for too long",
        [act.send(sseHead()), act.send(chunk(EVENT)), act.stall],
        "timed_out",
      ],
      ["no head in time", [act.stall], "timed_out"],
      ["no head, but a reset", [act.reset], "unreachable"],
      ["no HTTP", [act.send("what is that\r\n\r\n")], "upstream_broke"],
      ["no body", [act.send("HTTP/1.1 204 No Content\r\n\r\n")], "whole"],
    ];
  for (const [what, acts, how] of CASES) {
    test(what, async () => {
      const upstream = upstreamOf(() => acts);
      const folder = join(makeFolder(), "new", "tapes");
      const limits: LaunchOptions["set"] = acts.at(-1) === act.stall
        ? { "llm.idle_timeout_ms": 300, "llm.headers_timeout_ms": 300 }
        : {};
      const first = await ask((await recorder(folder, upstream.url, limits)).port);
      const [tape] = await tapesIn(folder, 1);
      expect(tape!.ending.how).toBe(how);
      for (const speed of [0, 1]) {
        const weir = await player(folder, { "tape.speed": speed });
        const again = await ask(weir.port);
        const own = /^x-request-id:/;
        const same = compared(first);
        if (tape!.response === undefined || what.startsWith("no ")) {
          // Where weir answers by itself, each answer has an id of its own.
          const rest = (one: ReturnType<typeof compared>) =>
            one.lines.filter((line) => !own.test(line));
          expect([rest(compared(again)), again.status, again.body.toString()])
            .toEqual([rest(same), first.status, first.body.toString()]);
        } else {
          expect(compared(again)).toEqual(same);
        }
        expect(await sources(weir)).toEqual([["tape", tape!.id]]);
        expect(await metric(weir, "weir_tape_replays_total")).toBe(1);
        if (what.includes("odd")) {
          const text = await (await fetch(`${weir.url}/metrics`)).text();
          expect(text).toContain('weir_tokens_total{source="tape",direction="out"} 3');
        }
      }
    });
  }

  test("a client that leaves, whose tape is silent where it left", async () => {
    const upstream = upstreamOf(() => [act.send(sseHead()), act.send(chunk(EVENT)), act.stall]);
    const folder = makeFolder();
    const { port } = await recorder(folder, upstream.url);
    const client = await connect(port, rawChat(CHAT));
    await client.until(EVENT);
    client.leave();
    const [tape] = await tapesIn(folder, 1);
    expect(tape!.ending.how).toBe("client_left");
    const weir = await player(folder, { "llm.idle_timeout_ms": 300 });
    const again = parseRaw(
      await (await connect(weir.port, rawChat(CHAT, ["Connection: close"]))).closed,
    );
    expect(again.body.toString()).toStartWith(EVENT);
    expect(again.body.toString()).toContain("The tape ends before its answer does");
  });

  test("compressed bytes stay as they are for whoever asked for them, and are undone for others", async () => {
    const text = EVENT + DONE;
    const fields = { "content-type": "text/event-stream", "content-encoding": "gzip" };
    const upstream = upstreamOf(() => [act.send(response(gzipSync(text), fields))]);
    const folder = makeFolder();
    const { port } = await recorder(folder, upstream.url);
    const gzip = ["Accept-Encoding: br;q=0, gzip"];
    await ask(port, CHAT, gzip);
    const [tape] = await tapesIn(folder, 1);
    const weir = await player(folder);
    const encoded = await ask(weir.port, CHAT, gzip);
    expect(encoded.body).toEqual(Buffer.from(bodyOfTape(tape!)));
    expect(gunzipSync(encoded.body).toString()).toBe(text);
    for (const other of [[], ["Accept-Encoding: gzip;q=0"]]) {
      const plain = await ask(weir.port, CHAT, other);
      expect(plain.body.toString()).toBe(text);
      expect(plain.head).not.toContain("content-encoding");
    }
  });

  test("a large body that goes up while it comes", async () => {
    const upstream = upstreamOf(() => [act.send(response("{}"))]);
    const folder = makeFolder();
    const { port } = await recorder(folder, upstream.url);
    const body = asking("水".repeat(100_000));
    await ask(port, body);
    const [tape] = await tapesIn(folder, 1);
    expect(Buffer.from(tape!.request.body).toString()).toBe(body);
    expect(tape!.request.fields).toContainEqual([
      "content-length",
      String(Buffer.byteLength(body)),
    ]);
    expect((await ask((await player(folder)).port, body)).body.toString()).toBe("{}");
  });

  test("each try that got a head is a tape of its own, and all are played again", async () => {
    const upstream = upstreamOf(({ index }) => [
      act.send(
        index === 0 ? response("{}", { "retry-after-ms": "1" }, "503 No") : response('{"a":1}'),
      ),
    ]);
    const folder = makeFolder();
    const retrying = { "llm.retries": 2 };
    await ask((await recorder(folder, upstream.url, retrying)).port);
    expect((await tapesIn(folder, 2)).map(({ response }) => response!.status)).toEqual([503, 200]);
    const weir = await player(folder, retrying);
    expect((await ask(weir.port)).body.toString()).toBe('{"a":1}');
    expect(await metric(weir, "weir_tape_replays_total")).toBe(2);
  });

  test("ids and times of their own", async () => {
    const created = 1_700_000_000;
    const event = (text: string) =>
      `data: {"id":"chatcmpl-recorded0","created":${created},"choices":[{"delta":{"content":"${text}"}}]}\n\n`;
    const upstream = upstreamOf(() => [act.send(response(event("a") + event("b") + DONE, {
      "content-type": "text/event-stream",
    }))]);
    const folder = makeFolder();
    await ask((await recorder(folder, upstream.url)).port);
    await tapesIn(folder, 1);
    for (const speed of [0, 1]) {
      const weir = await player(folder, { "tape.fresh_ids": true, "tape.speed": speed });
      const bodies = [await ask(weir.port), await ask(weir.port)].map(({ body }) =>
        body.toString()
      );
      const ids = bodies.map((body) =>
        new Set([...body.matchAll(/chatcmpl-\w+/g)].map(([id]) => id))
      );
      expect(ids.map(({ size }) => size)).toEqual([1, 1]);
      expect(new Set(ids.flatMap((set) => [...set])).size).toBe(2);
      for (const body of bodies) {
        expect(body).not.toContain(String(created));
        expect(body.length).toBe((event("a") + event("b") + DONE).length);
      }
    }
  });
});

describe("modes", () => {
  /** What is asked → [what answers where a tape is there, and where none is; tapes at the end]. */
  const MODES = [
    ["off", "upstream", "upstream", 1],
    ["record", "upstream", "upstream", 3],
    ["replay", "tape", "upstream", 1],
    ["auto", "tape", "upstream", 2],
    ["strict", "tape", "missing", 1],
  ] as const;
  for (const [mode, known, unknown, count] of MODES) {
    test(mode, async () => {
      const upstream = upstreamOf(({ index }) => [act.send(response(`{"n":${index}}`))]);
      const folder = makeFolder();
      await ask((await recorder(folder, upstream.url)).port, asking("known"));
      await tapesIn(folder, 1);
      const weir = await recorder(folder, upstream.url, { "tape.mode": mode, "tape.speed": 0 });
      const who = ({ status, body }: RawResponse) =>
        status === 404 && body.includes("tape_missing")
          ? "missing"
          : body.toString() === '{"n":0}'
          ? "tape"
          : "upstream";
      expect(who(await ask(weir.port, asking("known")))).toBe(known);
      expect(who(await ask(weir.port, asking("unknown")))).toBe(unknown);
      await tapesIn(folder, count);
      if (mode === "auto") {
        const again = await ask(weir.port, asking("unknown"));
        expect([again.body.toString(), upstream.requests.length]).toEqual(['{"n":1}', 2]);
        expect(await metric(weir, "weir_tapes_recorded_total")).toBe(1);
      }
      weir.kill("SIGTERM");
      await weir.exited;
      expect(readdirSync(folder).filter((name) => name.endsWith(".jsonl"))).toHaveLength(count);
    });
  }

  test("a route has its own", async () => {
    const upstream = upstreamOf(() => [act.send(response("{}"))]);
    const folder = makeFolder();
    const weir = await recorder(folder, upstream.url, {
      "tape.mode": "off",
      routes: JSON.stringify([
        { match: { model: "taped*" }, to: ["llm"], tape: "record" },
        { match: { model: "strict*" }, to: ["llm"], tape: "strict" },
      ]),
    });
    expect((await ask(weir.port, asking("a"))).status).toBe(200);
    expect((await ask(weir.port, asking("b", { model: "taped-1" }))).status).toBe(200);
    expect((await ask(weir.port, asking("c", { model: "strict-1" }))).status).toBe(404);
    const [tape] = await tapesIn(folder, 1);
    expect(Buffer.from(tape!.request.body).toString()).toContain("taped-1");
    expect(upstream.requests).toHaveLength(2);
  });
});

describe("one tape for clients of other dialects", () => {
  const said = [
    `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":"水 "},"finish_reason":null}]}\n\n`,
    `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"🌊"},"finish_reason":null}]}\n\n`,
    `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n`,
    DONE,
  ];

  test("Anthropic's, the Responses API's, and those of other systems", async () => {
    const upstream = upstreamOf(() => [
      act.send(sseHead()),
      ...said.map((text) => act.send(chunk(text))),
      act.send(LAST_CHUNK),
    ]);
    const folder = makeFolder();
    await ask((await recorder(folder, upstream.url)).port, asking("hi", { stream: true, seed: 1 }));
    await tapesIn(folder, 1);
    for (const more of [{}, { "tape.speed": 1 }, { "tape.fresh_ids": true }]) {
      const { url } = await player(folder, more);
      const post = async (path: string, body: object, headers: Record<string, string> = {}) =>
        await (await fetch(url + path, {
          method: "POST",
          headers: { "content-type": "application/json", ...headers },
          body: JSON.stringify(body),
        })).text();
      const messages = [{ role: "user", content: "hi" }];
      const anthropic = { "anthropic-version": "2023-06-01" };
      const own = { model: "gpt-4o", max_tokens: 9, messages };
      expect(JSON.parse(await post("/v1/messages", own, anthropic)).content)
        .toEqual([{ type: "text", text: "水 🌊" }]);
      expect(await post("/v1/messages", { ...own, stream: true }, anthropic))
        .toContain('"delta":{"type":"text_delta","text":"🌊"}');
      const responses = JSON.parse(await post("/v1/responses", { model: "gpt-4o", input: "hi" }));
      expect(responses.output[0].content[0].text).toBe("水 🌊");
      expect(
        await post(
          "/v1/messages",
          { ...own, messages: [{ role: "user", content: "ho" }] },
          anthropic,
        ),
      )
        .toContain("No tape answers this request");
    }
  });
});

describe("several workers", () => {
  test("give the tapes of one request in turn, and find what another has recorded", async () => {
    const upstream = upstreamOf(({ index }) => [act.send(response(`{"n":${index}}`))]);
    const folder = makeFolder();
    const recording = await recorder(folder, upstream.url);
    for (let i = 0; i < 3; i++) await ask(recording.port);
    await tapesIn(folder, 3);
    const weir = await recorder(folder, upstream.url, {
      "server.workers": 2,
      "tape.mode": "auto",
      "tape.speed": 0,
    });
    await waitFor(() => weir.output().includes("workers: 2"));
    const given: string[] = [];
    for (let i = 0; i < 24; i++) given.push((await ask(weir.port)).body.toString());
    expect(given).toEqual(Array.from({ length: 24 }, (_, i) => `{"n":${i % 3}}`));
    await ask(weir.port, asking("new"));
    await tapesIn(folder, 4);
    for (let i = 0; i < 16; i++) {
      expect((await ask(weir.port, asking("new"))).body.toString()).toBe('{"n":3}');
    }
    expect(upstream.requests).toHaveLength(4);
  });
});

describe("a folder that takes nothing", () => {
  test("breaks no answer, is told once, and is part of health", async () => {
    const upstream = upstreamOf(() => [act.send(response("{}"))]);
    const folder = join(makeFolder(), "tapes");
    const weir = await recorder(folder, upstream.url);
    rmdirSync(folder);
    writeFileSync(folder, "a file");
    for (let i = 0; i < 3; i++) expect((await ask(weir.port)).status).toBe(200);
    const health = await waitFor(async () => {
      const health = await weir.health();
      return health["status"] === "degraded" && health;
    }, "health to tell");
    expect(String(health["tapes"])).toContain("the folder of tapes takes nothing (E");
    expect(weir.errors().match(/tape_write_failed/g)).toHaveLength(1);
    expect(await metric(weir, "weir_tape_write_failures_total")).toBe(1);
    expect(await metric(weir, "weir_tapes_lost_total")).toBe(3);
  });

  test("and one that may not be written to, until it may", async () => {
    if (process.getuid?.() === 0) return; // whom nothing is forbidden
    const upstream = upstreamOf(() => [act.send(response("{}"))]);
    const folder = join(makeFolder(), "tapes");
    const weir = await recorder(folder, upstream.url);
    chmodSync(folder, 0o500);
    await ask(weir.port);
    await waitFor(async () => (await weir.health())["status"] === "degraded");
    chmodSync(folder, 0o700);
    await ask(weir.port);
    await tapesIn(folder, 1);
    await waitFor(async () => (await weir.health())["status"] === "ok");
  });

  test("a broken tape is told with its line, and is part of health", async () => {
    const folder = makeFolder();
    writeFileSync(join(folder, "x.tape.jsonl"), '{"n":1}\n');
    const weir = await player(folder);
    await waitFor(async () => String((await weir.health())["tapes"]).includes("x.tape.jsonl"));
    expect(weir.errors()).toContain("line 1: it does not end with its check sum");
  });
});
