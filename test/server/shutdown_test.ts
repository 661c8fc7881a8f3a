import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { launch, type LaunchOptions, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { CHAT, DONE, EVENT, gate, type Proxied, proxied } from "./proxied.ts";
import { connect, parseRaw, rawChat, type RawClient } from "./raw_client.ts";
import { act, chunk, headText, LAST_CHUNK, type Script, sseHead } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const HEALTH = "GET /health HTTP/1.1\r\nHost: weir\r\n\r\n";
const MOCK_CHAT = '{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}';

const running: { readonly stop: () => Promise<void> }[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
});

async function mocking(set: LaunchOptions["set"]): Promise<Weir> {
  const weir = await launch({ set: { ...set } });
  running.push(weir);
  return weir;
}

async function proxying(script: Script, set: LaunchOptions["set"] = {}): Promise<Proxied> {
  const proxy = await proxied({ set });
  running.push(proxy);
  proxy.play(script);
  return proxy;
}

/** True when a new connection to `port` is refused. */
async function isRefused(port: number): Promise<boolean> {
  try {
    const client = await connect(port, "");
    client.leave();
    return false;
  } catch {
    return true;
  }
}

/** Waits until weir has begun to close. */
async function untilClosing({ port }: Weir): Promise<void> {
  await waitFor(() => isRefused(port), "new connections to be refused");
}

