import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { TEST_MS_MAX, waitFor } from "./launch.ts";
import { CHAT, DONE, EVENT, gate, type Proxied, proxied, whole } from "./proxied.ts";
import { connect, parseRaw, rawChat } from "./raw_client.ts";
import {
  type Act,
  act,
  chunk,
  headText,
  LAST_CHUNK,
  response,
  sseHead,
} from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const JSON_HEAD = headText("200 OK", {
  "content-type": "application/json",
  "transfer-encoding": "chunked",
});

/** What the error event of `code` looks like in the middle of a stream. */
function errorEventIn(text: string): { before: string; error: Record<string, unknown> } {
  const at = text.lastIndexOf('data: {"error"');
  expect(at, text).toBeGreaterThanOrEqual(0);
  expect(text.endsWith("\n\n")).toBe(true);
  const { error } = JSON.parse(text.slice(at + "data: ".length)) as {
    error: Record<string, unknown>;
  };
  return { before: text.slice(0, at), error };
}

describe("time limits", () => {
  let proxy: Proxied;
  // Long enough that whoever keeps one keeps it on a busy machine, too.
  beforeAll(async () => {
    proxy = await proxied({
      set: {
        "llm.headers_timeout_ms": 2000,
        "llm.first_token_timeout_ms": 2000,
        "llm.idle_timeout_ms": 2000,
        "llm.retries": 3,
      },
    });
  });
  afterAll(() => proxy.stop());

  const early: readonly (readonly [string, readonly Act[], string])[] = [
    ["no headers", [act.stall], "llm.headers_timeout_ms"],
    ["half a head", [act.send("HTTP/1.1 200 OK\r\nA:"), act.stall], "llm.headers_timeout_ms"],
    ["no first chunk", [act.send(sseHead()), act.stall], "llm.first_token_timeout_ms"],
    ["no JSON body", [act.send(JSON_HEAD), act.stall], "llm.first_token_timeout_ms"],
  ];
  for (const [name, acts, setting] of early) {
    test(`${name}: 504 before the first byte, and the upstream is aborted`, async () => {
      const { upstream } = proxy;
      const [asked, aborted] = [upstream.requests.length, upstream.aborted];
      proxy.play(() => acts);
      const { status, head, body, isWhole } = await proxy.chat();
      expect([status, isWhole]).toEqual([504, true]);
      expect(head).toContain("content-type: application/json");
      const { error } = JSON.parse(body.toString());
      expect(error).toMatchObject({ type: "server_error", code: "upstream_timeout", param: null });
      expect(error.message).toContain(setting);
      await waitFor(() => upstream.aborted > aborted, "the upstream to be aborted");
      expect(upstream.requests.length).toBe(asked + 1);
    });
  }

  test("silence between two chunks: an error event, and no [DONE]", async () => {
    const { aborted } = proxy.upstream;
    proxy.play(() => [act.send(sseHead()), act.send(chunk(EVENT)), act.stall]);
    const { status, body, isWhole } = await proxy.chat();
    const { before, error } = errorEventIn(body.toString());
    expect([status, before, isWhole]).toEqual([200, EVENT, true]);
    expect(error).toMatchObject({ type: "server_error", code: "upstream_timeout", param: null });
    expect(error["message"]).toContain("llm.idle_timeout_ms");
    await waitFor(() => proxy.upstream.aborted > aborted, "the upstream to be aborted");
  });

  test("silence in a JSON body: the connection is closed without its end", async () => {
    proxy.play(() => [act.send(JSON_HEAD), act.send(chunk('{"half":')), act.stall]);
    const { status, body, isWhole } = await proxy.chat();
    expect([status, body.toString(), isWhole]).toEqual([200, '{"half":', false]);
  });

  test("an upstream that is slow but keeps every limit is never cut", async () => {
    const gates = Array.from({ length: 6 }, () => gate());
    proxy.play(() => [
      act.send(sseHead()),
      ...gates.flatMap(({ opened }) => [act.wait(opened), act.send(chunk(EVENT))]),
      act.send(LAST_CHUNK),
    ]);
    const client = await connect(proxy.weir.port, rawChat(CHAT, ["Connection: close"]));
    const startMs = performance.now();
    // Chunks 400 ms apart: together longer than the limit on silence, which each one renews.
    for (const [i, { open }] of gates.entries()) {
      await waitFor(() => performance.now() - startMs >= (i + 1) * 400, "400 ms");
      open();
    }
    const { body, isWhole } = parseRaw(await client.closed);
    expect([body.toString(), isWhole]).toEqual([EVENT.repeat(6), true]);
  });
});

