/**
 * The bytes of an upstream behind a key with every limit, a route of two targets, and usage that is
 * counted or asked for: nothing of them changes, nothing that broke off looks whole, and whoever leaves
 * gives its place back.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { CHAT, DONE, EVENT, whole } from "./proxied.ts";
import { connect, parseRaw, rawChat, type RawResponse } from "./raw_client.ts";
import {
  type Act,
  act,
  chunk,
  headText,
  LAST_CHUNK,
  response,
  type Script,
  scriptedUpstream,
  sseHead,
} from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

let script: Script = () => whole(EVENT, DONE);
const upstream = scriptedUpstream((request) => script(request));
let weir: Weir;

beforeAll(async () => {
  const key = (name: string, concurrent: number) =>
    `  - {name: ${name}, token: ${name}-key, models: ["*"], requests_per_min: 1000000, requests_per_day: 1000000,
     tokens_per_min: 1000000000, tokens_per_day: 1000000000, concurrent_max: ${concurrent}, budget_tokens: 1000000000}\n`;
  const route = (model: string, to: string, usage: string) =>
    `  - {match: {model: "${model}"}, to: [${to}], usage: ${usage}, params_max: {max_tokens: 100000}}\n`;
  weir = await launch({
    files: {
      "config.yaml": `server: {keepalive_ms: 0}
auth: {token: root}
keys:
${key("many", 1000)}${key("one", 1)}upstreams:
  - {name: away, base_url: "http://127.0.0.1:1/v1", retries: 0, breaker_share: 0}
  - {name: here, base_url: "${upstream.url}/v1", api_key: sk-up, retries: 0, breaker_min: 1000000, concurrency_max: 1000}
  - {name: chat, base_url: "${upstream.url}/v1", api_key: sk-up, retries: 0, breaker_min: 1000000, speaks: [openai_chat]}
routes:
${route("asked-*", "away, chat", "ask")}${route("held-*", "here, away", "count")}${
        route("*", "away, here", "count")
      }`,
    },
  });
});
afterAll(async () => {
  await weir.stop();
  upstream.close();
});

/** Sent by the key "many", on a connection of its own. */
function send(body: string | Uint8Array, fields: readonly string[] = [], key = "many") {
  const own = ["Connection: close", `Authorization: Bearer ${key}-key`, ...fields];
  return connect(weir.port, rawChat(body, own));
}

async function chat(
  model: string,
  fields: readonly string[] = [],
  body = CHAT,
): Promise<RawResponse> {
  return parseRaw(await (await send(body.replace("gpt-4o", model), fields)).closed);
}

const ROUTES = ["counted-m", "held-m", "asked-m"] as const;
const NOT_UTF8 = Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 0xfe, 0x00, 0x0a, 0x0a]);
const CRLF = "\uFEFF: comment\r\nevent: x\r\ndata: 你好 🌊\r\n\r\ndata: [DONE]\r\n\r\n";
const BODIES: readonly (readonly [string, readonly (string | Uint8Array)[]])[] = [
  ["two events and [DONE]", [EVENT, EVENT, DONE]],
  ["CRLF, a BOM, a comment, an event name", [CRLF]],
  ["bytes that are no UTF-8", [NOT_UTF8, DONE]],
  ["an event behind [DONE]", [EVENT, DONE, EVENT]],
  ["an error behind the first event", [EVENT, 'data: {"error":{"message":"no"}}\n\n', DONE]],
  ["one chunk of 300 kB", [`data: ${"水🌊".repeat(43_000)}\n\n`, DONE]],
  ["usage in a chunk of its own and null before", [
    EVENT.replace("{", '{"usage":null,'),
    'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n',
    DONE,
  ]],
];

