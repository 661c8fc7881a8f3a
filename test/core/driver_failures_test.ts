import { describe, expect, test } from "bun:test";
import type { Answer, Step } from "../../src/core/answer.ts";
import { AppError } from "../../src/core/errors.ts";
import type { Event } from "../../src/core/events.ts";
import type { Outcome } from "../../src/core/facts.ts";
import type { Output } from "../../src/core/surface.ts";
import { begin, delta, KINDS } from "./driver_kinds.ts";
import {
  BROKEN,
  DriverRig,
  errorEvent,
  expectOver,
  LAYOUT,
  NotingKeeper,
  saying,
  settle,
  STOPPING,
} from "./driver_rig.ts";
import { HandBody, relayOf, SlowSource, Told } from "./told_answers.ts";

describe("Driver, a source that fails", () => {
  const BUG = new TypeError("a bug");
  const CASES: readonly (readonly [thrown: Error, outcome: Outcome, status: number])[] = [
    [BROKEN, "upstream_failed", 502],
    [new AppError("upstream_timeout", "Too slow"), "timed_out", 504],
    [new AppError("model_unknown", "Who?"), "refused", 404],
    [BUG, "failed", 500],
  ];
  const bugs = (error: Error): Event[] =>
    error === BUG ? [{ kind: "bug", where: "test", error }] : [];

  for (const [thrown, outcome, status] of CASES) {
    const GIVERS: readonly (readonly [string, (rig: DriverRig) => Output | Promise<Output>])[] = [
      ["a surface that throws", () => {
        throw thrown;
      }],
      ["a surface that rejects", () => Promise.reject(thrown)],
      ["a source that throws", (rig) =>
        rig.asking(() => {
          throw thrown;
        })],
      ["a source that rejects", (rig) => rig.asking(() => Promise.reject(thrown))],
      ["a turn that cannot be read", (rig) => ({
        ...rig.asking(() => {
          throw new Error("Not reached");
        }),
        model: () => {
          throw thrown;
        },
      })],
    ];
    for (const [name, give] of GIVERS) {
      test(`${name}, ${thrown.message}: ${status}, ${outcome}`, async () => {
        const rig = new DriverRig();
        const asked = rig.ask(() => give(rig));
        await settle();
        expect(asked.writer.status).toBe(status);
        expect(asked.writer.ending).toBe("whole");
        expect(rig.told).toEqual(bugs(thrown));
        await expectOver(rig, outcome);
      });
    }

    for (const kind of KINDS) {
      if (kind.make(new DriverRig(), {}).hand.fail === undefined) continue;
      // A body that breaks off always says why with an error that is an answer.
      if (thrown === BUG && !/events$|live/.test(kind.name) || /relay/.test(kind.name)) continue;

      test(`${kind.name} that fails before its first piece, ${thrown.message}: ${status}`, async () => {
        const { rig, hand, asked, writer } = begin(kind);
        await settle();
        await hand.fail!(thrown);
        expect(writer.status).toBe(status);
        expect(writer.headers!.get("x-refused")).toBe(rig.ended!.error!.code);
        expect(asked.exchange().error).toBe(rig.ended!.error);
        expect(rig.told).toEqual(bugs(thrown));
        expect(hand.isFreed()).toBe(true);
        await expectOver(rig, outcome);
      });

      test(`${kind.name} that fails in the middle, ${thrown.message}: ${outcome}`, async () => {
        const { rig, hand, asked, writer } = begin(kind);
        await hand.first();
        await hand.fail!(thrown);
        if (kind.leaves === "whole") expect(writer.status).toBe(status);
        else expect(writer.text).toBe(kind.head + errorEvent(asked.exchange().error!));
        expect(writer.text).not.toContain("[DONE]");
        expect(rig.told).toEqual(bugs(thrown));
        expect(hand.isFreed()).toBe(true);
        await expectOver(rig, outcome);
      });
    }
  }

  test("a dialect without a word for errors has its connection cut", async () => {
    const rig = new DriverRig();
    const steps = new Told<readonly Step[]>();
    const manner = { ...rig.manner, errorEvent: () => null };
    const { writer } = rig.ask(() =>
      rig.asking(() => ({ kind: "live", steps, model: "m" }), { manner })
    );
    steps.say([delta("a")]);
    await settle();
    steps.fail(BROKEN);
    await settle();
    expect([writer.text, writer.ending]).toEqual([saying("a"), "fin"]);
    await expectOver(rig, "upstream_failed");
  });
});

