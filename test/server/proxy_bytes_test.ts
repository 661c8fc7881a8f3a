import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { launch, TEST_MS_MAX, waitFor } from "./launch.ts";
import { CHAT, DONE, EVENT, gate, type Proxied, proxied, whole } from "./proxied.ts";
import { connect, exchange, parseRaw, rawChat } from "./raw_client.ts";
import {
  act,
  chunk,
  headText,
  LAST_CHUNK,
  response,
  scriptedUpstream,
  sseHead,
} from "./scripted_upstream.ts";
import { isSurrounded } from "./surroundings.ts";

setDefaultTimeout(TEST_MS_MAX);

let proxy: Proxied;
beforeAll(async () => {
  proxy = await proxied();
});
afterAll(() => proxy.stop());

describe("the answer's bytes", () => {
  const CRLF_STREAM = "\uFEFF: comment\r\nevent: x\r\ndata: 你好 🌊\r\n\r\ndata: [DONE]\r\n\r\n";
  const NOT_UTF8 = Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 0xfe, 0x00, 0x0a, 0x0a]);
  const bodies: readonly (readonly [string, readonly (string | Uint8Array)[]])[] = [
    ["two events and [DONE]", [EVENT, EVENT, DONE]],
    ["no [DONE]: a whole HTTP body is relayed as it is", [EVENT, EVENT]],
    ["CRLF, a BOM, a comment, an event name", [CRLF_STREAM]],
    ["bytes that are no UTF-8", [NOT_UTF8, DONE]],
    ["an event behind [DONE]", [EVENT, DONE, EVENT]],
    ["an error event of the upstream's own", ['data: {"error":{"message":"no"}}\n\n', DONE]],
    ["one chunk of 300 kB", [`data: ${"水🌊".repeat(43_000)}\n\n`, DONE]],
    ["nothing at all", []],
  ];
  for (const [name, texts] of bodies) {
    test(`of a stream are the upstream's: ${name}`, async () => {
      proxy.play(() => whole(...texts));
      const { status, body, isWhole } = await proxy.chat();
      expect(status).toBe(200);
      expect(body.equals(Buffer.concat(texts.map((text) => Buffer.from(text))))).toBe(true);
      expect(isWhole).toBe(true);
    });
  }

  const answers: readonly (readonly [string, string, Readonly<Record<string, string>>])[] = [
    ["200 OK", '{\n  "id": "chatcmpl-1" ,"x":"你好"}\n', { "content-type": "application/json" }],
    ["400 Bad Request", '{"error":{"message":"坏"}}', { "content-type": "application/json" }],
    ["401 Unauthorized", '{ "error" : 1 }\r\n', { "content-type": "application/json" }],
    ["404 Not Found", "<h1>not here</h1>", { "content-type": "text/html" }],
    ["418 I'm a teapot", "", {}],
    ["429 Too Many Requests", "slow down", { "retry-after": "1", "content-type": "text/plain" }],
    ["500 Internal Server Error", "oops", { "content-type": "text/plain" }],
    ["503 Service Unavailable", '{"error":null}', { "content-type": "application/json" }],
    ["302 Found", "", { "x-location": "nowhere" }],
  ];
  for (const [line, text, fields] of answers) {
    test(`and the status of a whole answer are the upstream's: ${line}`, async () => {
      proxy.play(() => [act.send(response(text, fields, line))]);
      const { status, head, body, isWhole } = await proxy.chat();
      expect(status).toBe(Number(line.slice(0, 3)));
      expect(body.toString()).toBe(text);
      expect(isWhole).toBe(true);
      for (const [name, value] of Object.entries(fields)) {
        expect(head).toContain(`${name}: ${value}`);
      }
    });
  }

  test("a redirect is 502, names where it leads and what to set, and is not followed", async () => {
    const target = scriptedUpstream(() => [act.send(response("{}"))]);
    const location = `${target.url}/v1/chat/completions?key=sk-secret`;
    proxy.play(() => [act.send(response("", { location }, "307 Temporary Redirect"))]);
    const { status, head, body } = await proxy.chat();
    expect(status).toBe(502);
    const { message, code } = JSON.parse(body.toString()).error;
    expect(code).toBe("upstream_broken");
    expect(message).toContain(`${target.url}, which weir does not follow. Check llm.base_url`);
    expect(head + body).not.toContain("sk-secret");
    expect(target.opened).toBe(0);
    target.close();
  });

  test("a 204 has no body", async () => {
    proxy.play(() => [act.send(headText("204 No Content", { "x-mark": "1" }))]);
    const { status, head, body } = await proxy.chat();
    expect([status, body.length]).toEqual([204, 0]);
    expect(head).toContain("x-mark: 1");
  });

  test("stay compressed, and say so", async () => {
    const packed = gzipSync(EVENT + DONE);
    const head = sseHead({ "content-encoding": "gzip" });
    proxy.play(() => [act.send(head), act.send(chunk(packed)), act.send(LAST_CHUNK)]);
    const answer = await proxy.chat(CHAT, ["Accept-Encoding: gzip"]);
    expect(answer.head).toContain("content-encoding: gzip");
    expect(answer.body.equals(packed)).toBe(true);
    const decoded = await fetch(`${proxy.weir.url}/v1/chat/completions`, {
      method: "POST",
      body: CHAT,
    });
    expect(await decoded.text()).toBe(EVENT + DONE);
  });

  test("that end with the connection, without a length, are relayed whole", async () => {
    proxy.play(() => [
      act.send(headText("200 OK", { "content-type": "application/json", "connection": "close" })),
      act.send('{"a":'),
      act.send("1}"),
      act.end,
    ]);
    const { body, isWhole } = await proxy.chat();
    expect([body.toString(), isWhole]).toEqual(['{"a":1}', true]);
  });
});

