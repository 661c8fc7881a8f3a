import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import type { Whole } from "../../src/core/surface.ts";
import { type Asked, BROKEN, DriverRig, expectOver, settle, STOPPING } from "./driver_rig.ts";

describe("Driver, letting in and reading", () => {
  const post = (body: string) => new Request("http://weir/", { method: "POST", body });
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
      ["text", { text: "水 🌊", bytes: 0 }],
      ["bytes", { text: "", bytes: 8 }],
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
      await readAll(writer);
      expect(JSON.parse(writer.text)).toEqual(wanted);
    });
  }

  test("says that a body is too large in the surface's words", async () => {
    const rig = new DriverRig();
    const { writer } = rig.ask(() => said("in"), {
      takes: "text",
      tooLarge: (bytesMax) => new AppError("body_too_large", `Over ${bytesMax}`),
    }, post("x".repeat(1001)));
    await readAll(writer);
    expect(writer.status).toBe(413);
    expect(rig.ended!.error!.message).toBe("Over 1000");
    expect(rig.told).toEqual([{ kind: "limit_reached", limit: "server.body_max_bytes" }]);
  });

  /** A body is read by the platform, in its own time. */
  async function readAll(writer: Asked["writer"]): Promise<void> {
    for (let i = 0; i < 1000 && writer.status === 0; i++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
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