describe("Driver, a source that takes its time", () => {
  const answers: readonly (readonly [string, () => readonly [Answer, () => boolean]])[] = [
    ["live", () => {
      const steps = new Told<readonly Step[]>();
      return [{ kind: "live", steps, model: "m" }, () => steps.isReturned];
    }],
    ["relay", () => {
      const body = new HandBody();
      return [relayOf(body), () => body.isCancelled];
    }],
  ];
  for (const [name, make] of answers) {
    for (const who of ["client", "shutdown"] as const) {
      test(`${name}: an answer that comes after the ${who} ended the wait is freed`, async () => {
        const rig = new DriverRig();
        const source = new SlowSource<Answer>();
        const { writer } = rig.ask(() => rig.asking(source.answer));
        await settle();
        if (who === "client") writer.leave();
        else await rig.shutDown(STOPPING);
        expect(source.call!.signal.aborted).toBe(true);
        const [answer, isFreed] = make();
        source.give(answer);
        await settle();
        expect(isFreed()).toBe(true);
        await expectOver(rig, who === "client" ? "client_left" : "shut_down");
      });
    }

    for (const isSlow of [false, true]) {
      const when = isSlow ? "after a while" : "at once";
      test(`${name}: an answer that comes ${when} and cannot be said is freed`, async () => {
        const rig = new DriverRig();
        const [answer, isFreed] = make();
        const bug = new TypeError("no layout");
        const asking = rig.asking(() => isSlow ? Promise.resolve(answer) : answer, {
          layout: {
            ...LAYOUT,
            writer: () => {
              throw bug;
            },
          },
        });
        if (answer.kind === "relay") {
          Object.defineProperty(answer, "fields", {
            get() {
              throw bug;
            },
          });
        }
        const { writer } = rig.ask(() => asking);
        await settle();
        expect(writer.status).toBe(500);
        expect(isFreed()).toBe(true);
        await expectOver(rig, "failed");
      });
    }
  }

  test("an output that comes after the client has left is freed", async () => {
    const rig = new DriverRig();
    const keeper = new NotingKeeper();
    const events = new Told<string>();
    const outputs: readonly Output[] = [
      rig.asking(() => {
        throw new Error("Nobody is to be asked");
      }, { keeper }),
      { kind: "events", events, headers: {}, errorEvent },
    ];
    for (const output of outputs) {
      const surface = Promise.withResolvers<Output>();
      const { writer } = rig.ask(() => surface.promise);
      await settle();
      writer.leave();
      surface.resolve(output);
      await settle();
    }
    expect([keeper.kept, keeper.finished, events.isReturned]).toEqual([[], 1, true]);
    expect(await rig.leftovers()).toEqual({ streams: 0, tickets: 0 });
  });

  test("the client is heard of as soon as somebody waits for it, and not before", async () => {
    const rig = new DriverRig();
    const gate = Promise.withResolvers<void>();
    const { writer } = rig.ask(() => rig.asking(new SlowSource<Answer>().answer), {
      admit: () => gate.promise,
    });
    expect(writer.isHeard).toBe(false);
    gate.resolve();
    await settle();
    expect(writer.isHeard).toBe(true);
    await rig.shutDown(STOPPING);
    await expectOver(rig, "shut_down");
  });

  test("a client that left before anybody waited for it is heard of", async () => {
    const rig = new DriverRig();
    const gate = Promise.withResolvers<void>();
    const source = new SlowSource<Answer>();
    const { writer } = rig.ask(() => rig.asking(source.answer), { admit: () => gate.promise });
    writer.leave();
    gate.resolve();
    await settle();
    expect(source.call!.signal.aborted).toBe(true);
    await expectOver(rig, "client_left");
  });
});
