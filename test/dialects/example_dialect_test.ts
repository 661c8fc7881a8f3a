import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Source, Step } from "../../src/core/answer.ts";
import { Driver } from "../../src/core/driver.ts";
import type { Event } from "../../src/core/events.ts";
import { layScript, stampWhole } from "../../src/core/frames.ts";
import { Stamps } from "../../src/core/stamp.ts";
import { Mock } from "../../src/sources/mock/mock.ts";
import { TokenCounters } from "../../src/sources/tokens.ts";
import { openapiDocument } from "../../src/surfaces/route.ts";
import { pathOf, Router } from "../../src/surfaces/router.ts";
import { listen } from "../lib/http1/listen.ts";
import { waitFor } from "../server/launch.ts";
import { gate } from "../server/proxied.ts";
import { connect, parseRaw, type RawClient } from "../server/raw_client.ts";
import { type Act, act, chunk, sseHead } from "../server/scripted_upstream.ts";
import { END, makeEngine, Rig, said } from "../sources/upstream/rig.ts";
import { EXAMPLE_LAYOUT, exampleRoute, exampleSurface, readRequest } from "./example_dialect.ts";

const SECOND = 1_764_300_000;
/** Every byte of chance is 0, which is an "A". */
const ID = "A".repeat(29);
const BEGIN = `event: begin\ndata: {"id":"${ID}","created":${SECOND}}\n\n`;
const QUESTION = '{"prompt":"你好 🌊","model":"gpt-4o"}';

const clean: (() => void)[] = [];
afterEach(() => {
  for (const close of clean.splice(0)) close();
});

function piece(text: string): string {
  return `event: piece\ndata: ${JSON.stringify({ text })}\n\n`;
}

function done(reason: string): string {
  return `event: done\ndata: {"reason":"${reason}"}\n\n`;
}

function fixedStamps(): Stamps {
  return new Stamps(() => SECOND, (target) => void target.fill(0));
}

/** A server with nothing but the example's row in it. */
function served(source: Source, keepaliveMs = 0) {
  const events: Event[] = [];
  const engine = { ...makeEngine((event) => void events.push(event)), keepaliveMs };
  const driver = new Driver(engine, {
    body_max_bytes: 1000,
    body_timeout_ms: 60_000,
    bodies_max_bytes: 1000,
  });
  const row = exampleRoute(exampleSurface(source, fixedStamps()));
  const router = new Router([row], () => false);
  const server = listen((exchange) => {
    const { head } = exchange;
    const match = router.match(head.method, pathOf(head.target));
    if (match === undefined || typeof match.route.serve === "function") {
      return exchange.whole(404, {}, null);
    }
    driver.answer(match.route.serve, { head, params: match.params, body: exchange }, exchange);
  });
  clean.push(() => void server.stop(true));
  async function ask(body = QUESTION): Promise<RawClient> {
    const bytes = Buffer.from(body);
    const head = "POST /example HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" +
      `Content-Length: ${bytes.length}\r\n\r\n`;
    return await connect(server.port, Buffer.concat([Buffer.from(head), bytes]));
  }
  return {
    engine,
    events,
    ask,
    async answer(body?: string) {
      const { status, head, body: bytes, isWhole } = parseRaw(await (await ask(body)).closed);
      return { status, head, text: bytes.toString(), isWhole };
    },
    async outcome() {
      const ended = await waitFor(
        () => events.find((event) => event.kind === "exchange_ended"),
        "the exchange to end",
      );
      return ended.exchange.outcome;
    },
  };
}

function mock(reply: string, delay_ms = 0): Mock {
  return new Mock(
    { reply, first_token_ms: delay_ms, delay_ms, chunks: "word", tools: "forced", models: [] },
    new TokenCounters(65_536),
  );
}

/** An upstream that plays `script`, as a source. */
function upstream(script: readonly Act[]) {
  const rig = new Rig("http1");
  clean.push(() => rig.close());
  rig.acts = () => script;
  return rig;
}

const WHOLE = BEGIN + piece("水 ") + piece("flows ") + piece("🌊") + done("stop");

