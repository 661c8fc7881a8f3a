import { getRandomValues } from "node:crypto";
import { afterEach, describe, expect, test } from "bun:test";
import type { Script } from "../../src/core/answer.ts";
import { dataEvent, type Dialect, DONE_EVENT } from "../../src/core/dialect.ts";
import { AppError } from "../../src/core/errors.ts";
import type { Event } from "../../src/core/events.ts";
import { type Engine, Exchange } from "../../src/core/exchange.ts";
import { encodeScript, layFrames } from "../../src/core/frames.ts";
import { reply } from "../../src/core/reply.ts";
import type { Keeper, Voice } from "../../src/core/voice.ts";
import { Stamps } from "../../src/core/stamp.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { rawExchange, waitFor } from "../server/launch.ts";

const DIALECT: Dialect = {
  open: () => "",
  text: (text) => dataEvent({ content: text }),
  end: () => DONE_EVENT,
  error: (error) => dataEvent({ error: error.message }),
};

function script(firstMs: number, delayMs: number, texts: readonly string[]): Script {
  return {
    name: "script",
    steps: [
      ...texts.map((text, i) => ({
        kind: "text" as const,
        text,
        afterMs: i === 0 ? firstMs : delayMs,
      })),
      { kind: "end", reason: "stop", afterMs: delayMs },
    ],
  };
}

const WRITE_TIMEOUT_MS = 60_000;

/** A real server whose wheel the test turns by hand. */
function handServer(frames: Parameters<typeof reply>[0], keepaliveMs = 0, keeper?: Keeper) {
  const clock = { nowMs: 0 };
  const events: Event[] = [];
  const latenessMs: number[] = [];
  const engine: Engine = {
    wheel: new Wheel(() => clock.nowMs, () => {}),
    streams: new Set(),
    watch: (event) => events.push(event),
    keepaliveMs,
    writeTimeoutMs: WRITE_TIMEOUT_MS,
  };
  const voice: Voice = {
    stamps: new Stamps(() => 1_700_000_000_000, (target) => target.fill(0)),
    headers: () => ({ "content-type": "text/event-stream" }),
    errorEvent: (error) => DIALECT.error(error),
    recordLateness: (lateMs) => latenessMs.push(lateMs),
  };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    development: false,
    async fetch(request) {
      const exchange = new Exchange(engine, "test", request);
      try {
        return await reply(frames, exchange, voice, keeper);
      } catch (error) {
        const failure = exchange.refuse(error);
        return new Response(failure.message, { status: failure.status });
      }
    },
  });
  let text = "";
  let isClosed = false;
  const decoder = new TextDecoder();
  const connect = () =>
    Bun.connect({
      hostname: "127.0.0.1",
      port: server.port!,
      socket: {
        open: (socket) =>
          void socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        data: (_socket, bytes) => {
          text += decoder.decode(bytes, { stream: true });
        },
        close: () => {
          isClosed = true;
        },
        error: () => {},
      },
    });
  return {
    server,
    engine,
    events,
    latenessMs,
    connect,
    text: () => text,
    isClosed: () => isClosed,
    contents: () => [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => data),
    moveTo(ms: number) {
      clock.nowMs = ms;
      engine.wheel.turn();
    },
  };
}

let open: { server: ReturnType<typeof Bun.serve> } | undefined;
afterEach(() => open?.server.stop(true));

const three = (firstMs: number) => encodeScript(script(firstMs, 50, ["a", "b", "c"]), DIALECT);
const said = (...texts: string[]) => texts.map((content) => JSON.stringify({ content }));

