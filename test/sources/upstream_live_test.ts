import { afterAll, beforeAll, beforeEach, describe, expect, spyOn, test } from "bun:test";
import type { LiveStep, Turn } from "../../src/core/answer.ts";
import { EMPTY_TURN } from "../../src/core/answer.ts";
import { dataEvent, type Dialect, DONE_EVENT } from "../../src/core/dialect.ts";
import { AppError } from "../../src/core/errors.ts";
import type { Event } from "../../src/core/events.ts";
import { type Engine, Exchange } from "../../src/core/exchange.ts";
import { speak } from "../../src/core/speak.ts";
import { timerAlarm, Wheel } from "../../src/lib/wheel.ts";
import { fetchTransport, routedFetch } from "../../src/sources/transport.ts";
import { Upstream, type UpstreamOptions } from "../../src/sources/upstream.ts";
import { waitFor } from "../server/launch.ts";
import { CHAT, gate } from "../server/proxied.ts";
import { connect, parseRaw, rawChat } from "../server/raw_client.ts";
import {
  type Act,
  act,
  chunk,
  LAST_CHUNK,
  response,
  type ScriptedUpstream,
  scriptedUpstream,
  sseHead,
} from "../server/scripted_upstream.ts";

const TURN: Turn = {
  ...EMPTY_TURN,
  model: "gpt-4o",
  messages: [{ role: "user", content: "你好 🌊" }],
  isStream: true,
  tokensMax: 9,
  stop: ["水"],
  params: { temperature: 0.5 },
};

/** The smallest dialect. */
const PLAIN: Dialect = {
  open: () => "",
  text: (text) => dataEvent(text),
  end: (reason, usage) => dataEvent({ reason, usage: usage ?? null }) + DONE_EVENT,
  error: ({ code, message }) => dataEvent({ error: code, message }),
};

/** What the official client would log to; the type library does not know it. */
const CONSOLE = Reflect.get(globalThis, "console") as { error: (...words: unknown[]) => void };

let acts: () => readonly Act[] = () => [];
let upstream: ScriptedUpstream;
let server: ReturnType<typeof Bun.serve>;
let source: Upstream;
let turn: Turn = TURN;
let ended: { text: string; isWhole: boolean }[] = [];
const events: Event[] = [];
const engine: Engine = {
  wheel: new Wheel(() => performance.now(), timerAlarm()),
  streams: new Set(),
  watch: (event) => void events.push(event),
  keepaliveMs: 0,
  writeTimeoutMs: 60_000,
};

function makeSource(options: Partial<UpstreamOptions> = {}): Upstream {
  const route = { proxy: "", ca: "" };
  const base_url = `${upstream.url}/v1`;
  return new Upstream({
    base_url,
    api_key: "sk-up",
    model_id: "configured",
    headers_timeout_ms: 30_000,
    first_token_timeout_ms: 30_000,
    idle_timeout_ms: 30_000,
    retries: 0,
    headers: { "x-team": "blue" },
    on_disconnect: "cancel",
    passes_client_key: true,
    ...options,
  }, {
    transport: fetchTransport({ ...route, base_url, configKey: "llm.base_url" }),
    fetch: routedFetch(route),
    random: () => 0,
    wallMs: Date.now,
  });
}

beforeAll(() => {
  upstream = scriptedUpstream(() => acts());
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const exchange = new Exchange(engine, "test", request);
      try {
        const answer = await source.answer(turn, exchange);
        if (answer.kind !== "live") throw new TypeError("It must be live");
        return await speak(answer.steps, {
          exchange,
          dialect: PLAIN,
          headers: { "content-type": "text/event-stream" },
          abort: () => {},
          onEnd: (text, isWhole) => void ended.push({ text, isWhole }),
        });
      } catch (error) {
        const { code, status, message, param } = exchange.refuse(error);
        return Response.json({ code, message, param }, { status });
      }
    },
  });
});
afterAll(() => {
  server.stop(true);
  upstream.close();
});
beforeEach(() => {
  source = makeSource();
  turn = TURN;
  ended = [];
  events.length = 0;
});

/** One chunk of the real API's. */
function said(delta: object, finish: string | null = null, more: object = {}): Act {
  const value = { id: "x", choices: [{ index: 0, delta, finish_reason: finish }], ...more };
  return act.send(chunk(dataEvent(value)));
}

const USAGE = { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 };
const USAGE_CHUNK = act.send(chunk(dataEvent({ id: "x", choices: [], usage: USAGE })));
const END = [act.send(chunk(DONE_EVENT)), act.send(LAST_CHUNK)];

async function ask() {
  const client = await connect(server.port!, rawChat(CHAT, ["Connection: close"]));
  return parseRaw(await client.closed);
}

function untilFree(): Promise<unknown> {
  return waitFor(() => engine.streams.size === 0 && engine.wheel.waiting === 0, "nothing open");
}