describe("an upstream that breaks off mid-stream", () => {
  let proxy: Proxied;
  beforeAll(async () => {
    proxy = await proxied({ set: { "llm.retries": 3 } });
  });
  afterAll(() => proxy.stop());

  const inside = 'data: {"choices":[{"delta":{"content":"水';
  const told: readonly (readonly [string, string, string])[] = [
    ["behind an event", EVENT, EVENT],
    ["inside an event", EVENT + inside, `${EVENT}${inside}\n\n`],
    ["behind the line of an event", EVENT + "data: 1\n", `${EVENT}data: 1\n\n\n`],
    ["behind a CRLF event", "data: 1\r\n\r\n", "data: 1\r\n\r\n"],
    ["in the middle of CRLF", "data: 1\r\n", "data: 1\r\n\n\n"],
    ["behind a comment", ": hi\n\n", ": hi\n\n"],
    ["behind a text that says [DONE]", 'data: "[DONE]"\n\n', 'data: "[DONE]"\n\n'],
  ];
  for (const [name, sent, before] of told) {
    for (const how of ["end", "reset"] as const) {
      test(`${name} (${how}): the error event, and no [DONE]`, async () => {
        const sentNow = gate();
        proxy.play(() => [
          act.send(sseHead()),
          act.send(chunk(sent)),
          act.wait(sentNow.opened),
          act[how],
        ]);
        const client = await connect(proxy.weir.port, rawChat(CHAT, ["Connection: close"]));
        await client.until(sent.slice(-5)); // a reset throws away what is still on its way
        sentNow.open();
        const { body, isWhole } = parseRaw(await client.closed);
        const event = errorEventIn(body.toString());
        expect([event.before, isWhole]).toEqual([before, true]);
        expect(event.error).toMatchObject({ type: "server_error", code: "upstream_broken" });
      });
    }
  }

  const packed = gzipSync(EVENT.repeat(9));
  const cut: readonly (readonly [string, string, string | Uint8Array])[] = [
    ["behind [DONE]", sseHead(), EVENT + DONE],
    ["behind data:[DONE] without its blank", sseHead(), `${EVENT}data:[DONE]\r\n\r\n`],
    ["in a compressed stream", sseHead({ "content-encoding": "gzip" }), packed.subarray(0, 20)],
    ["in a JSON body", JSON_HEAD, '{"half":'],
    ["in plain text", JSON_HEAD.replace("application/json", "text/plain"), "half"],
  ];
  for (const [name, head, sent] of cut) {
    for (const how of ["end", "reset"] as const) {
      test(`${name} (${how}): nothing is added, and the last chunk never comes`, async () => {
        const sentNow = gate();
        proxy.play(() => [
          act.send(head),
          act.send(chunk(sent)),
          act.wait(sentNow.opened),
          act[how],
        ]);
        const client = await connect(proxy.weir.port, rawChat(CHAT));
        const bytes = Buffer.from(sent);
        await waitFor(() => client.received().includes(bytes), "what was sent");
        sentNow.open();
        const { body, isWhole } = parseRaw(await client.closed);
        expect([body.equals(bytes), isWhole]).toEqual([true, false]);
      });
    }
  }

  test("short of its content-length: the client sees that, too", async () => {
    const sentNow = gate();
    proxy.play(() => [
      act.send(headText("200 OK", { "content-type": "text/plain", "content-length": "10" })),
      act.send("12345"),
      act.wait(sentNow.opened),
      act.end,
    ]);
    const client = await connect(proxy.weir.port, rawChat(CHAT, ["Connection: close"]));
    await client.until("12345");
    sentNow.open();
    const { body, isWhole } = parseRaw(await client.closed);
    expect([body.toString(), isWhole]).toEqual(["12345", false]);
  });

  test("the log says so, once per request", async () => {
    await waitFor(
      () => /"outcome":"upstream_failed".*"error_code":"upstream_broken"/.test(proxy.weir.errors()),
      "a line in the log",
    );
    expect(proxy.weir.errors()).not.toContain('"bug"');
  });
});