describe("reply()", () => {
  test("writes a whole answer at once, with its length, ids and time patched in", async () => {
    const frames = layFrames([{ text: `id ${"0".repeat(29)} at 1000000000\n\n`, dueMs: 0 }], {
      idAt: 3,
      createdAt: 36,
    }, 1);
    const hand = open = handServer(frames);
    const answer = await rawExchange(
      hand.server.port!,
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    expect(answer).toMatch(/content-length: 48/i);
    expect(answer).toEndWith(`id ${"A".repeat(29)} at 1700000000\n\n`);
  });

  test("gives each answer bytes of its own, though all are stamped in one place", async () => {
    const slots = { idAt: 0, createdAt: 29 };
    const frames = layFrames([{ text: "0".repeat(39), dueMs: 0 }], slots, 1);
    const engine: Engine = {
      wheel: new Wheel(() => 0, () => {}),
      streams: new Set(),
      watch: () => {},
      keepaliveMs: 0,
      writeTimeoutMs: WRITE_TIMEOUT_MS,
    };
    const voice: Voice = {
      stamps: new Stamps(() => 1_700_000_000_000, (target) => void getRandomValues(target)),
      headers: () => ({}),
      errorEvent: () => "",
      recordLateness: () => {},
    };
    const answers: Response[] = [];
    for (let i = 0; i < 100; i++) {
      const exchange = new Exchange(engine, "test", new Request("http://weir/"));
      answers.push(await reply(frames, exchange, voice));
    }
    const texts = new Set(await Promise.all(answers.map((answer) => answer.text())));
    expect(texts.size).toBe(100);
    for (const text of texts) expect(text).toMatch(/^[A-Za-z0-9]{29}1700000000$/);
  });

  test("writes each frame when it is due and not before", async () => {
    const hand = open = handServer(three(0));
    await hand.connect();
    await waitFor(() => hand.contents().length === 1);
    for (const [ms, count] of [[49, 1], [50, 2], [99, 2], [100, 3]] as const) {
      hand.moveTo(ms);
      await waitFor(() => hand.contents().length === count);
      expect(hand.contents()).toEqual(said("a", "b", "c").slice(0, count));
    }
    hand.moveTo(150);
    await waitFor(hand.isClosed);
    expect(hand.contents().at(-1)).toBe("[DONE]");
    expect(hand.text()).toEndWith("0\r\n\r\n");
    expect(hand.latenessMs).toEqual([0, 0, 0, 0]);
    expect(hand.engine.streams.size).toBe(0);
    expect(hand.engine.wheel.waiting).toBe(0);
  });

  test("sends frames that are due together as one slice, and records how late each is", async () => {
    const hand = open = handServer(three(0));
    await hand.connect();
    await waitFor(() => hand.contents().length === 1);
    hand.moveTo(120);
    await waitFor(() => hand.contents().length === 3);
    expect(hand.latenessMs).toEqual([0, 70, 20]);
  });

  test("sends nothing, not even a head, before the first frame is due", async () => {
    const hand = open = handServer(three(30));
    await hand.connect();
    await waitFor(() => hand.engine.wheel.waiting === 1);
    hand.moveTo(29);
    await new Promise((resolve) => setImmediate(resolve));
    expect(hand.text()).toBe("");
    hand.moveTo(30);
    await waitFor(() => hand.contents().length === 1);
  });

  test("writes a comment into silence as long as keepaliveMs, and keeps the schedule", async () => {
    const frames = encodeScript(script(0, 1000, ["a", "b"]), DIALECT);
    const hand = open = handServer(frames, 400);
    await hand.connect();
    await waitFor(() => hand.contents().length === 1);
    hand.moveTo(400);
    await waitFor(() => hand.text().split(": keep-alive\n\n").length === 2);
    hand.moveTo(800);
    await waitFor(() => hand.text().split(": keep-alive\n\n").length === 3);
    hand.moveTo(1000);
    await waitFor(() => hand.contents().length === 2);
    expect(hand.latenessMs).toEqual([0, 0]);
  });

  test("begins with a comment when the first frame is further away than keepaliveMs", async () => {
    const hand = open = handServer(three(1000), 400);
    await hand.connect();
    await waitFor(() => hand.engine.wheel.waiting === 1);
    hand.moveTo(400);
    await waitFor(() => hand.text().includes(": keep-alive\n\n"));
    expect(hand.contents()).toEqual([]);
  });

  for (const [name, firstMs] of [["mid-stream", 0], ["before its first frame", 500]] as const) {
    test(`frees everything when the client leaves ${name}`, async () => {
      const hand = open = handServer(three(firstMs));
      const socket = await hand.connect();
      await waitFor(() => hand.engine.wheel.waiting === 1);
      socket.terminate();
      await waitFor(() => hand.engine.streams.size === 0);
      expect(hand.engine.wheel.waiting).toBe(0);
      expect(hand.events).toMatchObject([
        { kind: "exchange_ended", exchange: { outcome: "client_left" } },
      ]);
    });
  }

  test("fail() mid-stream says the error and no end mark", async () => {
    const hand = open = handServer(three(0));
    await hand.connect();
    await waitFor(() => hand.contents().length === 1);
    for (const stream of hand.engine.streams) {
      stream.fail(new AppError("shutting_down", "Stopping"));
    }
    await waitFor(hand.isClosed);
    expect(hand.contents()).toEqual([...said("a"), '{"error":"Stopping"}']);
    expect(hand.engine.streams.size).toBe(0);
  });

  test("fail() before the first frame is an error answer with its status", async () => {
    const hand = open = handServer(three(500));
    await hand.connect();
    await waitFor(() => hand.engine.wheel.waiting === 1);
    for (const stream of hand.engine.streams) {
      stream.fail(new AppError("shutting_down", "Stopping"));
    }
    await waitFor(hand.isClosed);
    expect(hand.text()).toStartWith("HTTP/1.1 503");
  });

  const MEGABYTES = "x".repeat(4 * 1024 * 1024);

  test("a reader that stops reading holds up its own stream only, and nothing is written", async () => {
    const frames = encodeScript(script(0, 50, [MEGABYTES, MEGABYTES, "end"]), DIALECT);
    const hand = open = handServer(frames);
    const socket = await hand.connect();
    socket.pause();
    await waitFor(() => hand.latenessMs.length === 1);
    hand.moveTo(5000);
    expect(hand.latenessMs).toHaveLength(1);
    socket.resume();
    let ms = 5000;
    await waitFor(() => hand.text().includes("[DONE]") || (hand.moveTo(++ms), false));
    expect(ms).toBeLessThan(WRITE_TIMEOUT_MS);
    expect(hand.text().length).toBeGreaterThan(2 * MEGABYTES.length);
  });

  test("a reader that takes nothing for writeTimeoutMs is cut off without a word", async () => {
    const frames = encodeScript(script(0, 50, [MEGABYTES, MEGABYTES, "end"]), DIALECT);
    const hand = open = handServer(frames);
    const socket = await hand.connect();
    socket.pause();
    await waitFor(() => hand.latenessMs.length === 1);
    hand.moveTo(WRITE_TIMEOUT_MS - 1);
    expect(hand.engine.streams.size).toBe(1);
    hand.moveTo(WRITE_TIMEOUT_MS + 1);
    expect(hand.engine.streams.size).toBe(0);
    expect(hand.engine.wheel.waiting).toBe(0);
    expect(hand.events).toMatchObject([
      { kind: "limit_reached", limit: "server.write_timeout_ms" },
      { kind: "exchange_ended", exchange: { outcome: "timed_out" } },
    ]);
    socket.resume();
    await waitFor(hand.isClosed);
    expect(hand.text()).not.toContain("[DONE]");
    expect(hand.text()).not.toEndWith("0\r\n\r\n");
  });
});

describe("reply() with a keeper", () => {
  /** A keeper whose saving the test settles by hand. */
  function handKeeper() {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const calls: string[] = [];
    const keeper: Keeper = {
      whole: () => {
        calls.push("whole");
        return promise;
      },
      cut: (frameCount) => void calls.push(`cut ${frameCount}`),
    };
    return { keeper, calls, resolve, reject };
  }

  const atOnce = () => encodeScript(script(0, 0, ["a", "b"]), DIALECT);

  test("sends every text before it is kept, and the end mark after", async () => {
    const hands = handKeeper();
    const hand = open = handServer(atOnce(), 0, hands.keeper);
    await hand.connect();
    await waitFor(() => hand.contents().length === 2);
    expect(hands.calls).toEqual(["whole"]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(hand.contents()).toEqual(said("a", "b"));
    hands.resolve();
    await waitFor(hand.isClosed);
    expect(hand.contents().at(-1)).toBe("[DONE]");
    expect(hand.text()).toEndWith("0\r\n\r\n");
    expect(hand.events).toMatchObject([{ exchange: { outcome: "completed" } }]);
    expect(hand.engine.streams.size).toBe(0);
  });

  test("asks it when the end mark is due and not before", async () => {
    const hands = handKeeper();
    const hand = open = handServer(three(0), 0, hands.keeper);
    await hand.connect();
    await waitFor(() => hand.contents().length === 1);
    hand.moveTo(149);
    await waitFor(() => hand.contents().length === 3);
    expect(hands.calls).toEqual([]);
    hand.moveTo(150);
    expect(hands.calls).toEqual(["whole"]);
    hands.resolve();
    await waitFor(hand.isClosed);
    expect(hand.contents().at(-1)).toBe("[DONE]");
  });

  test("says the error and no end mark when it fails", async () => {
    const hands = handKeeper();
    const hand = open = handServer(atOnce(), 0, hands.keeper);
    await hand.connect();
    await waitFor(() => hand.contents().length === 2);
    hands.reject(new AppError("unavailable", "The disk is full"));
    await waitFor(hand.isClosed);
    expect(hand.contents()).toEqual([...said("a", "b"), '{"error":"The disk is full"}']);
    expect(hand.events).toMatchObject([{ exchange: { outcome: "refused" } }]);
    expect(hands.calls).toEqual(["whole"]);
  });

  test("tells it how much was sent when the client leaves", async () => {
    const hands = handKeeper();
    const hand = open = handServer(three(0), 0, hands.keeper);
    const socket = await hand.connect();
    await waitFor(() => hand.contents().length === 1);
    hand.moveTo(50);
    await waitFor(() => hand.contents().length === 2);
    socket.terminate();
    await waitFor(() => hand.engine.streams.size === 0);
    expect(hands.calls).toEqual(["cut 2"]);
    expect(hand.engine.wheel.waiting).toBe(0);
  });

  test("does not ask twice when the client leaves while it keeps", async () => {
    const hands = handKeeper();
    const hand = open = handServer(atOnce(), 0, hands.keeper);
    const socket = await hand.connect();
    await waitFor(() => hand.contents().length === 2);
    socket.terminate();
    await waitFor(() => hand.engine.streams.size === 0);
    hands.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    expect(hands.calls).toEqual(["whole"]);
    expect(hand.events).toMatchObject([{ exchange: { outcome: "client_left" } }]);
  });

  for (const [when, firstMs, sent] of [["mid-stream", 0, 1], ["before the first", 9, 0]] as const) {
    test(`tells it of a shutdown ${when}`, async () => {
      const hands = handKeeper();
      const hand = open = handServer(three(firstMs), 0, hands.keeper);
      await hand.connect();
      await waitFor(() => hand.engine.wheel.waiting === 1 && hand.contents().length === sent);
      for (const stream of hand.engine.streams) stream.fail(new AppError("shutting_down", "Stop"));
      await waitFor(hand.isClosed);
      expect(hands.calls).toEqual([`cut ${sent}`]);
      expect(hand.contents()).not.toContain("[DONE]");
    });
  }
});
