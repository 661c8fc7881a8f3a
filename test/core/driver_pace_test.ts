import { describe, expect, test } from "bun:test";
import type { Step } from "../../src/core/answer.ts";
import { begin, delta, KINDS, PIECEWISE } from "./driver_kinds.ts";
import {
  COMMENT,
  DONE,
  DriverRig,
  errorEvent,
  expectOver,
  saying,
  settle,
  STOPPING,
  WRITE_TIMEOUT_MS,
} from "./driver_rig.ts";
import { HandBody, relayOf, Told } from "./told_answers.ts";

describe("Driver, a slow client", () => {
  for (const kind of PIECEWISE) {
    test(`${kind.name}: nothing is written until it takes bytes again, and nothing is lost`, async () => {
      const { rig, hand, writer } = begin(kind);
      await settle();
      writer.isSlow = true;
      await hand.first();
      expect(writer.text).toBe(kind.head);
      // What a relay's body had under way may still come; everything else waits.
      const isPushed = /relay|passed/.test(kind.name);
      if (!isPushed) await hand.rest();
      expect(writer.writes).toBe(1);
      writer.drain();
      await settle();
      if (isPushed) await hand.rest();
      await rig.pass(1);
      expect(writer.text).toBe(kind.all);
      expect(writer.ending).toBe("end");
      await expectOver(rig, "completed");
    });

    test(`${kind.name}: one that takes nothing for too long is cut off without a word`, async () => {
      const { rig, hand, writer } = begin(kind);
      await settle();
      writer.isSlow = true;
      await hand.first();
      await rig.pass(WRITE_TIMEOUT_MS - 1);
      expect(writer.ending).toBeUndefined();
      await rig.pass(1);
      expect([writer.text, writer.ending]).toEqual([kind.head, "reset"]);
      expect(hand.isFreed()).toBe(true);
      expect(rig.told).toEqual([{ kind: "limit_reached", limit: "server.write_timeout_ms" }]);
      await expectOver(rig, "timed_out");
    });

    test(`${kind.name}: one that takes a little within each limit is not cut off`, async () => {
      const { rig, hand, writer } = begin(kind);
      await settle();
      writer.isSlow = writer.isTaking = true;
      await hand.first();
      await rig.pass(5 * WRITE_TIMEOUT_MS);
      expect(writer.ending).toBeUndefined();
      writer.isTaking = false;
      await rig.pass(WRITE_TIMEOUT_MS + 1);
      expect(writer.ending).toBe("reset");
      await expectOver(rig, "timed_out");
    });

    test(`${kind.name}: one that leaves meanwhile frees it`, async () => {
      const { rig, hand, writer } = begin(kind);
      await settle();
      writer.isSlow = true;
      await hand.first();
      writer.leave();
      await settle();
      expect(hand.isFreed()).toBe(true);
      await expectOver(rig, "client_left");
    });
  }

  test("a live answer is not asked for more, and a relay's body is paused", async () => {
    const rig = new DriverRig();
    const steps = new Told<readonly Step[]>();
    const body = new HandBody();
    const live = rig.ask(() => rig.asking(() => ({ kind: "live", steps, model: "m" })));
    const relay = rig.ask(() => rig.asking(() => relayOf(body)));
    live.writer.isSlow = relay.writer.isSlow = true;
    steps.say([delta("a")]);
    body.say(saying("a"));
    await settle();
    expect([steps.asked, body.isPaused]).toEqual([1, true]);
    live.writer.drain();
    relay.writer.drain();
    await settle();
    expect([steps.asked, body.isPaused]).toEqual([2, false]);
    steps.end();
    body.end();
    await settle();
    expect(await rig.leftovers()).toEqual({ streams: 0, tickets: 0 });
  });

  test("shutdown is said to it, and frees it", async () => {
    const { rig, hand, writer } = begin(KINDS.find(({ name }) => name === "events")!);
    await settle();
    writer.isSlow = true;
    await hand.first();
    await rig.shutDown(STOPPING);
    expect(writer.text).toBe(saying("a") + errorEvent(STOPPING));
    expect(hand.isFreed()).toBe(true);
    await expectOver(rig, "shut_down");
  });
});