describe("the first signal", () => {
  test("ends a weir whose folder is gone, too, with what it kept of usage", async () => {
    const weir = await mocking({ "auth.token": "t" });
    const answer = await fetch(`${weir.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer t", "content-type": "application/json" },
      body: MOCK_CHAT,
    });
    expect(await answer.text()).toContain("[DONE]");
    await waitFor(async () => {
      const usage = await fetch(`${weir.url}/__weir/usage`, {
        headers: { authorization: "Bearer t" },
      });
      return (await usage.text()).includes('"requests":1');
    }, "usage to be in the store");
    rmSync(weir.folder, { recursive: true });
    weir.kill("SIGTERM");
    expect(await weir.exited).toBe(0);
  });

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`${signal} with nothing open ends at once, with 0, and says nothing`, async () => {
      const weir = await mocking({ "server.drain_ms": 60_000 });
      weir.kill(signal);
      expect(await weir.exited).toBe(0);
      expect(weir.errors()).toBe("");
    });

    test(`${signal} waits for an open mock stream, which is whole`, async () => {
      const weir = await mocking({ "mock.delay_ms": 300 });
      const client = await connect(weir.port, rawChat(MOCK_CHAT, ["Connection: close"]));
      await client.until("powered");
      weir.kill(signal);
      await untilClosing(weir);
      const { body, isWhole } = parseRaw(await client.closed);
      expect(body.toString()).toEndWith(DONE);
      expect(body.toString()).toContain("openai");
      expect(isWhole).toBe(true);
      expect(await weir.exited).toBe(0);
    });
  }

  test("waits for no head that is half sent, and no client that does not close", async () => {
    const weir = await mocking({ "server.drain_ms": 600_000, "server.head_timeout_ms": 600_000 });
    const clients = await Promise.all([
      connect(weir.port, HEALTH.slice(0, 20)),
      connect(weir.port, ""),
      ...Array.from({ length: 8 }, () => connect(weir.port, HEALTH, false)),
    ]);
    await waitFor(async () => {
      const text = await (await fetch(`${weir.url}/metrics`)).text();
      return Number(/^weir_connections_open (\d+)$/m.exec(text)?.[1]) >= clients.length;
    }, "all of them");
    const startMs = performance.now();
    weir.kill("SIGTERM");
    expect(await weir.exited).toBe(0);
    // A second, and far less than the 10 s that a client has on a server that goes on.
    expect(performance.now() - startMs).toBeLessThan(8000);
    for (const client of clients) client.leave();
  });

  test("waits for an open proxied stream, which is whole", async () => {
    const end = gate();
    const { weir, upstream } = await proxying(() => [
      act.send(sseHead()),
      act.send(chunk(EVENT)),
      act.wait(end.opened),
      act.send(chunk(DONE)),
      act.send(LAST_CHUNK),
    ]);
    const client = await connect(weir.port, rawChat(CHAT));
    await client.until(EVENT);
    weir.kill("SIGTERM");
    await untilClosing(weir);
    end.open();
    const { body, isWhole } = parseRaw(await client.closed);
    expect([body.toString(), isWhole]).toEqual([EVENT + DONE, true]);
    expect(await weir.exited).toBe(0);
    expect(upstream.aborted).toBe(0);
  });

  test("waits for a request that has no byte yet, which is answered", async () => {
    const [begin, end] = [gate(), gate()];
    const { weir, upstream } = await proxying(() => [
      act.wait(begin.opened),
      act.send(sseHead()),
      act.send(chunk(EVENT + DONE)),
      act.wait(end.opened),
      act.send(LAST_CHUNK),
    ]);
    const client = await connect(weir.port, rawChat(CHAT));
    await waitFor(() => upstream.requests.length === 1, "the request");
    weir.kill("SIGTERM");
    await untilClosing(weir);
    begin.open();
    await client.until(DONE);
    end.open();
    expect(parseRaw(await client.closed).body.toString()).toBe(EVENT + DONE);
    expect(await weir.exited).toBe(0);
  });

  test("turns health into 503 on connections that are still open", async () => {
    const end = gate();
    const { weir } = await proxying(() => [
      act.send(sseHead()),
      act.send(chunk(EVENT)),
      act.wait(end.opened),
      act.send(LAST_CHUNK),
    ]);
    const kept = await connect(weir.port, HEALTH);
    await kept.until('"status":"ok"');
    const stream = await connect(weir.port, rawChat(CHAT));
    await stream.until(EVENT);
    // A request that is half sent when the signal comes: its connection is not idle.
    kept.send(HEALTH.slice(0, 20));
    await weir.health();
    weir.kill("SIGTERM");
    await untilClosing(weir);
    kept.send(HEALTH.slice(20));
    await kept.until("503");
    await kept.until('"status":"draining"');
    expect(kept.text().toLowerCase()).toContain("retry-after: 1");
    end.open();
    expect(parseRaw(await stream.closed).body.toString()).toBe(EVENT);
    expect(await weir.exited).toBe(0);
  });
});

describe("at server.drain_ms", () => {
  const SOON = { "server.drain_ms": 300 };

  function expectErrorEvent(bytes: Buffer, before: string): void {
    const { status, body, isWhole } = parseRaw(bytes);
    expect([status, isWhole]).toEqual([200, true]);
    const text = body.toString();
    expect(text).toStartWith(before);
    const event = text.slice(text.lastIndexOf("data: "));
    const { error } = JSON.parse(event.slice("data: ".length));
    expect(error).toMatchObject({ type: "server_error", code: "shutting_down", param: null });
    expect(event).toEndWith("\n\n");
    expect(text).not.toContain("[DONE]");
  }

  test("an open mock stream gets the error event, and no [DONE]", async () => {
    const weir = await mocking({ ...SOON, "mock.delay_ms": 60_000 });
    const client = await connect(weir.port, rawChat(MOCK_CHAT));
    await client.until("powered");
    weir.kill("SIGTERM");
    expectErrorEvent(await client.closed, "data: {");
    expect(await weir.exited).toBe(0);
    expect(weir.errors()).toContain("1 open streams have 300 ms to finish");
    expect(weir.errors()).toContain('"outcome":"shut_down"');
  });

  test("open proxied streams get it, on a line of its own, and the upstream is aborted", async () => {
    const { weir, upstream } = await proxying(() => [
      act.send(sseHead()),
      act.send(chunk(`${EVENT}data: {"ha`)),
      act.stall,
    ], SOON);
    const clients = await Promise.all([1, 2, 3].map(() => connect(weir.port, rawChat(CHAT))));
    for (const client of clients) await client.until('data: {"ha');
    weir.kill("SIGTERM");
    for (const client of clients) {
      expectErrorEvent(await client.closed, `${EVENT}data: {"ha\n\ndata: {"error"`);
    }
    expect(await weir.exited).toBe(0);
    await waitFor(() => upstream.aborted === 3, "the upstream to be aborted");
  });

  test("a drained stream is ended, too: nobody waits longer than that", async () => {
    const { weir, upstream } = await proxying(() => [
      act.send(sseHead()),
      act.send(chunk(EVENT)),
      act.stall,
    ], { ...SOON, "chat.on_disconnect": "drain" });
    const client = await connect(weir.port, rawChat(CHAT));
    await client.until(EVENT);
    weir.kill("SIGTERM");
    expectErrorEvent(await client.closed, EVENT);
    expect(await weir.exited).toBe(0);
    await waitFor(() => upstream.aborted === 1, "the upstream to be aborted");
  });

  test("a JSON body in the middle is cut without its end", async () => {
    const head = headText("200 OK", {
      "content-type": "application/json",
      "transfer-encoding": "chunked",
    });
    const { weir } = await proxying(
      () => [act.send(head), act.send(chunk('{"h')), act.stall],
      SOON,
    );
    const client = await connect(weir.port, rawChat(CHAT));
    await client.until('{"h');
    weir.kill("SIGTERM");
    const { body, isWhole } = parseRaw(await client.closed);
    expect([body.toString(), isWhole]).toEqual(['{"h', false]);
    expect(await weir.exited).toBe(0);
  });

  const waiting: readonly (readonly [string, Script])[] = [
    ["headers", () => [act.stall]],
    ["a first chunk", () => [act.send(sseHead()), act.stall]],
    ["another try", () => [
      act.send(headText("503 No", { "retry-after-ms": "60000", "content-length": "0" })),
    ]],
  ];
  for (const [name, script] of waiting) {
    test(`a request that waits for ${name} gets 503`, async () => {
      const { weir, upstream } = await proxying(script, { ...SOON, "llm.retries": 2 });
      const client = await connect(weir.port, rawChat(CHAT));
      await waitFor(() => upstream.requests.length === 1, "the request");
      await waitFor(async () => (await weir.health())["streams_open"] === 1, "it to be open");
      weir.kill("SIGTERM");
      const { status, body, isWhole } = parseRaw(await client.closed);
      expect([status, isWhole]).toEqual([503, true]);
      expect(JSON.parse(body.toString()).error.code).toBe("shutting_down");
      expect(await weir.exited).toBe(0);
    });
  }

  test("a mock request whose first word is not due gets 503", async () => {
    const weir = await mocking({
      ...SOON,
      "mock.first_token_ms": 60_000,
      "server.keepalive_ms": 0,
    });
    const client = await connect(weir.port, rawChat(MOCK_CHAT));
    await waitFor(async () => (await weir.health())["streams_open"] === 1, "it to be open");
    weir.kill("SIGTERM");
    const { status, body } = parseRaw(await client.closed);
    expect(status).toBe(503);
    expect(JSON.parse(body.toString()).error.code).toBe("shutting_down");
    expect(await weir.exited).toBe(0);
  });

  test("a mock answer that is not streamed and not due gets 503", async () => {
    const weir = await mocking({ ...SOON, "mock.first_token_ms": 60_000 });
    const client = await connect(weir.port, rawChat(MOCK_CHAT.replace("true", "false")));
    await waitFor(async () => (await weir.health())["streams_open"] === 1, "it to be open");
    weir.kill("SIGTERM");
    const { status, body } = parseRaw(await client.closed);
    expect(status).toBe(503);
    expect(JSON.parse(body.toString()).error.code).toBe("shutting_down");
    expect(await weir.exited).toBe(0);
  });

  test("a client that does not read holds up nobody", async () => {
    const block = `data: ${"x".repeat(1_000_000)}\n\n`;
    const { weir } = await proxying(() => [
      act.send(sseHead()),
      ...Array.from({ length: 30 }, () => act.send(chunk(block))),
      act.stall,
    ], SOON);
    const client = await connect(weir.port, rawChat(CHAT), false);
    await waitFor(async () => (await weir.health())["streams_open"] === 1, "it to be open");
    weir.kill("SIGTERM");
    expect(await weir.exited).toBe(0);
    client.leave();
  });
});

describe("the second signal", () => {
  for (const [first, second] of [["SIGTERM", "SIGTERM"], ["SIGINT", "SIGTERM"]] as const) {
    test(`${second} after ${first} ends at once`, async () => {
      const weir = await mocking({ "server.drain_ms": 60_000, "mock.delay_ms": 60_000 });
      const client: RawClient = await connect(weir.port, rawChat(MOCK_CHAT));
      await client.until("powered");
      weir.kill(first);
      await untilClosing(weir);
      weir.kill(second);
      expect(await weir.exited).toBe(1);
      expect(parseRaw(await client.closed).isWhole).toBe(false);
    });
  }
});