describe("server.keepalive_ms", () => {
  const COMMENT = ": keep-alive\n\n";
  let proxy: Proxied;
  beforeAll(async () => {
    proxy = await proxied({ set: { "server.keepalive_ms": 40 } });
  });
  afterAll(() => proxy.stop());

  test("a thinking upstream gets comments written for it, and the events stay as they are", async () => {
    const [first, second] = [gate(), gate()];
    proxy.play(() => [
      act.send(sseHead()),
      act.wait(first.opened),
      act.send(chunk(EVENT)),
      act.wait(second.opened),
      act.send(chunk(DONE)),
      act.send(LAST_CHUNK),
    ]);
    const client = await connect(proxy.weir.port, rawChat(CHAT, ["Connection: close"]));
    await client.until(COMMENT + "\r\n");
    first.open();
    await client.until(EVENT);
    const commentsSince = () => client.text().split(COMMENT).length;
    const before = commentsSince();
    await waitFor(() => commentsSince() >= before + 2, "two comments more");
    second.open();
    const { status, body, isWhole } = parseRaw(await client.closed);
    expect([status, isWhole]).toEqual([200, true]);
    expect(body.toString().replaceAll(COMMENT, "")).toBe(EVENT + DONE);
    expect(body.toString()).toMatch(
      /^(?:: keep-alive\n\n)+data: [^]+\n\n(?:: keep-alive\n\n)+data: /,
    );
  });

  const silent: readonly (readonly [string, string, string | Uint8Array])[] = [
    ["inside an event", sseHead(), EVENT + 'data: {"half'],
    ["between the lines of an event", sseHead(), "event: x\n"],
    ["inside a character", sseHead(), Buffer.from('data: "水').subarray(0, -1)],
    ["behind [DONE]", sseHead(), EVENT + DONE],
    ["in a compressed stream", sseHead({ "content-encoding": "gzip" }), gzipSync(EVENT)],
    ["in a JSON body", JSON_HEAD, "\n\n"],
  ];
  for (const [name, head, sent] of silent) {
    test(`no comment ${name}`, async () => {
      const end = gate();
      proxy.play(() => [
        act.send(head),
        act.send(chunk(sent)),
        act.wait(end.opened),
        act.send(LAST_CHUNK),
      ]);
      const client = await connect(proxy.weir.port, rawChat(CHAT, ["Connection: close"]));
      const bytes = Buffer.from(sent);
      await waitFor(() => client.received().includes(bytes), "what was sent");
      const startMs = performance.now();
      await waitFor(() => performance.now() - startMs > 150, "three keep-alive times");
      end.open();
      // Behind half an event its error follows, and never a comment.
      const { body } = parseRaw(await client.closed);
      expect(body.subarray(0, bytes.length).equals(bytes)).toBe(true);
      expect(body.includes(COMMENT)).toBe(false);
    });
  }

  test("an error status that comes late is still the upstream's", async () => {
    const late = gate();
    proxy.play(() => [act.wait(late.opened), act.send(response("{}", {}, "429 Slow"))]);
    const client = await connect(proxy.weir.port, rawChat(CHAT, ["Connection: close"]));
    const startMs = performance.now();
    await waitFor(() => performance.now() - startMs > 100, "two keep-alive times");
    late.open();
    expect(parseRaw(await client.closed).status).toBe(429);
  });

  test("an upstream that breaks off behind a comment is told as an error event", async () => {
    const next = gate();
    proxy.play(() => [act.send(sseHead()), act.wait(next.opened), act.reset]);
    const client = await connect(proxy.weir.port, rawChat(CHAT, ["Connection: close"]));
    await client.until(COMMENT);
    next.open();
    const { before, error } = errorEventIn(parseRaw(await client.closed).body.toString());
    expect(before.replaceAll(COMMENT, "")).toBe("");
    expect(error["code"]).toBe("upstream_broken");
  });
});

describe("a stream that ends with its connection", () => {
  const HEAD = headText("200 OK", { "content-type": "text/event-stream", "connection": "close" });
  let proxy: Proxied;
  beforeAll(async () => {
    proxy = await proxied();
  });
  afterAll(() => proxy.stop());

  for (
    const [name, acts] of [
      ["in one packet", [act.send(HEAD + EVENT), act.end]],
      ["in two", [act.send(HEAD), act.send(EVENT), act.end]],
    ] as const
  ) {
    test(`is no whole one without [DONE], ${name}: the error event`, async () => {
      proxy.play(() => acts);
      const { before, error } = errorEventIn((await proxy.chat()).body.toString());
      expect(before).toBe(EVENT);
      expect(error["code"]).toBe("upstream_broken");
    });
  }

  test("is whole with [DONE]", async () => {
    proxy.play(() => [act.send(HEAD + EVENT + DONE), act.end]);
    const { body, isWhole } = await proxy.chat();
    expect([body.toString(), isWhole]).toEqual([EVENT + DONE, true]);
  });
});

test("an upstream's stream without [DONE] is counted in the log", async () => {
  const proxy = await proxied();
  proxy.play(() => whole(EVENT));
  await proxy.chat();
  await waitFor(() => proxy.weir.errors().includes("upstream_unfinished"), "its line");
  await proxy.stop();
});
