import { describe, expect, test } from "bun:test";
import type { Outcome } from "../../src/core/facts.ts";
import { layScript } from "../../src/core/frames.ts";
import type { Output } from "../../src/core/surface.ts";
import { begin, KINDS, SCRIPT_AT_ONCE } from "./driver_kinds.ts";
import { type Asked, DriverRig, expectOver, LAYOUT, settle, STOPPING } from "./driver_rig.ts";

/** Outputs that leave in one piece. */
const AT_ONCE: readonly (readonly [string, (rig: DriverRig) => Output])[] = [
  ["frames that are all due", (rig) => ({
    kind: "frames",
    frames: layScript(SCRIPT_AT_ONCE, LAYOUT),
    manner: rig.manner,
  })],
  ["an answer in one piece", () => ({ kind: "whole", status: 200, headers: {}, body: "all" })],
];

/** Every answer, said to its end, of which its client has not taken all. */
const ROWS: readonly (readonly [string, () => Promise<readonly [DriverRig, Asked]>])[] = [
  ...AT_ONCE.map(([name, output]) =>
    [name, async () => {
      const rig = new DriverRig();
      const { promise, resolve } = Promise.withResolvers<Output>();
      const asked = rig.ask(() => promise);
      asked.writer.isUntaken = true;
      resolve(output(rig));
      await settle();
      return [rig, asked] as const;
    }] as const
  ),
  ...KINDS.map((kind) =>
    [kind.name, async () => {
      const { rig, hand, asked } = begin(kind);
      await settle();
      await hand.first();
      asked.writer.isUntaken = true;
      await hand.rest();
      return [rig, asked] as const;
    }] as const
  ),
];

/** What becomes of the client, and how the exchange ends. */
const ENDS: readonly (readonly [string, (rig: DriverRig, asked: Asked) => unknown, Outcome])[] = [
  ["takes it", (_, { writer }) => writer.drain(), "completed"],
  ["leaves", (_, { writer }) => writer.leave(), "client_left"],
  ["is cut off for its slowness", (_, { writer }) => writer.leave("reader_slow"), "timed_out"],
  ["is cut off for want of room", (_, { writer }) => writer.leave("unread_full"), "timed_out"],
  ["is shut out", (rig) => rig.shutDown(STOPPING), "shut_down"],
];

describe("Driver, an answer that its client has not taken", () => {
  for (const [name, answer] of ROWS) {
    for (const [how, end, outcome] of ENDS) {
      test(`${name}: is open until the client ${how}`, async () => {
        const [rig, asked] = await answer();
        expect([rig.ended, rig.engine.streams.size]).toEqual([undefined, 1]);
        await end(rig, asked);
        await expectOver(rig, outcome);
      });
    }
  }

  for (
    const [reason, limit] of [
      ["reader_slow", "server.write_timeout_ms"],
      ["unread_full", "server.unread_max_bytes"],
    ] as const
  ) {
    test(`${reason}: the limit is told`, async () => {
      const [, answer] = ROWS[0]!;
      const [rig, asked] = await answer();
      asked.writer.leave(reason);
      expect(rig.told).toEqual([{ kind: "limit_reached", limit }]);
    });
  }

  test("a stream that is cut off in the middle tells the limit, too", async () => {
    const { rig, hand, writer } = begin(KINDS[0]!);
    await hand.first();
    writer.leave("unread_full");
    expect(rig.told).toEqual([{ kind: "limit_reached", limit: "server.unread_max_bytes" }]);
    await expectOver(rig, "timed_out");
  });
});