describe("chunks", () => {
  const character = Buffer.from('data: "🌊水é"\n\n');
  for (let at = 1; at < character.length; at++) {
    test(`reach the client before the next one is sent: cut at byte ${at}`, async () => {
      const next = gate();
      proxy.play(() => [
        act.send(sseHead()),
        act.send(chunk(character.subarray(0, at))),
        act.wait(next.opened),
        act.send(chunk(character.subarray(at))),
        act.send(chunk(DONE)),
        act.send(LAST_CHUNK),
      ]);
      const client = await connect(proxy.weir.port, rawChat(CHAT, ["Connection: close"]));
      await waitFor(() => parseRaw(client.received()).body.length >= at, `${at} bytes`);
      expect(parseRaw(client.received()).body.equals(character.subarray(0, at))).toBe(true);
      next.open();
      const { body, isWhole } = parseRaw(await client.closed);
      expect(body.equals(Buffer.concat([character, Buffer.from(DONE)]))).toBe(true);
      expect(isWhole).toBe(true);
    });
  }

  test("are not merged: each one comes alone while the upstream waits", async () => {
    const texts = Array.from({ length: 20 }, (_, i) => `data: {"part":${i}}\n\n`);
    const gates = texts.map(() => gate());
    proxy.play(() => [
      act.send(sseHead()),
      ...texts.flatMap((text, i) => [act.send(chunk(text)), act.wait(gates[i]!.opened)]),
      act.send(LAST_CHUNK),
    ]);
    const client = await connect(proxy.weir.port, rawChat(CHAT, ["Connection: close"]));
    for (const [i, text] of texts.entries()) {
      await client.until(text);
      gates[i]!.open();
    }
    expect(parseRaw(await client.closed).chunks.map(String)).toEqual(texts);
  });
});

