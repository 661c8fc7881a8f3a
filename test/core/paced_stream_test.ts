import { afterEach, describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import { waitFor } from "../server/launch.ts";
import { NotingKeeper } from "./driver_rig.ts";
import { asking, handServer, said, steps, WRITE_TIMEOUT_MS } from "./hand_server.ts";

let open: ReturnType<typeof handServer> | undefined;
afterEach(() => open?.server.stop(true));

const TEXTS = ["a", "b", "c"] as const;
const three = (firstMs: number, keeper?: NotingKeeper) => asking(steps(firstMs, 50, TEXTS), keeper);

describe("PacedStream", () => {
  test("writes each frame when it is due and not before", async () => {
    const hand = open = handServer(three(0));
    await hand.connect();
    await waitFor(() => hand.contents().length === 1);
    for (const [ms, count] of [[49, 1], [50, 2], [99, 2], [100, 3]] as const) {
      hand.moveTo(ms);
      await waitFor(() => hand.contents().length === count);
      expect(hand.contents()).toEqual(said(...TEXTS).slice(0, count));
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
    await waitFor(() => hand.engine.streams.size === 1);
    hand.moveTo(29);
    await new Promise((resolve) => setImmediate(resolve));
    expect(hand.text()).toBe("");
    expect(hand.latenessMs).toEqual([]);
    hand.moveTo(30);
    await waitFor(() => hand.contents().length === 1);
  });

  test("writes a comment into silence as long as keepaliveMs, and keeps the schedule", async () => {
    const hand = open = handServer(asking(steps(0, 1000, ["a", "b"])), 400);
    await hand.connect();
    await waitFor(() => hand.contents().length === 1);
    hand.moveTo(400);
    await waitFor(() => hand.comments() === 1);
    hand.moveTo(800);
    await waitFor(() => hand.comments() === 2);
    hand.moveTo(1000);
    await waitFor(() => hand.contents().length === 2);
    expect(hand.latenessMs).toEqual([0, 0]);
  });

  test("begins with a comment when the first frame is further away than keepaliveMs", async () => {
    const hand = open = handServer(three(1000), 400);
    await hand.connect();
    await waitFor(() => hand.engine.streams.size === 1);
    hand.moveTo(400);
    await waitFor(() => hand.comments() === 1);
    expect(hand.contents()).toEqual([]);
    hand.moveTo(1000);
    await waitFor(() => hand.contents().length === 1);
    expect(hand.latenessMs).toEqual([0]);
  });

  for (const [name, firstMs] of [["mid-stream", 0], ["before its first frame", 500]] as const) {
    test(`frees everything when the client leaves ${name}`, async () => {
      const hand = open = handServer(three(firstMs));
      const socket = await hand.connect();
      await waitFor(() => hand.engine.streams.size === 1);
      if (firstMs === 0) await waitFor(() => hand.contents().length === 1);
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
    expect(hand.events).toMatchObject([{ exchange: { outcome: "shut_down" } }]);
  });

  test("fail() before the first frame is an error answer with its status", async () => {
    const hand = open = handServer(three(500));
    await hand.connect();
    await waitFor(() => hand.engine.streams.size === 1);
    for (const stream of hand.engine.streams) {
      stream.fail(new AppError("shutting_down", "Stopping"));
    }
    await waitFor(hand.isClosed);
    expect(hand.text()).toStartWith("HTTP/1.1 503");
    expect(hand.text()).toEndWith("\r\n\r\nStopping");
  });

  const MEGABYTES = "x".repeat(4 * 1024 * 1024);

  test("a reader that stops reading holds up its own stream only, and nothing is written", async () => {
    const hand = open = handServer(asking(steps(0, 50, [MEGABYTES, MEGABYTES, "end"])));
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
    const hand = open = handServer(asking(steps(0, 50, [MEGABYTES, MEGABYTES, "end"])));
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

describe("PacedStream with a keeper", () => {
  /** A keeper whose saving the test settles by hand. */
  function handKeeper() {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    return { keeper: new NotingKeeper({ gate: promise }), resolve, reject };
  }

  const atOnce = (keeper: NotingKeeper) => asking(steps(0, 0, ["a", "b"]), keeper);

  test("sends every text before it is kept, and the end mark after", async () => {
    const { keeper, resolve } = handKeeper();
    const hand = open = handServer(atOnce(keeper));
    await hand.connect();
    await waitFor(() => hand.contents().length === 2);
    expect(keeper.kept).toEqual([["ab", false]]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(hand.contents()).toEqual(said("a", "b"));
    resolve();
    await waitFor(hand.isClosed);
    expect(hand.contents().at(-1)).toBe("[DONE]");
    expect(hand.text()).toEndWith("0\r\n\r\n");
    expect(hand.events).toMatchObject([{ exchange: { outcome: "completed" } }]);
    expect(hand.engine.streams.size).toBe(0);
    expect(keeper.finished).toBe(1);
  });

  test("asks it when the end mark is due and not before", async () => {
    const { keeper, resolve } = handKeeper();
    const hand = open = handServer(three(0, keeper));
    await hand.connect();
    await waitFor(() => hand.contents().length === 1);
    hand.moveTo(149);
    await waitFor(() => hand.contents().length === 3);
    expect(keeper.kept).toEqual([]);
    hand.moveTo(150);
    expect(keeper.kept).toEqual([["abc", false]]);
    resolve();
    await waitFor(hand.isClosed);
    expect(hand.contents().at(-1)).toBe("[DONE]");
  });

  test("says the error and no end mark when it fails", async () => {
    const { keeper, reject } = handKeeper();
    const hand = open = handServer(atOnce(keeper));
    await hand.connect();
    await waitFor(() => hand.contents().length === 2);
    reject(new AppError("unavailable", "The disk is full"));
    await waitFor(hand.isClosed);
    expect(hand.contents()).toEqual([...said("a", "b"), '{"error":"The disk is full"}']);
    expect(hand.events).toMatchObject([{ exchange: { outcome: "refused" } }]);
    expect(keeper.kept).toHaveLength(1);
    expect(keeper.finished).toBe(1);
  });

  test("keeps what was sent when the client leaves", async () => {
    const { keeper } = handKeeper();
    const hand = open = handServer(three(0, keeper));
    const socket = await hand.connect();
    await waitFor(() => hand.contents().length === 1);
    hand.moveTo(50);
    await waitFor(() => hand.contents().length === 2);
    socket.terminate();
    await waitFor(() => hand.engine.streams.size === 0);
    expect(keeper.kept).toEqual([["ab", true]]);
    expect(hand.engine.wheel.waiting).toBe(0);
  });

  test("does not keep twice when the client leaves while it keeps", async () => {
    const { keeper, resolve } = handKeeper();
    const hand = open = handServer(atOnce(keeper));
    const socket = await hand.connect();
    await waitFor(() => hand.contents().length === 2);
    socket.terminate();
    await waitFor(() => hand.engine.streams.size === 0);
    resolve();
    await waitFor(() => keeper.finished === 1);
    expect(keeper.kept).toEqual([["ab", false]]);
    expect(hand.events).toMatchObject([{ exchange: { outcome: "client_left" } }]);
  });

  for (const [when, firstMs, sent] of [["mid-stream", 0, 1], ["before the first", 9, 0]] as const) {
    test(`keeps nothing at a shutdown ${when}, and finishes`, async () => {
      const { keeper } = handKeeper();
      const hand = open = handServer(three(firstMs, keeper));
      await hand.connect();
      await waitFor(() => hand.engine.streams.size === 1 && hand.contents().length === sent);
      for (const stream of hand.engine.streams) stream.fail(new AppError("shutting_down", "Stop"));
      await waitFor(hand.isClosed);
      expect([keeper.kept, keeper.finished]).toEqual([[], 1]);
      expect(hand.contents()).not.toContain("[DONE]");
    });
  }

  test("cuts a slow reader off while it keeps, once its time is over", async () => {
    const { keeper, resolve } = handKeeper();
    const text = "x".repeat(4 * 1024 * 1024);
    const hand = open = handServer(asking(steps(0, 0, [text, text]), keeper));
    const socket = await hand.connect();
    socket.pause();
    await waitFor(() => keeper.kept.length === 1);
    resolve();
    await waitFor(() => keeper.finished === 1);
    let nowMs = WRITE_TIMEOUT_MS - 1;
    hand.moveTo(nowMs);
    expect(hand.engine.streams.size).toBe(1);
    // The kernel may take some more at each look, as long as its buffers grow.
    await waitFor(() => {
      hand.moveTo(nowMs += WRITE_TIMEOUT_MS + 1);
      return hand.engine.streams.size === 0;
    });
    expect(hand.engine.wheel.waiting).toBe(0);
    expect(hand.events.at(-1)).toMatchObject({ exchange: { outcome: "timed_out" } });
    socket.resume();
    await waitFor(hand.isClosed);
    expect(hand.text()).not.toContain("[DONE]");
  });
});
