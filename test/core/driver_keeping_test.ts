import { type Step } from "../../src/core/answer.ts";
import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import { begin, delta, KINDS, SCRIPT_AT_ONCE, withSlowSource } from "./driver_kinds.ts";
import {
  DONE,
  DriverRig,
  errorEvent,
  expectOver,
  NotingKeeper,
  refusal,
  saying,
  settle,
  STOPPING,
  WRITE_TIMEOUT_MS,
} from "./driver_rig.ts";
import { HandBody, relayOf, Told } from "./told_answers.ts";

const KEPT = KINDS.filter(({ takes }) => takes.includes("keeper"));

const DRAINABLE = KINDS.filter(({ takes }) => takes.includes("isDraining"));

describe("Driver, a client that leaves an answer that is to be finished", () => {
  for (const kind of DRAINABLE) {
    for (const when of ["before the first byte", "in the middle"] as const) {
      test(`${kind.name}: leaving ${when} stops nobody`, async () => {
        const { rig, hand, asked, writer } = begin(kind, { isDraining: true });
        await settle();
        if (when === "in the middle") await hand.first();
        writer.leave();
        await settle();
        // A script that has not begun has nobody who works for it.
        const isIdle = kind.name === "a script, streamed" && when !== "in the middle";
        expect(asked.exchange().signal.aborted).toBe(isIdle);
        if (when !== "in the middle") await hand.first();
        await hand.rest();
        expect(hand.isFreed()).toBe(true);
        await expectOver(rig, "client_left");
      });
    }

    if (!kind.takes.includes("keeper")) continue;
    for (const when of ["before the first byte", "in the middle"] as const) {
      test(`${kind.name}: leaving ${when} keeps it whole`, async () => {
        const keeper = new NotingKeeper();
        const { rig, hand, writer } = begin(kind, { isDraining: true, keeper });
        await settle();
        if (when === "in the middle") await hand.first();
        writer.leave();
        await settle();
        if (when !== "in the middle") await hand.first();
        await hand.rest();
        expect([keeper.kept, keeper.finished]).toEqual([[["ab", false]], 1]);
        await expectOver(rig, "client_left");
      });
    }
  }

  for (const kind of DRAINABLE) {
    test(`${kind.name}: shutdown in the middle ends it all the same`, async () => {
      const { rig, hand, asked } = begin(kind, { isDraining: true });
      await hand.first();
      await rig.shutDown(STOPPING);
      expect(asked.exchange().signal.reason).toBe(STOPPING);
      expect(hand.isFreed()).toBe(true);
      await expectOver(rig, "shut_down");
    });
  }

  test("a reader that is cut off stops nobody either", async () => {
    const body = new HandBody();
    const rig = new DriverRig();
    const { writer } = rig.ask(() => rig.asking(() => relayOf(body), { isDraining: true }));
    writer.isSlow = true;
    body.say(saying("a"));
    await rig.pass(WRITE_TIMEOUT_MS);
    expect(writer.ending).toBe("reset");
    expect([body.isCancelled, body.isPaused]).toEqual([false, false]);
    body.end();
    await expectOver(rig, "timed_out");
  });
});

const TEXT = { kind: "delta", choice: 0, block: "text", text: "x" } as const;

