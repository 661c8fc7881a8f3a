import { describe, expect, test } from "bun:test";
import { silence } from "../../../src/load/audit/checks/silence.ts";
import { runAudit } from "../../../src/load/audit/audit.ts";
import { ScriptedUpstream } from "../../../src/load/audit/scripted_upstream.ts";
import { TEST_MS_MAX } from "../../server/launch.ts";
import { startGateway } from "./gateway.ts";
import { rigFor } from "./rig.ts";

const NEVER = new Promise<never>(() => {});
const LEFT = new Error("left");

describe("Rig.within()", () => {
  for (const [when, isBefore] of [["before", true], ["while it waits", false]] as const) {
    test(`ends with the reason of an abort that comes ${when}`, async () => {
      const upstream = ScriptedUpstream.listen("127.0.0.1", 0);
      const abort = new AbortController();
      const rig = rigFor(upstream, upstream.port, { signal: abort.signal });
      try {
        if (isBefore) abort.abort(LEFT);
        const waiting = rig.within(NEVER, 2 * TEST_MS_MAX);
        if (!isBefore) abort.abort(LEFT);
        await expect(waiting).rejects.toBe(LEFT);
      } finally {
        rig.watch.stop();
        upstream.close();
      }
    }, TEST_MS_MAX);
  }
});

describe("runAudit()", () => {
  test("ends with an abort that comes while its connections are being opened", async () => {
    const upstream = ScriptedUpstream.listen("127.0.0.1", 0);
    const gateway = startGateway("relay", upstream.port);
    const abort = new AbortController();
    const silencesS = [2 * TEST_MS_MAX / 1000];
    const rig = rigFor(upstream, gateway.port, { signal: abort.signal, silencesS });
    try {
      const plan = { gateway: "relay", checks: [silence], onCheck: () => {} };
      const report = runAudit(rig, plan);
      // Nothing has been awaited since it began: no connection is there yet.
      abort.abort(LEFT);
      expect(await report).toMatchObject({ isInterrupted: true, findings: [] });
    } finally {
      rig.watch.stop();
      gateway.stop();
      upstream.close();
    }
  }, TEST_MS_MAX);
});