describe("the client's bytes", () => {
  const requests: readonly (readonly [string, string | Uint8Array])[] = [
    [
      "odd blanks, doubled keys, escapes",
      '\t{ "model" :"m","a":1,\r\n"a" : 2, "s":"\\u4f60\\/" }\n\n',
    ],
    ["not JSON", "{not json 你好"],
    ["not UTF-8", Buffer.from([0x7b, 0xff, 0xfe, 0x00, 0x7d])],
    ["an array", "[1,2]"],
    ["no model, and none configured", '{"messages":[]}'],
    ["nothing", ""],
    ["a megabyte", `{"model":"m","text":"${"水".repeat(350_000)}"}`],
  ];
  for (const [name, body] of requests) {
    test(`go up untouched: ${name}`, async () => {
      proxy.play(() => whole(DONE));
      await proxy.chat(body);
      expect(proxy.upstream.requests.at(-1)!.body.equals(Buffer.from(body))).toBe(true);
    });
  }

  test("go up untouched when they came in chunks", async () => {
    proxy.play(() => whole(DONE));
    const pieces = [CHAT.slice(0, 10), CHAT.slice(10)].map((piece) => chunk(piece).toString());
    const head = "POST /v1/chat/completions?api-version=1&x=%20 HTTP/1.1\r\nHost: weir\r\n" +
      "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    const { status } = await exchange(proxy.weir.port, head + pieces.join("") + LAST_CHUNK);
    const seen = proxy.upstream.requests.at(-1)!;
    expect([status, seen.body.toString()]).toEqual([200, CHAT]);
    expect(seen.path).toBe("/v1/chat/completions?api-version=1&x=%20");
    expect(seen.headers["transfer-encoding"]).toBeUndefined();
  });

  describe("with llm.model_id", () => {
    let named: Proxied;
    beforeAll(async () => {
      named = await proxied({ set: { "llm.model_id": 'mein "模型"' } });
    });
    afterAll(() => named.stop());
    const key = '"model":"mein \\"模型\\""';
    const inserted: readonly (readonly [string, string])[] = [
      ['{"messages":[]}', `{${key},"messages":[]}`],
      ['\n { "messages" : [ ] }\n', `\n {${key}, "messages" : [ ] }\n`],
      ["{}", `{${key}}`],
      ["{ \n }", `{${key} \n }`],
      ['{"messages":[{"model":"inner"}]}', `{${key},"messages":[{"model":"inner"}]}`],
      ['{"model":"own","a":1}', '{"model":"own","a":1}'],
      ['{"\\u006dodel":"own"}', '{"\\u006dodel":"own"}'],
      ['{"model":7}', '{"model":7}'],
      ["[]", "[]"],
      ["{broken", "{broken"],
      ["", ""],
    ];
    for (const [body, expected] of inserted) {
      test(`${JSON.stringify(body)} goes up as ${JSON.stringify(expected)}`, async () => {
        await named.chat(body);
        expect(named.upstream.requests.at(-1)!.body.toString()).toBe(expected);
      });
    }
  });
});

describe("GET /v1/models", () => {
  test("no name leads out of the upstream's list", async () => {
    const before = proxy.upstream.requests.length;
    for (const name of [".", "..", "%2e%2e", "%2E", "..%2ffiles", "a/../b", "a%2f..%2f..%2fb"]) {
      const get = `GET /v1/models/${name} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n`;
      const client = await connect(proxy.weir.port, get);
      expect([name, parseRaw(await client.closed).status]).toEqual([name, 404]);
    }
    expect(proxy.upstream.requests.length).toBe(before);
  });

  // Several upstreams' lists are joined.
  test.skipIf(isSurrounded())(
    "the list and one model are the upstream's, query and all",
    async () => {
      proxy.play(({ path }) => [act.send(response(`{"path":"${path}"}`))]);
      const paths = ["/v1/models?limit=2", "/v1/models/gpt-4o", "/v1/models/org%2Fmodel%20x%3Ay"];
      for (const path of paths) {
        const answer = await fetch(proxy.weir.url + path, {
          headers: { authorization: "Bearer k" },
        });
        const { path: seen } = await answer.json() as { path: string };
        expect(decodeURIComponent(seen)).toBe(decodeURIComponent(path));
        const request = proxy.upstream.requests.at(-1)!;
        expect([request.method, request.body.length]).toEqual(["GET", 0]);
        expect(request.headers["authorization"]).toBe("Bearer k");
        expect(request.headers["via"]).toBe("1.1 weir");
      }
    },
  );

  test("an unknown model's error is the upstream's", async () => {
    const text = '{"error":{"message":"The model \'x\' does not exist"}}';
    proxy.play(() => [act.send(response(text, {}, "404 Not Found"))]);
    const answer = await fetch(`${proxy.weir.url}/v1/models/x`);
    expect([answer.status, await answer.text()]).toEqual([404, text]);
  });
});

test("chat.source: mock answers by itself although there is an upstream", async () => {
  const weir = await launch({
    set: { "chat.source": "mock", "llm.base_url": `${proxy.upstream.url}/v1` },
  });
  const before = proxy.upstream.requests.length;
  const answer = await exchange(weir.port, rawChat(CHAT, ["Connection: close"]));
  expect(answer.body.toString()).toContain("powered");
  expect(proxy.upstream.requests.length).toBe(before);
  await weir.stop();
});