describe("the example dialect", () => {
  for (const delayMs of [0, 5]) {
    test(`streams what the mock says, one word each ${delayMs} ms`, async () => {
      const server = served(mock("水 flows 🌊", delayMs));
      const { status, head, text, isWhole } = await server.answer();
      expect([status, isWhole]).toEqual([200, true]);
      expect(head).toContain("content-type: text/event-stream");
      expect(text).toBe(WHOLE);
      expect(await server.outcome()).toBe("completed");
    });
  }

  test("streams what an upstream says while it says it", async () => {
    const next = gate();
    const { source } = upstream([
      act.send(sseHead()),
      said({ role: "assistant", content: "" }),
      said({ reasoning_content: "hm" }),
      said({ content: "水 " }),
      act.wait(next.opened),
      said({ content: "flows " }),
      said({ content: "🌊" }),
      said({}, "length"),
      ...END,
    ]);
    const server = served(source);
    const client = await server.ask();
    await client.until("水");
    expect(client.text()).not.toContain("flows");
    next.open();
    const { status, body, isWhole } = parseRaw(await client.closed);
    expect([status, isWhole]).toEqual([200, true]);
    expect(body.toString()).toBe(WHOLE.replace("stop", "length"));
  });

  test("asks the upstream for the prompt", async () => {
    const rig = upstream([act.send(sseHead()), said({ content: "x" }, "stop"), ...END]);
    await served(rig.source).answer();
    expect(JSON.parse(rig.upstream.requests[0]!.body.toString())).toMatchObject({
      model: "gpt-4o",
      messages: [{ role: "user", content: "你好 🌊" }],
    });
  });

  test("says that an upstream broke off, and not that it is done", async () => {
    const next = gate();
    const { source } = upstream([
      act.send(sseHead()),
      said({ content: "half" }),
      act.wait(next.opened),
      act.send(chunk('data: {"error":{"message":"overloaded 忙"}}\n\n')),
      act.stall,
    ]);
    const server = served(source);
    const client = await server.ask();
    await client.until("half");
    next.open();
    const { body, isWhole } = parseRaw(await client.closed);
    expect(isWhole).toBe(true);
    expect(body.toString()).toBe(
      `${BEGIN}${piece("half")}event: error\ndata: ` +
        '{"code":"upstream_broken","message":"overloaded 忙"}\n\n',
    );
    expect(await server.outcome()).toBe("upstream_failed");
  });

  test("a client that leaves stops the upstream", async () => {
    const rig = upstream([act.send(sseHead()), said({ content: "half" }), act.stall]);
    const server = served(rig.source);
    const client = await server.ask();
    await client.until("half");
    client.leave();
    await waitFor(() => rig.upstream.aborted === 1, "the upstream to be aborted");
    expect(await server.outcome()).toBe("client_left");
    expect(server.engine.streams.size).toBe(0);
  });

  const refusals: readonly (readonly [string, string, number, string])[] = [
    ["no JSON", "{", 400, "request_invalid"],
    ["no prompt", "{}", 400, "request_invalid"],
    ["a prompt that is none", '{"prompt":7}', 400, "request_invalid"],
    ["too much", `{"prompt":"${"x".repeat(1000)}"}`, 413, "body_too_large"],
  ];
  for (const [name, body, expected, code] of refusals) {
    test(`refuses ${name} with ${expected}`, async () => {
      const { status, text } = await served(mock("x")).answer(body);
      expect([status, JSON.parse(text).code]).toEqual([expected, code]);
    });
  }

  test("an upstream that refuses is the answer", async () => {
    const { source } = upstream([
      act.send("HTTP/1.1 429 X\r\ncontent-length: 4\r\n\r\nbusy"),
    ]);
    const { status, text } = await served(source).answer();
    expect(status).toBe(429);
    expect(JSON.parse(text)).toEqual({ code: "upstream_refused", message: "busy" });
  });

  test("laid frames and live writing give the same bytes", () => {
    const steps: readonly Step[] = [
      { kind: "delta", choice: 0, block: "text", text: "水 1764300000" },
      { kind: "delta", choice: 1, block: "text", text: "no" },
      { kind: "end", choice: 0, reason: "length" },
    ];
    const timed = steps.map((step) => ({ ...step, afterMs: 0 }));
    const frames = layScript({ name: "s", steps: timed }, EXAMPLE_LAYOUT);
    const stamps = fixedStamps().withIds(29);
    stampWhole(frames, stamps.own(1));
    const writer = EXAMPLE_LAYOUT.writer([String(SECOND), ID]);
    const live = steps.map((step) => writer.step(step)).join("") + writer.close();
    expect(new TextDecoder().decode(frames.bytes)).toBe(live);
    expect(live).toBe(BEGIN + piece("水 1764300000") + done("length"));
  });

  test("is in the documents by its row", () => {
    const row = exampleRoute(exampleSurface(mock("x"), fixedStamps()));
    const document = JSON.stringify(openapiDocument([row], "1"));
    expect(document).toContain('"/example":{"post"');
    expect(readRequest(JSON.stringify(row.body!.example)).messages).toEqual([
      { role: "user", content: "你好" },
    ]);
  });

  test("is under 120 lines", () => {
    const file = join(import.meta.dir, "example_dialect.ts");
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    expect(lines.length).toBeLessThan(120);
  });
});
