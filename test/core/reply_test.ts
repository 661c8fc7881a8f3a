import { getRandomValues } from "node:crypto";
import { afterEach, describe, expect, test } from "bun:test";
import { Exchange } from "../../src/core/exchange.ts";
import { layFrames, type Layout, layScript } from "../../src/core/frames.ts";
import { isDueAtOnce, reply } from "../../src/core/reply.ts";
import { Stamps } from "../../src/core/stamp.ts";
import type { Manner } from "../../src/core/surface.ts";
import { rawExchange } from "../server/launch.ts";
import { DriverRig } from "./driver_rig.ts";
import { MemoryWriter } from "./memory_writer.ts";
import { handServer } from "./hand_server.ts";

const WALL_MS = 1_700_000_000_000;

/** An answer that is nothing but its stamps. */
const STAMPS_ONLY: Layout = {
  key: "stamps only",
  idLengths: [29],
  writer: ([created, id]) => ({ step: () => "", close: () => `id ${id} at ${created}\n\n` }),
};

function mannerOf(stamps: Stamps): Manner {
  return {
    stamps: stamps.withIds(29),
    headers: () => ({}),
    errorEvent: () => null,
    recordLateness: () => {},
  };
}

let open: ReturnType<typeof handServer> | undefined;
afterEach(() => open?.server.stop(true));

describe("reply()", () => {
  test("writes a whole answer at once, with its length, ids and time patched in", async () => {
    const frames = layScript({ name: "s", steps: [] }, STAMPS_ONLY);
    const manner = mannerOf(new Stamps(() => WALL_MS / 1000, (target) => target.fill(0)));
    const hand = open = handServer(() => ({ kind: "frames", frames, manner }));
    const answer = await rawExchange(
      hand.server.port,
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    expect(answer).toMatch(/content-length: 48/i);
    expect(answer).toEndWith(`id ${"A".repeat(29)} at 1700000000\n\n`);
    expect(hand.engine.wheel.waiting).toBe(0);
    expect(hand.engine.streams.size).toBe(0);
    expect(hand.events).toMatchObject([{ kind: "exchange_ended", exchange: { bodyBytes: 48 } }]);
  });

  test("gives each answer bytes of its own, though all are stamped in one place", () => {
    const frames = layScript({ name: "s", steps: [] }, STAMPS_ONLY);
    const manner = mannerOf(
      new Stamps(() => WALL_MS / 1000, (target) => void getRandomValues(target)),
    );
    const { engine } = new DriverRig();
    const writers = Array.from({ length: 100 }, () => new MemoryWriter());
    for (const writer of writers) {
      reply(frames, new Exchange(engine, "test", { method: "GET" }), manner, writer);
    }
    expect(new Set(writers.map(({ text }) => text)).size).toBe(100);
    for (const { text } of writers) expect(text).toMatch(/^id [A-Za-z0-9]{29} at 1700000000\n\n$/);
  });

  test("makes the headers for the exchange that it answers", () => {
    const frames = layScript({ name: "s", steps: [] }, STAMPS_ONLY);
    const { engine } = new DriverRig();
    const manner: Manner = {
      ...mannerOf(new Stamps(() => WALL_MS / 1000, (target) => target.fill(0))),
      headers: ({ surface }) => ({ "x-of": surface }),
    };
    const writer = new MemoryWriter();
    reply(frames, new Exchange(engine, "one", { method: "GET" }), manner, writer);
    expect(writer.headers!.get("x-of")).toBe("one");
  });
});

describe("isDueAtOnce()", () => {
  for (
    const [dueMs, wanted] of [[[0], true], [[0, 0], true], [[0, 1], false], [[5], false]] as const
  ) {
    test(`frames due at ${dueMs}: ${wanted}`, () => {
      expect(isDueAtOnce(layFrames(dueMs.map((dueMs) => ({ text: "x", dueMs }))))).toBe(wanted);
    });
  }
});
