import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { freePort } from "./free_port.ts";
import { launch, TEST_MS_MAX, waitFor } from "./launch.ts";
import { CHAT, DONE, EVENT, type Proxied, proxied, whole } from "./proxied.ts";
import { exchange, rawChat } from "./raw_client.ts";
import { type Act, act, chunk, response, scriptedUpstream, sseHead } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const NOW = { "retry-after-ms": "1" };
const RETRIES = 2;

let proxy: Proxied;
beforeAll(async () => {
  proxy = await proxied({ set: { "llm.retries": RETRIES, "ops.log": "requests" } });
});
afterAll(() => proxy.stop());

/** Plays `first` for the first request from now on, `then` for all others. */
function playFirst(first: readonly Act[], then: readonly Act[] = whole(EVENT, DONE)): number {
  const asked = proxy.upstream.requests.length;
  proxy.play(({ index }) => index === asked ? first : then);
  return asked;
}

/** The waits in milliseconds that the log tells of, since `from` characters. */
function waitsMs(from: number): number[] {
  return [...proxy.weir.errors().slice(from).matchAll(/"upstream_retried".*?"delay_ms":(\d+)/g)]
    .map(([, ms]) => Number(ms));
}

describe("before the first byte, another try is made", () => {
  const lines = [
    "408 Slow",
    "409 Conflict",
    "429 Many",
    "500 Oops",
    "502 Bad",
    "503 No",
    "529 Busy",
  ];
  for (const line of lines) {
    test(`after ${line}, with the same bytes`, async () => {
      const asked = playFirst([act.send(response("no", NOW, line))]);
      const { status, body } = await proxy.chat();
      expect([status, body.toString()]).toEqual([200, EVENT + DONE]);
      const sent = proxy.upstream.requests.slice(asked).map((request) => request.body.toString());
      expect(sent).toEqual([CHAT, CHAT]);
    });
  }

  for (const how of ["end", "reset"] as const) {
    test(`after a connection that ends (${how}) without an answer`, async () => {
      const asked = playFirst([act[how]]);
      expect((await proxy.chat()).status).toBe(200);
      expect(proxy.upstream.requests.length).toBe(asked + 2);
    });
  }

  for (
    const line of ["400 Bad", "401 Who", "403 No", "404 Where", "413 Big", "422 What", "200 OK"]
  ) {
    test(`but not after ${line}`, async () => {
      const asked = playFirst([act.send(response("first", {}, line))]);
      const { status, body } = await proxy.chat();
      expect([status, body.toString()]).toEqual([Number(line.slice(0, 3)), "first"]);
      expect(proxy.upstream.requests.length).toBe(asked + 1);
    });
  }

  test("but not after the first byte", async () => {
    const asked = playFirst([act.send(sseHead()), act.send(chunk(EVENT)), act.end]);
    const { status } = await proxy.chat();
    expect([200, 502]).toContain(status);
    expect(proxy.upstream.requests.length).toBe(asked + 1);
  });

  test(`${RETRIES + 1} tries, and the last answer is passed on, bytes and headers`, async () => {
    const asked = proxy.upstream.requests.length;
    proxy.play(({ index }) => [
      act.send(response(`try ${index - asked}`, { ...NOW, "x-try": "yes" }, "429 Slow")),
    ]);
    const { status, head, body } = await proxy.chat();
    expect([status, body.toString()]).toEqual([429, `try ${RETRIES}`]);
    expect(head).toContain("retry-after-ms: 1");
    expect(head).toContain("x-try: yes");
    expect(proxy.upstream.requests.length).toBe(asked + RETRIES + 1);
  });
});

describe("a request on a kept connection that closes without an answer", () => {
  const STALE_MS_AT_LEAST = 50;
  const cases: readonly {
    readonly set: Readonly<Record<string, string | number>>;
    readonly closesAfterMs: number;
    readonly asked: number;
    readonly status: number;
  }[] = [
    { set: { "llm.retries": 0 }, closesAfterMs: STALE_MS_AT_LEAST, asked: 1, status: 502 },
    { set: { "llm.retries": 0, "llm.resend": "never" }, closesAfterMs: 0, asked: 1, status: 502 },
    { set: { "llm.retries": 2, "llm.resend": "never" }, closesAfterMs: 0, asked: 1, status: 502 },
    { set: { "llm.retries": 1 }, closesAfterMs: STALE_MS_AT_LEAST, asked: 2, status: 200 },
  ];
  for (const { set, closesAfterMs, asked, status } of cases) {
    test(`${closesAfterMs} ms behind it, with ${JSON.stringify(set)}, is sent ${asked}×`, async () => {
      const own = await proxied({ set });
      expect((await own.chat()).status).toBe(200);
      own.play(({ index }) =>
        index === 1 ? [act.wait(Bun.sleep(closesAfterMs)), act.end] : whole(DONE)
      );
      expect((await own.chat()).status).toBe(status);
      const requests = own.upstream.requests.slice(1);
      expect(requests.map(({ connection }) => connection)).toEqual([0, 1].slice(0, asked));
      await own.stop();
    });
  }
});

