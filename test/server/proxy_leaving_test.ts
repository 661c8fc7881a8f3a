import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { TEST_MS_MAX, waitFor } from "./launch.ts";
import { CHAT, DONE, EVENT, gate, type Proxied, proxied, whole } from "./proxied.ts";
import { connect, rawChat } from "./raw_client.ts";
import {
  act,
  chunk,
  headText,
  LAST_CHUNK,
  response,
  type Script,
  sseHead,
} from "./scripted_upstream.ts";
import { hasOthers } from "./surroundings.ts";

setDefaultTimeout(TEST_MS_MAX);

/** Settles when weir has nothing open: no stream, no connection to the upstream in use. */
async function untilNothingIsOpen({ weir }: Proxied): Promise<void> {
  await waitFor(async () => (await weir.health())["streams_open"] === 0, "no open stream");
}

describe("chat.on_disconnect: cancel: a client that leaves aborts the upstream", () => {
  let proxy: Proxied;
  beforeAll(async () => {
    proxy = await proxied({ set: { "llm.retries": 3, "ops.log": "requests" } });
  });
  afterAll(() => proxy.stop());

  const windows: readonly {
    readonly name: string;
    readonly script: Script;
    /** What the client has seen when it leaves. */
    readonly seen: string;
  }[] = [
    { name: "before its headers", script: () => [act.stall], seen: "" },
    {
      name: "in the middle of its headers",
      script: () => [act.send("HTTP/1.1 200 OK\r\nX: "), act.stall],
      seen: "",
    },
    { name: "before its first chunk", script: () => [act.send(sseHead()), act.stall], seen: "" },
    {
      name: "mid-stream",
      script: () => [act.send(sseHead()), act.send(chunk(EVENT)), act.stall],
      seen: EVENT,
    },
    {
      name: "in the middle of a JSON body",
      script: () => [
        act.send(
          headText("200 OK", { "content-type": "application/json", "content-length": "99" }),
        ),
        act.send('{"half":'),
        act.stall,
      ],
      seen: '{"half":',
    },
  ];
  for (const { name, script, seen } of windows) {
    test(name, async () => {
      const { upstream, weir } = proxy;
      const [asked, aborted] = [upstream.requests.length, upstream.aborted];
      proxy.play(script);
      const client = await connect(weir.port, rawChat(CHAT));
      await waitFor(() => upstream.requests.length > asked, "the request");
      if (seen !== "") await client.until(seen);
      client.leave();
      await waitFor(() => upstream.aborted > aborted, "the upstream to see it");
      await untilNothingIsOpen(proxy);
      expect(upstream.requests.length).toBe(asked + 1);
      await waitFor(() => weir.errors().includes('"outcome":"client_left"'), "its line in the log");
    });
  }

  // With others there, weir does not wait for so long.
  test.skipIf(hasOthers())("during a retry's back-off: there is no second try", async () => {
    const { upstream, weir } = proxy;
    const asked = upstream.requests.length;
    proxy.play(() => [act.send(response("", { "retry-after-ms": "500" }, "503 No"))]);
    const client = await connect(weir.port, rawChat(CHAT));
    await waitFor(() => weir.errors().includes("upstream_retried"), "the retry to be planned");
    client.leave();
    await untilNothingIsOpen(proxy);
    // Another request with the same wait is tried again: the first one's time has then passed.
    proxy.play(({ index }) =>
      index === asked + 1
        ? [act.send(response("", { "retry-after-ms": "600" }, "503 No"))]
        : whole(DONE)
    );
    expect((await proxy.chat()).status).toBe(200);
    expect(upstream.requests.length).toBe(asked + 3);
  });

  test("2 000 clients that leave at any moment leave nothing open, here or there", async () => {
    const { upstream, weir } = proxy;
    const scripts: readonly Script[] = [
      () => [act.stall],
      () => [act.send(sseHead()), act.stall],
      () => [act.send(sseHead()), act.send(chunk(EVENT)), act.stall],
      () => [act.send(response("", { "retry-after-ms": "60000" }, "503 No"))],
      () => [act.send(sseHead()), act.send(chunk(EVENT)), act.send(chunk(EVENT))],
    ];
    proxy.play((request) => scripts[request.index % scripts.length]!(request));
    for (let round = 0; round < 20; round++) {
      const asked = upstream.requests.length;
      const clients = await Promise.all(
        Array.from({ length: 100 }, () => connect(weir.port, rawChat(CHAT))),
      );
      // Some leave before weir has asked, some while it asks, some behind the first bytes.
      for (let i = 0; i < clients.length; i += 3) clients[i]!.leave();
      await waitFor(() => upstream.requests.length > asked + 20, "the upstream to be asked");
      for (const client of clients) client.leave();
    }
    await untilNothingIsOpen(proxy);
    // What is left are idle connections for re-use: none that a script still plays on.
    await waitFor(() => upstream.playing === 0, "no request to be open at the upstream");
    proxy.play(() => whole(DONE));
    expect((await proxy.chat()).body.toString()).toBe(DONE);
  });
});

describe("chat.on_disconnect: drain: the upstream is read to its end", () => {
  let proxy: Proxied;
  beforeAll(async () => {
    proxy = await proxied({
      set: { "chat.on_disconnect": "drain", "llm.retries": 3, "ops.log": "requests" },
    });
  });
  afterAll(() => proxy.stop());

  const windows = ["before its headers", "before its first chunk", "mid-stream"] as const;
  for (const [number, name] of windows.entries()) {
    test(name, async () => {
      const { upstream, weir } = proxy;
      const [asked, aborted, sent] = [
        upstream.requests.length,
        upstream.aborted,
        upstream.sentBytes,
      ];
      const left = gate();
      const wait = act.wait(left.opened);
      const big = "x".repeat(1_000_000);
      const end = gate();
      proxy.play(() => [
        ...(number === 0 ? [wait] : []),
        act.send(sseHead()),
        ...(number === 1 ? [wait] : []),
        act.send(chunk(EVENT)),
        ...(number === 2 ? [wait] : []),
        act.send(chunk(big)),
        act.send(chunk(DONE)),
        act.send(LAST_CHUNK),
        act.wait(Promise.resolve(end.open())),
      ]);
      const client = await connect(weir.port, rawChat(CHAT));
      await waitFor(() => upstream.requests.length > asked, "the request");
      if (number === 2) await client.until(EVENT);
      client.leave();
      await client.closed;
      // weir has seen it leave when a later connection is answered.
      await weir.health();
      left.open();
      await waitFor(() => upstream.sentBytes - sent > big.length, "the rest to be read");
      await waitFor(() => upstream.playing === 0, "the script to end");
      await untilNothingIsOpen(proxy);
      expect(upstream.aborted).toBe(aborted);
      const lines = () => weir.errors().match(/"outcome":"client_left"/g)?.length ?? 0;
      await waitFor(() => lines() === number + 1, "its line in the log");
    });
  }

  test.skipIf(hasOthers())(
    "during a retry's back-off nothing is drained, and nothing tried again",
    async () => {
      const { upstream, weir } = proxy;
      const asked = upstream.requests.length;
      proxy.play(() => [act.send(response("", { "retry-after-ms": "60000" }, "503 No"))]);
      const client = await connect(weir.port, rawChat(CHAT));
      await waitFor(() => weir.errors().includes("upstream_retried"), "the retry to be planned");
      expect((await weir.health())["streams_open"]).toBe(1);
      client.leave();
      await untilNothingIsOpen(proxy);
      expect(upstream.requests.length).toBe(asked + 1);
    },
  );
});
