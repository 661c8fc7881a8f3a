import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { TEST_MS_MAX } from "./launch.ts";
import { CHAT, DONE, type Proxied, proxied, whole } from "./proxied.ts";
import { connect, rawChat } from "./raw_client.ts";
import { act, chunk, LAST_CHUNK, response } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

let proxy: Proxied;
beforeAll(async () => {
  proxy = await proxied({
    set: { "llm.headers": '{"x-team":"blue","x-client":"weir\'s"}' },
  });
});
afterAll(() => proxy.stop());

/** Sends `fields` up and gives what the upstream got. */
async function seenWith(fields: readonly string[], through: Proxied = proxy) {
  through.play(() => whole(DONE));
  const { status } = await through.chat(CHAT, fields);
  expect(status).toBe(200);
  return through.upstream.requests.at(-1)!;
}

describe("headers on their way up", () => {
  const passing: readonly (readonly [string, string])[] = [
    ["X-Request-Id", "req-from-client-1"],
    ["OpenAI-Organization", "org-1"],
    ["User-Agent", "OpenAI/JS 7.55.0"],
    ["X-Stainless-Lang", "js"],
    ["Accept", "text/event-stream"],
    ["Content-Type", "application/json; charset=utf-8"],
    ["Idempotency-Key", "stainless-node-retry-1"],
    ["Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    ["Accept-Encoding", "br;q=0.5, gzip"],
  ];
  for (const [name, value] of passing) {
    test(`${name} passes`, async () => {
      const { headers } = await seenWith([`${name}: ${value}`]);
      expect(headers[name.toLowerCase()]).toContain(value);
    });
  }

  const dropped: readonly (readonly [string, readonly string[]])[] = [
    ["te", ["TE: trailers"]],
    ["keep-alive", ["Keep-Alive: timeout=5"]],
    ["proxy-authorization", ["Proxy-Authorization: Basic c2VjcmV0"]],
    ["proxy-connection", ["Proxy-Connection: keep-alive"]],
    ["upgrade", ["Upgrade: h2c"]],
    ["trailer", ["Trailer: Expires"]],
    ["x-hop", ["Connection: x-hop, close", "X-Hop: 1"]],
    ["x-hop2", ["Connection: X-Hop2", "x-hop2: 1"]],
    ...[
      ...["Cookie", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"],
      ...["X-Real-IP", "Referer", "Sec-Fetch-Site", "Sec-CH-UA", "Proxy-Status", "X-Weir-Seed"],
    ].map((name) => [name.toLowerCase(), [`${name}: 10.0.0.1`]] as const),
    ["origin", ["Origin: http://localhost:3000"]],
  ];
  for (const [name, fields] of dropped) {
    test(`${fields.join(" + ")}: ${name} is dropped`, async () => {
      expect((await seenWith(fields)).headers[name]).toBeUndefined();
    });
  }

  test("the upstream is named as the host, and no compression is asked for on weir's own", async () => {
    const { headers } = await seenWith([]);
    expect(headers["host"]).toBe(`127.0.0.1:${proxy.upstream.port}`);
    expect(headers["accept-encoding"]).toBe("identity");
    expect(headers["content-length"]).toBe(String(Buffer.byteLength(CHAT)));
  });

  test("llm.headers are added, and win", async () => {
    const { headers } = await seenWith(["X-Client: its own"]);
    expect([headers["x-team"], headers["x-client"]]).toEqual(["blue", "weir's"]);
  });

  test("Via is added, behind the hops before", async () => {
    expect((await seenWith([])).headers["via"]).toBe("1.1 weir");
    expect((await seenWith(["Via: 1.1 nginx"])).headers["via"]).toBe("1.1 nginx, 1.1 weir");
  });

  for (const via of ["1.1 weir", "HTTP/1.1 WEIR", "1.1 nginx, 1.1 weir (x), 1.1 other"]) {
    test(`a request that comes back is answered 508: Via: ${via}`, async () => {
      const before = proxy.upstream.requests.length;
      const { status, body } = await proxy.chat(CHAT, [`Via: ${via}`]);
      expect(status).toBe(508);
      const { error } = JSON.parse(body.toString());
      expect(error).toMatchObject({ type: "server_error", code: "loop_detected", param: null });
      expect(proxy.upstream.requests.length).toBe(before);
    });
  }
  test("a hop that only looks like weir passes", async () => {
    expect((await seenWith(["Via: 1.1 weird, 1.1 my-weir"])).headers["via"]).toEndWith(
      ", 1.1 weir",
    );
  });
});

describe("llm.headers_up", () => {
  const sent = ["User-Agent: me", "X-A: 1", "X-B: 2", "Cookie: a=1", "Authorization: Bearer sk"];

  test("is all that goes up, beside what weir says itself", async () => {
    const own = await proxied({
      set: { "llm.headers_up": "[X-A]", "llm.headers": "{x-team: blue}" },
    });
    const { headers } = await seenWith(sent, own);
    expect(Object.keys(headers).sort()).toEqual([
      ...["accept-encoding", "content-length", "content-type", "host", "via", "x-a", "x-team"],
    ]);
    await own.stop();
  });

  test("lets the client's key pass where it is listed, and weir has none", async () => {
    const own = await proxied({ set: { "llm.headers_up": "[authorization]" } });
    const { headers } = await seenWith(sent, own);
    expect([headers["authorization"], headers["x-a"]]).toEqual(["Bearer sk", undefined]);
    await own.stop();
  });
});

describe("Authorization", () => {
  const given = "Bearer sk-client-secret";
  const rows: readonly {
    readonly name: string;
    readonly set: Readonly<Record<string, string>>;
    readonly sent: string | undefined;
    readonly seen: string | undefined;
    readonly warns: boolean;
  }[] = [
    { name: "neither key: the client's passes", set: {}, sent: given, seen: given, warns: false },
    { name: "neither key, none sent", set: {}, sent: undefined, seen: undefined, warns: false },
    {
      name: "llm.api_key replaces the client's",
      set: { "llm.api_key": "sk-up" },
      sent: given,
      seen: "Bearer sk-up",
      warns: false,
    },
    {
      name: "llm.api_key is sent for a client without one",
      set: { "llm.api_key": "sk-up" },
      sent: undefined,
      seen: "Bearer sk-up",
      warns: false,
    },
    {
      name: "auth.token never leaves, and start-up warns",
      set: { "auth.token": "weir-own-token" },
      sent: "Bearer weir-own-token",
      seen: undefined,
      warns: true,
    },
    {
      name: "both: weir's token is checked, the upstream gets its own key",
      set: { "auth.token": "weir-own-token", "llm.api_key": "sk-up" },
      sent: "Bearer weir-own-token",
      seen: "Bearer sk-up",
      warns: false,
    },
  ];
  for (const { name, set, sent, seen, warns } of rows) {
    test(name, async () => {
      const own = await proxied({ set });
      const request = await seenWith(sent === undefined ? [] : [`Authorization: ${sent}`], own);
      expect(request.headers["authorization"]).toBe(seen!);
      expect(request.head).not.toContain("weir-own-token");
      const warnings = own.weir.errors().match(/warning: llm\.api_key is not set/g) ?? [];
      expect(warnings.length).toBe(warns ? 1 : 0);
      await own.stop();
    });
  }

  test("a wrong key never reaches the upstream, and no error repeats weir's own", async () => {
    const own = await proxied({ set: { "auth.token": "kk" } });
    for (const path of ["/v1/chat/completions", "/v1/models"]) {
      const answer = await fetch(own.weir.url + path, {
        method: path === "/v1/models" ? "GET" : "POST",
        headers: { authorization: "Bearer kkk" },
        ...(path === "/v1/models" ? {} : { body: CHAT }),
      });
      expect(answer.status).toBe(401);
      expect(await answer.text()).not.toContain("kk");
    }
    expect(own.upstream.requests.length).toBe(0);
    await own.stop();
  });
});

describe("headers on their way down", () => {
  const raw = [
    "HTTP/1.1 200 OK",
    "Content-Type: text/event-stream",
    "Transfer-Encoding: chunked",
    "Connection: keep-alive, X-Hop",
    "Keep-Alive: timeout=5",
    "Proxy-Authenticate: Basic",
    "Trailer: x-after",
    "Upgrade: h2c",
    "X-Hop: 1",
    "X-Accel-Redirect: /secret",
    "X-Accel-Buffering: yes",
    "X-Accel-Limit-Rate: 1",
    "Set-Cookie: a=1",
    "Set-Cookie: b=2",
    "X-Request-Id: req_upstream",
    "OpenAI-Processing-Ms: 7",
    "X-Ratelimit-Remaining-Tokens: 149",
    "Server: somebody",
    "Cache-Control: no-store",
    "",
    "",
  ].join("\r\n");

  test("what belongs to the upstream's connection or host stays there; the rest passes", async () => {
    proxy.play(() => [act.send(raw), act.send(chunk(DONE)), act.send(LAST_CHUNK)]);
    const { head } = await proxy.chat();
    const gone = /^(keep-alive|proxy-|trailer|upgrade|x-hop|x-accel-(?!buffering)|set-cookie)/m;
    expect(gone.exec(head)?.[0]).toBeUndefined();
    expect(head).toContain("x-accel-buffering: no");
    expect(head).toContain("access-control-allow-origin: *");
    for (const line of ["x-request-id: req_upstream", "openai-processing-ms: 7"]) {
      expect(head).toContain(line);
    }
    expect(head).toContain("x-ratelimit-remaining-tokens: 149");
    expect(head).toContain("cache-control: no-store");
    expect(head).toContain("content-type: text/event-stream");
  });

  test("an answer in one packet leaves with its length, one that goes on in chunks", async () => {
    for (const isWhole of [true, false]) {
      const gate = Promise.withResolvers<void>();
      const begin = Buffer.concat([Buffer.from(raw), chunk(DONE)]);
      proxy.play(() =>
        isWhole
          ? [act.send(Buffer.concat([begin, Buffer.from(LAST_CHUNK)]))]
          : [act.send(begin), act.wait(gate.promise), act.send(LAST_CHUNK)]
      );
      const client = await connect(proxy.weir.port, rawChat(CHAT, ["Connection: close"]));
      await client.until(DONE);
      gate.resolve();
      const text = (await client.closed).toString("latin1").toLowerCase();
      const framing = text.match(/^(transfer-encoding|content-length): .*$/gm)!.map((line) =>
        line.trim()
      );
      expect(framing).toEqual([
        isWhole ? `content-length: ${DONE.length}` : "transfer-encoding: chunked",
      ]);
    }
  });

  test("a duplicate Transfer-Encoding never reaches the client", async () => {
    const doubled = raw.replace(
      "Transfer-Encoding: chunked",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    );
    proxy.play(() => [act.send(doubled), act.send(chunk(DONE)), act.send(LAST_CHUNK), act.end]);
    const { head, status } = await proxy.chat();
    expect((head.match(/transfer-encoding/g) ?? []).length).toBeLessThanOrEqual(1);
    expect([200, 502]).toContain(status);
  });

  test("a kept-alive connection answers one request after the other", async () => {
    proxy.play(() => [act.send(response(DONE, { "content-type": "text/event-stream" }))]);
    const client = await connect(proxy.weir.port, rawChat(CHAT));
    await client.until(DONE);
    client.send(rawChat(CHAT, ["Connection: close"]));
    const text = (await client.closed).toString("latin1");
    expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
  });
});