describe("the wait between two tries", () => {
  const asked: readonly (readonly [Readonly<Record<string, string>>, number])[] = [
    [{ "retry-after-ms": "120" }, 120],
    [{ "retry-after": "0.15" }, 150],
    [{ "retry-after": "0" }, 0],
    [{ "retry-after-ms": "30", "retry-after": "9" }, 30],
    [{ "retry-after": new Date(0).toUTCString() }, 0],
  ];
  for (const [fields, ms] of asked) {
    test(`is what the upstream asks for: ${JSON.stringify(fields)}`, async () => {
      const from = proxy.weir.errors().length;
      playFirst([act.send(response("", fields, "429 Slow"))]);
      const startMs = performance.now();
      expect((await proxy.chat()).status).toBe(200);
      expect(performance.now() - startMs).toBeGreaterThanOrEqual(ms);
      expect(waitsMs(from)).toEqual([ms]);
    });
  }

  test("is any up to half a second when it asks for nothing; that then doubles", async () => {
    const from = proxy.weir.errors().length;
    const asked = proxy.upstream.requests.length;
    proxy.play(({ index }) =>
      index < asked + 2 ? [act.send(response("", {}, "500 Oops"))] : whole(DONE)
    );
    expect((await proxy.chat()).status).toBe(200);
    const [first, second, ...more] = waitsMs(from);
    expect(more).toEqual([]);
    expect(first).toBeWithin(0, 501);
    expect(second).toBeWithin(0, 1001);
  });

  test("is not waited at all above a minute: the answer is passed on", async () => {
    const asked = playFirst([act.send(response("later", { "retry-after": "61" }, "429 Slow"))]);
    const { status, head, body } = await proxy.chat();
    expect([status, body.toString()]).toEqual([429, "later"]);
    expect(head).toContain("retry-after: 61");
    expect(proxy.upstream.requests.length).toBe(asked + 1);
  });
});

describe("an upstream that cannot be reached", () => {
  test("is 502 in OpenAI's shape, names the host, and no key", async () => {
    const gone = `127.0.0.1:${freePort()}`;
    const weir = await launch({
      set: {
        "llm.base_url": `http://${gone}/v1/secret-path`,
        "llm.api_key": "sk-secret",
        "llm.retries": 0,
      },
    });
    const request = rawChat(CHAT, ["Connection: close", "Authorization: Bearer sk-client"]);
    const { status, head, body } = await exchange(weir.port, request);
    expect(status).toBe(502);
    expect(head).toContain("content-type: application/json");
    expect(head).toMatch(/x-request-id: req_[0-9a-f]{32}/);
    const { error } = JSON.parse(body.toString());
    expect(error).toMatchObject({
      type: "server_error",
      code: "upstream_unreachable",
      param: null,
    });
    expect(error.message).toContain(gone);
    expect(error.message).toContain("Check llm.base_url and");
    await waitFor(() => weir.errors().includes('"status":502'), "its line in the log");
    for (const text of [body.toString(), weir.errors(), weir.output()]) {
      expect(text).not.toMatch(/sk-secret|sk-client|你好/);
    }
    await weir.stop();
  });

  test("is tried again, and answers when it is back", async () => {
    const port = freePort();
    const weir = await launch({
      set: { "llm.base_url": `http://127.0.0.1:${port}/v1`, "llm.retries": 5 },
    });
    const pending = exchange(weir.port, rawChat(CHAT, ["Connection: close"]));
    await waitFor(() => weir.errors().includes("upstream_retried"), "the first try to fail");
    const back = scriptedUpstream(() => whole(DONE), { port });
    const { status, body } = await pending;
    expect([status, body.toString()]).toEqual([200, DONE]);
    back.close();
    await weir.stop();
  });

  const nonsense: readonly (readonly [string, string])[] = [
    ["no HTTP at all", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
    ["a status beyond all", "HTTP/1.1 999 What\r\nContent-Length: 2\r\n\r\nhi"],
    ["a status of one digit", "HTTP/1.1 2 OK\r\nContent-Length: 2\r\n\r\nhi"],
  ];
  for (const [name, bytes] of nonsense) {
    test(`is 502 when it answers ${name}`, async () => {
      const own = await proxied();
      own.play(() => [act.send(bytes), act.end]);
      const { status, body } = await own.chat();
      expect(status).toBe(502);
      expect(JSON.parse(body.toString()).error.type).toBe("server_error");
      expect(own.weir.errors()).not.toContain('"bug"');
      await own.stop();
    });
  }
});