describe("Driver, an answer that is kept", () => {
  for (const kind of KEPT) {
    const isPiecewise = kind.leaves === "piecewise";

    test(`${kind.name}: nothing that ends it leaves before it is kept`, async () => {
      const gate = Promise.withResolvers<void>();
      const keeper = new NotingKeeper({ gate: gate.promise });
      const { rig, hand, writer } = begin(kind, { keeper });
      await hand.first();
      await hand.rest();
      expect(keeper.kept).toEqual([["ab", false]]);
      expect(writer.ending).toBeUndefined();
      expect(writer.text).toBe(isPiecewise ? saying("a") + saying("b") : "");
      gate.resolve();
      await settle();
      expect(writer.text).toBe(kind.all);
      expect(keeper.finished).toBe(1);
      await expectOver(rig, "completed");
    });

    for (
      const [error, outcome] of [
        [new AppError("memory_failed", "The disk is full"), "refused"],
        [new TypeError("a bug"), "failed"],
      ] as const
    ) {
      test(`${kind.name}: no end mark leaves when it cannot be kept, ${error.message}`, async () => {
        const gate = Promise.withResolvers<void>();
        const keeper = new NotingKeeper({ gate: gate.promise });
        const { rig, hand, asked, writer } = begin(kind, { keeper });
        await hand.first();
        await hand.rest();
        gate.reject(error);
        await settle();
        const { error: told } = asked.exchange();
        const said = isPiecewise ? saying("a") + saying("b") + errorEvent(told!) : refusal(told!);
        expect(writer.text).toBe(said);
        expect([keeper.kept.length, keeper.finished]).toEqual([1, 1]);
        expect(rig.told.map(({ kind }) => kind)).toEqual(outcome === "failed" ? ["bug"] : []);
        await expectOver(rig, outcome);
      });
    }

    test(`${kind.name}: a client that leaves in the middle has what it heard kept`, async () => {
      const keeper = new NotingKeeper();
      const { rig, hand, writer } = begin(kind, { keeper });
      await settle();
      await hand.first();
      writer.leave();
      await settle();
      expect(keeper.kept).toEqual(isPiecewise ? [["a", true]] : []);
      expect(keeper.finished).toBe(1);
      await expectOver(rig, "client_left");
    });

    test(`${kind.name}: a client that leaves while it is kept has it kept once`, async () => {
      const gate = Promise.withResolvers<void>();
      const keeper = new NotingKeeper({ gate: gate.promise });
      const { rig, hand, writer } = begin(kind, { keeper });
      await settle();
      await hand.first();
      await hand.rest();
      writer.leave();
      await settle();
      gate.resolve();
      await settle();
      expect([keeper.kept, keeper.finished]).toEqual([[["ab", false]], 1]);
      await expectOver(rig, "client_left");
    });

    for (const when of ["before the first byte", "in the middle"] as const) {
      test(`${kind.name}: shutdown ${when} keeps nothing`, async () => {
        const keeper = new NotingKeeper();
        const { rig, hand } = begin(kind, { keeper });
        await settle();
        if (when === "in the middle") await hand.first();
        await rig.shutDown(STOPPING);
        expect([keeper.kept, keeper.finished]).toEqual([[], 1]);
        await expectOver(rig, "shut_down");
      });
    }

    test(`${kind.name}: a client that leaves before the source answers has nothing kept`, async () => {
      const rig = new DriverRig();
      const keeper = new NotingKeeper();
      const { output } = kind.make(rig, { keeper });
      if (output.kind !== "ask") throw new Error(`${kind.name} asks nobody`);
      const slow = withSlowSource(output);
      const { writer } = rig.ask(() => slow.output);
      await settle();
      writer.leave();
      await slow.give();
      expect([keeper.kept, keeper.finished]).toEqual([[], 1]);
      await expectOver(rig, "client_left");
    });
  }

  test("a script that is due at once is kept before its end mark too", async () => {
    const rig = new DriverRig();
    const gate = Promise.withResolvers<void>();
    const keeper = new NotingKeeper({ gate: gate.promise });
    const { writer } = rig.ask(() =>
      rig.asking(() => ({ kind: "script", script: SCRIPT_AT_ONCE, model: "m" }), { keeper })
    );
    expect(writer.text).toBe(saying("a") + saying("b"));
    gate.resolve();
    await settle();
    expect(writer.text).toBe(saying("a") + saying("b") + DONE);
    await expectOver(rig, "completed");
  });

  test("what is kept of a live answer is the text of its first choice", async () => {
    const rig = new DriverRig();
    const keeper = new NotingKeeper();
    const steps = new Told<readonly Step[]>();
    rig.ask(() => rig.asking(() => ({ kind: "live", steps, model: "m" }), { keeper }));
    steps.say([delta("水"), { ...TEXT, choice: 1 }, { ...TEXT, block: "reasoning" }, delta("🌊")]);
    steps.end();
    await settle();
    expect(keeper.kept).toEqual([["水🌊", false]]);
    await expectOver(rig, "completed");
  });

  test("a slow client is not cut off while its answer is kept, but right afterwards", async () => {
    const rig = new DriverRig();
    const gate = Promise.withResolvers<void>();
    const keeper = new NotingKeeper({ gate: gate.promise });
    const source = () => ({ kind: "script", script: SCRIPT_AT_ONCE, model: "m" }) as const;
    const { writer } = rig.ask(() => rig.asking(() => Promise.resolve(source()), { keeper }));
    writer.isSlow = true;
    await settle();
    expect(writer.text).toBe(saying("a") + saying("b"));
    await rig.pass(2 * WRITE_TIMEOUT_MS);
    expect(writer.ending).toBeUndefined();
    gate.resolve();
    await settle();
    expect([writer.text, writer.ending]).toEqual([saying("a") + saying("b"), "reset"]);
    expect([keeper.kept, keeper.finished]).toEqual([[["ab", false]], 1]);
    await expectOver(rig, "timed_out");
  });

  test("a relay is never kept, and its keeper is told so", async () => {
    const rig = new DriverRig();
    const keeper = new NotingKeeper();
    const body = new HandBody();
    rig.ask(() => rig.asking(() => relayOf(body), { keeper }));
    body.say(DONE);
    body.end();
    expect([keeper.kept, keeper.finished]).toEqual([[], 1]);
    await expectOver(rig, "completed");
  });
});