describe("bytes of a stream", () => {
  for (const model of ROUTES) {
    for (const [name, texts] of BODIES) {
      test(`${model}: ${name}`, async () => {
        script = () => whole(...texts);
        const { status, body, isWhole } = await chat(model);
        const sent = Buffer.concat(texts.map((text) => Buffer.from(text)));
        expect([status, body.equals(sent), isWhole]).toEqual([200, true, true]);
      });
    }

    test(`${model}: in pieces of any length`, async () => {
      const bytes = Buffer.from(`: hi\n\n${EVENT}${EVENT}${DONE}`);
      for (const length of [1, 2, 3, 7, 50]) {
        const pieces: Act[] = [];
        for (let at = 0; at < bytes.length; at += length) {
          pieces.push(act.send(chunk(bytes.subarray(at, at + length))));
        }
        script = () => [act.send(sseHead()), ...pieces, act.send(LAST_CHUNK)];
        const { body, isWhole } = await chat(model);
        expect([length, body.equals(bytes), isWhole]).toEqual([length, true, true]);
      }
    });

    test(`${model}: compressed`, async () => {
      const packed = gzipSync(EVENT + DONE);
      script = () => [
        act.send(sseHead({ "content-encoding": "gzip" })),
        act.send(chunk(packed.subarray(0, 11))),
        act.send(chunk(packed.subarray(11))),
        act.send(LAST_CHUNK),
      ];
      const { head, body } = await chat(model, ["Accept-Encoding: gzip"]);
      expect([head.includes("content-encoding: gzip"), body.equals(packed)]).toEqual([true, true]);
    });

    test(`${model}: a whole answer, its status, its own fields, and none of its connection's`, async () => {
      const answer = '{\n "id": "c" ,"choices":[],"x":"你好"}\n';
      const fields = {
        "content-type": "application/json",
        "x-own": "1",
        "keep-alive": "timeout=5",
        "x-hop": "2",
        connection: "keep-alive, x-hop",
        "x-ratelimit-remaining-requests": "77",
      };
      script = () => [
        act.send(headText("103 Early Hints", { link: "</a>" })),
        act.send(response(answer, fields, "200 OK")),
      ];
      const { status, head, body } = await chat(model, [], CHAT.replace("true", "false"));
      expect([status, body.toString()]).toEqual([200, answer]);
      expect(head).toContain("x-own: 1");
      expect(head).not.toMatch(/x-hop|keep-alive:|early hints/);
      expect(head).not.toContain("remaining-requests: 77"); // that is about weir's own key
    });

    test(`${model}: a large question goes up as it is`, async () => {
      script = () => whole(EVENT, DONE);
      const body = CHAT.replace("gpt-4o", model).replace("你好", "水".repeat(700_000));
      const answer = parseRaw(await (await send(body)).closed);
      expect(answer.status).toBe(200);
      expect(upstream.requests.at(-1)!.body.toString() === body).toBe(true);
      expect(upstream.requests.at(-1)!.headers["authorization"]).toBe("Bearer sk-up");
    });

    for (const how of ["end", "reset"] as const) {
      test(`${model}: what breaks off (${how}) does not look whole`, async () => {
        script = () => [act.send(sseHead()), act.send(chunk(EVENT)), act[how]];
        const { body } = await chat(model);
        expect(body.toString()).toStartWith(EVENT);
        expect(body.toString()).toContain('"error"');
        expect(body.toString()).not.toContain("[DONE]");
        script = () => [
          act.send(
            headText("200 OK", { "content-type": "application/json", "content-length": "99" }),
          ),
          act.send('{"half":'),
          act[how],
        ];
        const half = await chat(model, [], CHAT.replace("true", "false"));
        // With another upstream there, nothing was sent yet that could not be taken back.
        expect(half.isWhole && half.status === 200).toBe(false);
      });
    }
  }
});

describe("a client", () => {
  const MEGABYTE = "x".repeat(1024 * 1024);

  for (const model of ROUTES) {
    test(`${model}: that reads nothing holds its upstream back`, async () => {
      const data = chunk(`data: ${MEGABYTE}\n\n`);
      script = () => [act.send(sseHead()), ...Array.from({ length: 64 }, () => act.send(data))];
      const before = upstream.sentBytes;
      const client = await send(CHAT.replace("gpt-4o", model));
      await client.until("data: ");
      client.pause();
      let [sent, sinceMs] = [-1, 0];
      await waitFor(() => {
        if (upstream.sentBytes !== sent) [sent, sinceMs] = [upstream.sentBytes, performance.now()];
        return performance.now() - sinceMs > 500;
      }, "the upstream to be held back");
      expect(sent - before).toBeLessThan(60 * 1024 * 1024);
      client.leave();
      await waitFor(() => upstream.playing === 0, "the upstream to be left");
    });

    const windows: readonly (readonly [string, readonly Act[]])[] = [
      ["before the head", [act.stall]],
      ["before the first event", [act.send(sseHead()), act.stall]],
      ["behind the first event", [act.send(sseHead()), act.send(chunk(EVENT)), act.stall]],
    ];
    for (const [window, acts] of windows) {
      test(`${model}: that leaves ${window} gives its place back`, async () => {
        script = () => acts;
        const asked = upstream.requests.length;
        const body = CHAT.replace("gpt-4o", model);
        const client = await send(body, [], "one");
        await waitFor(() => upstream.requests.length > asked, "the request");
        const second = parseRaw(await (await send(body, [], "one")).closed);
        expect([second.status, upstream.requests.length]).toEqual([429, asked + 1]);
        client.leave();
        await waitFor(() => upstream.playing === 0, "the upstream to be left");
        script = () => whole(EVENT, DONE);
        await waitFor(async () => {
          const answer = parseRaw(await (await send(body, [], "one")).closed);
          return answer.status === 200 && answer.body.toString() === EVENT + DONE;
        }, "the place to be free");
      });
    }
  }
});

test("asked for, the usage goes up, and its event is taken out of the bytes alone", async () => {
  const usage =
    'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n';
  script = () => whole(EVENT, usage, DONE);
  expect((await chat("asked-m")).body.toString()).toBe(EVENT + DONE);
  expect(upstream.requests.at(-1)!.body.toString()).toContain('"include_usage":true');
  const own = CHAT.replace(
    '"stream":true',
    '"stream":true,"stream_options":{"include_usage":true}',
  );
  expect((await chat("asked-m", [], own)).body.toString()).toBe(EVENT + usage + DONE);
});
