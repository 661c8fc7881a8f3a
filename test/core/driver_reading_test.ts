import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import type { Whole } from "../../src/core/surface.ts";
import { requestHead } from "../../src/lib/http1/request_head.ts";
import { bodyOf, SentBody } from "./body_of.ts";
import { BROKEN, DriverRig, expectOver, settle, STOPPING } from "./driver_rig.ts";

/** How long the line of coming bodies stays on the wheel once it is empty. */
const BODY_LINE_MS = 250;

describe("Driver, letting in and reading", () => {
  const post = (body: string) => ({ head: requestHead({ method: "POST" }), body: bodyOf(body) });
  const said = (text: string): Whole => ({ kind: "whole", status: 200, headers: {}, body: text });

  for (
    const [name, admit] of [
      ["throws", () => {
        throw new AppError("auth_wrong", "No");
      }],
      ["rejects", () => Promise.reject(new AppError("auth_wrong", "No"))],
    ] as const
  ) {
    test(`asks nobody when admit() ${name}`, async () => {
      const rig = new DriverRig();
      let isAsked = false;
      const { writer } = rig.ask(() => {
        isAsked = true;
        return said("in");
      }, { admit });
      await settle();
      expect([writer.status, isAsked]).toEqual([401, false]);
      await expectOver(rig, "refused");
    });
  }

  test("waits for admit()", async () => {
    const rig = new DriverRig();
    const gate = Promise.withResolvers<void>();
    const { writer } = rig.ask(() => said("in"), { admit: () => gate.promise });
    await settle();
    expect(writer.status).toBe(0);
    gate.resolve();
    await settle();
    expect(writer.text).toBe("in");
    await expectOver(rig, "completed");
  });

  for (
    const [takes, wanted] of [
      ["body", { text: "水 🌊", bytes: 8 }],
      ["nothing", { text: "", bytes: 0 }],
    ] as const
  ) {
    test(`gives a surface that takes ${takes} the body so`, async () => {
      const rig = new DriverRig();
      const { writer } = rig.ask(
        ({ text, bytes }) => said(JSON.stringify({ text, bytes: bytes.length })),
        { takes },
        post("水 🌊"),
      );
      expect(JSON.parse(writer.text)).toEqual(wanted);
      await expectOver(rig, "completed");
    });
  }

  test("waits for a body that is still coming", async () => {
    const rig = new DriverRig();
    const body = new SentBody();
    const { writer } = rig.ask(({ text }) => said(text), { takes: "body" }, { body });
    for (const byte of Buffer.from("水")) body.send(Uint8Array.of(byte));
    expect(writer.status).toBe(0);
    body.end();
    expect(writer.text).toBe("水");
    await rig.pass(BODY_LINE_MS);
    await expectOver(rig, "completed");
  });

  test("asks nobody when the body breaks off", async () => {
    const rig = new DriverRig();
    const body = new SentBody();
    let isAsked = false;
    const { writer } = rig.ask(
      () => {
        isAsked = true;
        return said("in");
      },
      { takes: "body" },
      { body },
    );
    body.send(10);
    body.breakOff();
    expect([writer.status, isAsked]).toEqual([400, false]);
    expect(rig.ended!.error!.code).toBe("body_broken");
    await rig.pass(BODY_LINE_MS);
    await expectOver(rig, "refused");
  });

  test("says that a body is too large in the surface's words", async () => {
    const rig = new DriverRig();
    const { writer } = rig.ask(() => said("in"), {
      takes: "body",
      tooLarge: (bytesMax) => new AppError("body_too_large", `Over ${bytesMax}`),
    }, post("x".repeat(1001)));
    expect(writer.status).toBe(413);
    expect(rig.ended!.error!.message).toBe("Over 1000");
    expect(rig.told).toEqual([{ kind: "limit_reached", limit: "server.body_max_bytes" }]);
    await expectOver(rig, "refused");
  });
});

describe("Driver.call()", () => {
  test("gives a call that ends when its signal does", () => {
    const { driver } = new DriverRig();
    const abort = new AbortController();
    const call = driver.call("workflow", abort.signal);
    expect([call.surface, call.signal.aborted, call.isDraining]).toEqual([
      "workflow",
      false,
      false,
    ]);
    abort.abort(STOPPING);
    expect(call.signal.reason).toBe(STOPPING);
  });

  test("gives a call that has ended when its signal has", () => {
    const { driver } = new DriverRig();
    expect(driver.call("workflow", AbortSignal.abort(BROKEN)).signal.reason).toBe(BROKEN);
  });
});