describe("Driver, silence", () => {
  const KEEPALIVE_MS = 20;

  for (const kind of PIECEWISE) {
    test(`${kind.name}: silence in the middle is filled with comments`, async () => {
      const { rig, hand, asked, writer } = begin(kind, {}, KEEPALIVE_MS);
      await hand.first();
      const before = writer.text.length;
      await rig.pass(KEEPALIVE_MS - 1);
      expect(writer.text).toHaveLength(before);
      await rig.pass(1);
      expect(writer.text.slice(before)).toBe(COMMENT);
      await rig.pass(KEEPALIVE_MS);
      expect(writer.text.slice(before)).toBe(COMMENT + COMMENT);
      await hand.rest();
      expect(asked.said()).toBe(kind.all);
      expect(asked.exchange().bodyBytes).toBe(writer.bodyBytes);
      await expectOver(rig, "completed");
    });
  }

  for (const name of ["frames", "a script, streamed", "a relay of events", "a passed request"]) {
    test(`${name}: begins with a comment when its first piece is late`, async () => {
      const kind = KINDS.find((one) => one.name === name)!;
      const { rig, hand, asked, writer } = begin(kind, {}, KEEPALIVE_MS);
      await rig.pass(KEEPALIVE_MS - 1);
      expect(writer.status).toBe(0);
      await rig.pass(1);
      expect([writer.status, writer.text]).toEqual([200, COMMENT]);
      await hand.first();
      await hand.rest();
      expect(asked.said()).toBe(kind.all);
      expect(asked.exchange().bodyBytes).toBe(writer.bodyBytes);
      await expectOver(rig, "completed");
    });
  }

  for (const kind of PIECEWISE) {
    for (const who of ["client", "shutdown"] as const) {
      test(`${kind.name}: no comment comes once the ${who} has ended the wait for it`, async () => {
        const { rig, hand, writer } = begin(kind, {}, KEEPALIVE_MS);
        await settle();
        if (who === "client") writer.leave();
        else await rig.shutDown(STOPPING);
        await rig.pass(2 * KEEPALIVE_MS);
        expect(writer.text).not.toContain(COMMENT);
        expect(hand.isFreed()).toBe(true);
        await expectOver(rig, who === "client" ? "client_left" : "shut_down");
      });
    }
  }

  const COMMENTLESS = [
    ["in the middle of an event", "text/event-stream", "data: {"],
    ["behind the end mark", "text/event-stream", DONE],
    ["in what is no stream of events", "application/json", "{}\n\n"],
  ] as const;
  for (const [where, type, text] of COMMENTLESS) {
    test(`a relay: no comment stands ${where}`, async () => {
      const rig = new DriverRig({ keepaliveMs: KEEPALIVE_MS });
      const body = new HandBody();
      const { writer } = rig.ask(() => rig.asking(() => relayOf(body, type)));
      body.say(text);
      await rig.pass(5 * KEEPALIVE_MS);
      expect(writer.text).toBe(text);
      body.say("\n\n");
      body.end();
      await expectOver(rig, "completed");
    });
  }

  test("a relay that is no stream of events waits for its first piece, however late", async () => {
    const rig = new DriverRig({ keepaliveMs: KEEPALIVE_MS });
    const body = new HandBody();
    const { writer } = rig.ask(() => rig.asking(() => relayOf(body, "application/json")));
    await rig.pass(5 * KEEPALIVE_MS);
    expect(writer.status).toBe(0);
    body.say("");
    expect(writer.status).toBe(0);
    body.say("{}");
    body.end();
    expect(writer.text).toBe("{}");
    await expectOver(rig, "completed");
  });
});