describe("a live answer", () => {
  test("is told step by step: texts, the reason, the usage", async () => {
    acts = () => [
      act.send(sseHead()),
      said({ role: "assistant", content: "" }),
      said({ content: "水 " }),
      said({ content: "🌊" }),
      said({}, "length"),
      USAGE_CHUNK,
      ...END,
    ];
    const { status, body, isWhole } = await ask();
    expect([status, isWhole]).toEqual([200, true]);
    expect(body.toString()).toBe(
      dataEvent("水 ") + dataEvent("🌊") +
        dataEvent({ reason: "length", usage: { promptTokens: 3, completionTokens: 5 } }) +
        DONE_EVENT,
    );
    expect(ended).toEqual([{ text: "水 🌊", isWhole: true }]);
    expect(events.map(({ kind }) => kind)).toEqual(["upstream_ended", "exchange_ended"]);
    await untilFree();
  });

  test("each step leaves before the next one comes", async () => {
    const next = gate();
    acts = () => [
      act.send(sseHead()),
      said({ content: "one" }),
      act.wait(next.opened),
      said({ content: "two" }, "stop"),
      ...END,
    ];
    const client = await connect(server.port!, rawChat(CHAT, ["Connection: close"]));
    await client.until('"one"');
    expect(client.text()).not.toContain("two");
    next.open();
    expect((await client.closed).toString()).toContain('"two"');
  });

  test("asks the upstream for what the turn says", async () => {
    acts = () => [act.send(sseHead()), said({ content: "x" }, "stop"), ...END];
    await ask();
    const request = upstream.requests.at(-1)!;
    expect(JSON.parse(request.body.toString())).toEqual({
      temperature: 0.5,
      model: "gpt-4o",
      messages: TURN.messages,
      max_tokens: 9,
      stop: ["水"],
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(request.headers["authorization"]).toBe("Bearer sk-up");
    expect(request.headers["via"]).toBe("1.1 weir");
    expect(request.headers["x-team"]).toBe("blue");
  });

  test("takes the configured model for a turn without one", async () => {
    turn = { ...TURN, model: "" };
    acts = () => [act.send(sseHead()), said({ content: "x" }, "stop"), ...END];
    await ask();
    expect(JSON.parse(upstream.requests.at(-1)!.body.toString()).model).toBe("configured");
  });

  test("sends no Authorization when there is no key, never the client's", async () => {
    source = makeSource({ api_key: "" });
    acts = () => [act.send(sseHead()), said({ content: "x" }, "stop"), ...END];
    const fields = ["Connection: close", "Authorization: Bearer sk-client"];
    const client = await connect(server.port!, rawChat(CHAT, fields));
    await client.closed;
    expect(upstream.requests.at(-1)!.headers["authorization"]).toBeUndefined();
  });
});

describe("before the first step, what the upstream did is the answer", () => {
  const refusals = [400, 401, 403, 404, 422, 429, 500, 503] as const;
  for (const upstreamStatus of refusals) {
    test(`its status ${upstreamStatus} and its sentence`, async () => {
      const error = { message: "nein 不行", type: "t", param: "p", code: "c" };
      acts = () => [
        act.send(
          response(
            JSON.stringify({ error }),
            { "content-type": "application/json" },
            `${upstreamStatus} X`,
          ),
        ),
      ];
      const { status, body } = await ask();
      expect(status).toBe(upstreamStatus);
      expect(JSON.parse(body.toString())).toEqual({
        code: "upstream_refused",
        message: `${upstreamStatus} nein 不行`,
        param: "p",
      });
      expect(ended).toEqual([]);
      await untilFree();
    });
  }

  const limits: readonly (readonly [string, Partial<UpstreamOptions>, readonly Act[]])[] = [
    ["headers", { headers_timeout_ms: 60 }, [act.stall]],
    ["first_token", { first_token_timeout_ms: 60 }, [act.send(sseHead()), act.stall]],
  ];
  for (const [name, options, script] of limits) {
    test(`llm.${name}_timeout_ms: 504, and the upstream is aborted`, async () => {
      const { aborted } = upstream;
      source = makeSource(options);
      acts = () => script;
      const { status, body } = await ask();
      expect(status).toBe(504);
      expect(JSON.parse(body.toString()).message).toContain(`llm.${name}_timeout_ms`);
      await waitFor(() => upstream.aborted > aborted, "the upstream to be aborted");
      await untilFree();
    });
  }

  test("an upstream that ends without a word is 502", async () => {
    acts = () => [act.send(sseHead()), act.send(LAST_CHUNK)];
    const { status, body } = await ask();
    expect(status).toBe(502);
    expect(JSON.parse(body.toString()).code).toBe("upstream_broken");
  });

  test("an upstream that is gone is 502", async () => {
    source = makeSource({ base_url: "http://127.0.0.1:1/v1" });
    const { status, body } = await ask();
    expect(status).toBe(502);
    expect(JSON.parse(body.toString()).code).toBe("upstream_unreachable");
    await untilFree();
  });

  test("shutdown finds a request that waits, and refuses it", async () => {
    acts = () => [act.stall];
    const pending = ask();
    await waitFor(() => engine.streams.size === 1, "it to wait");
    for (const stream of engine.streams) stream.fail(new AppError("shutting_down", "bye"));
    const { status, body } = await pending;
    expect([status, JSON.parse(body.toString()).code]).toEqual([503, "shutting_down"]);
    await untilFree();
  });

  test("a refused request is tried again by the official client", async () => {
    source = makeSource({ retries: 1 });
    const asked = upstream.requests.length;
    acts = () =>
      upstream.requests.length === asked + 1
        ? [act.send(response("{}", { "retry-after-ms": "1" }, "503 No"))]
        : [act.send(sseHead()), said({ content: "x" }, "stop"), ...END];
    expect((await ask()).status).toBe(200);
    expect(upstream.requests.length).toBe(asked + 2);
  });
});

describe("behind the first step, it is an error event, and no end mark", () => {
  const first = [act.send(sseHead()), said({ content: "half" })];
  const rows: readonly {
    readonly name: string;
    readonly options?: Partial<UpstreamOptions>;
    readonly then: readonly Act[];
    readonly code: string;
  }[] = [
    {
      name: "silence",
      options: { idle_timeout_ms: 60 },
      then: [act.stall],
      code: "upstream_timeout",
    },
    { name: "a broken connection", then: [act.reset], code: "upstream_broken" },
    { name: "an end without a reason", then: END, code: "upstream_broken" },
    {
      name: "an error event of the upstream's",
      then: [act.send(chunk(dataEvent({ error: { message: "overloaded" } }))), ...END],
      code: "upstream_broken",
    },
    {
      name: "an event that is no JSON",
      then: [act.send(chunk("data: {no\n\n")), act.stall],
      code: "upstream_broken",
    },
  ];
  for (const { name, options, then, code } of rows) {
    test(name, async () => {
      using printed = spyOn(CONSOLE, "error");
      source = makeSource(options);
      const next = gate();
      acts = () => [...first, act.wait(next.opened), ...then];
      const client = await connect(server.port!, rawChat(CHAT, ["Connection: close"]));
      await client.until('"half"');
      next.open();
      const { body } = parseRaw(await client.closed);
      const text = body.toString();
      expect(text).toStartWith(`${dataEvent("half")}data: {"error":"${code}"`);
      expect(text).not.toContain("[DONE]");
      expect(ended).toEqual([{ text: "half", isWhole: false }]);
      expect(events.filter(({ kind }) => kind === "bug")).toEqual([]);
      expect(printed).not.toHaveBeenCalled(); // nothing that was said goes into a log
      await untilFree();
    });
  }
});

describe("a client that leaves stops the upstream", () => {
  const windows: readonly (readonly [string, readonly Act[], string])[] = [
    ["before its headers", [act.stall], ""],
    ["before its first chunk", [act.send(sseHead()), act.stall], ""],
    ["mid-stream", [act.send(sseHead()), said({ content: "half" }), act.stall], '"half"'],
  ];
  for (const [name, script, seen] of windows) {
    test(name, async () => {
      const [asked, aborted] = [upstream.requests.length, upstream.aborted];
      acts = () => script;
      const client = await connect(server.port!, rawChat(CHAT));
      await waitFor(() => upstream.requests.length > asked, "the request");
      if (seen !== "") await client.until(seen);
      client.leave();
      await waitFor(() => upstream.aborted > aborted, "the upstream to be aborted");
      await untilFree();
      expect(events.filter(({ kind }) => kind === "bug")).toEqual([]);
    });
  }

  test("but drain reads it to its end, and onEnd gets the whole text", async () => {
    source = makeSource({ on_disconnect: "drain" });
    const { aborted } = upstream;
    const left = gate();
    acts = () => [
      act.send(sseHead()),
      said({ content: "half" }),
      act.wait(left.opened),
      said({ content: " and half" }, "stop"),
      ...END,
    ];
    const client = await connect(server.port!, rawChat(CHAT));
    await client.until('"half"');
    client.leave();
    await waitFor(() => events.length === 1, "weir to see it leave");
    left.open();
    await waitFor(() => ended.length === 1, "the end");
    expect(ended).toEqual([{ text: "half and half", isWhole: true }]);
    expect(upstream.aborted).toBe(aborted);
    await untilFree();
  });
});

test("a reader that stops early frees the upstream", async () => {
  acts = () => [act.send(sseHead()), said({ content: "half" }), act.stall];
  const { aborted } = upstream;
  const exchange = new Exchange(engine, "test", new Request("http://weir/"));
  const answer = await source.answer(TURN, exchange);
  if (answer.kind !== "live") throw new TypeError("It must be live");
  const seen: LiveStep[] = [];
  for await (const step of answer.steps) {
    seen.push(step);
    break;
  }
  expect(seen).toEqual([{ kind: "text", text: "half" }]);
  await waitFor(() => upstream.aborted > aborted, "the upstream to be aborted");
  await untilFree();
});
