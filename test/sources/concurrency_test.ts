import { describe, expect, test } from "bun:test";
import { type Answer, askOf } from "../../src/core/answer.ts";
import { AppError, clientLeft } from "../../src/core/errors.ts";
import { Exchange } from "../../src/core/exchange.ts";
import { KnownBody } from "../../src/core/relay_body.ts";
import { Fields } from "../../src/lib/http1/fields.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { concurrency, type ConcurrencyRules } from "../../src/sources/concurrency.ts";
import { makeEngine, TURN } from "./upstream/rig.ts";

const RULES: ConcurrencyRules = { concurrency_max: 2, waiting_max: 2, waiting_timeout_ms: 100 };

/** A source that two may ask, on a clock that the test moves. */
function rig(rules: Partial<ConcurrencyRules> = {}, fails = false) {
  const clock = { nowMs: 0 };
  const engine = { ...makeEngine(), wheel: new Wheel(() => clock.nowMs, () => {}) };
  let asked = 0;
  const source = concurrency(
    {
      name: "s",
      answer(): Answer {
        asked++;
        if (fails) throw new AppError("upstream_broken", "no");
        const body = new KnownBody([{ bytes: new Uint8Array(3), atUs: 0 }], "end", engine.wheel);
        return { kind: "relay", status: 200, fields: Fields.NONE, body };
      },
    },
    { ...RULES, ...rules },
    "one",
  );
  return {
    asked: () => asked,
    /** Asks; what comes of it is in `outcome`. */
    ask() {
      const call = new Exchange(engine, "test", { method: "POST" });
      const run = { call, outcome: "waits", finish() {} };
      (async () => await source.answer(askOf(TURN), call))().then((answer) => {
        run.outcome = "answered";
        run.finish = () => answer.kind === "relay" && answer.body.whole();
      }, (error: AppError) => (run.outcome = error.code));
      return run;
    },
    async pass(ms = 0) {
      clock.nowMs += ms;
      engine.wheel.turn();
      for (let i = 0; i < 20; i++) await Promise.resolve();
    },
  };
}

const outcomes = (runs: readonly { readonly outcome: string }[]) =>
  runs.map(({ outcome }) => outcome);

describe("concurrency()", () => {
  test("so many are answered, so many wait in order, and the rest is refused", async () => {
    const { ask, pass, asked } = rig();
    const runs = Array.from({ length: 5 }, () => ask());
    await pass();
    expect(outcomes(runs)).toEqual(["answered", "answered", "waits", "waits", "upstream_full"]);
    expect(asked()).toBe(2);
    runs[1]!.finish();
    await pass();
    expect(outcomes(runs).slice(2, 4)).toEqual(["answered", "waits"]);
    runs[0]!.call.release();
    await pass();
    expect(runs[3]!.outcome).toBe("answered");
    for (const run of runs) run.finish();
    await pass();
    const more = [ask(), ask(), ask()];
    await pass();
    expect(outcomes(more)).toEqual(["answered", "answered", "waits"]);
  });

  test("nobody waits longer than may be, nor when whoever asked has left", async () => {
    const { ask, pass, asked } = rig({ concurrency_max: 1 });
    const [one, left, late] = [ask(), ask(), ask()];
    await pass(50);
    left!.call.abort(clientLeft());
    await pass();
    expect(outcomes([one!, left!, late!])).toEqual(["answered", "unavailable", "waits"]);
    const next = ask();
    await pass(50);
    expect(outcomes([late!, next])).toEqual(["upstream_full", "waits"]);
    one!.finish();
    await pass();
    expect([next.outcome, asked()]).toEqual(["answered", 2]);
  });

  test("one that fails gives its place back", async () => {
    const { ask, pass } = rig({ concurrency_max: 1, waiting_max: 0 }, true);
    for (let i = 0; i < 3; i++) {
      const run = ask();
      await pass();
      expect(run.outcome).toBe("upstream_broken");
    }
  });

  test("without a limit there is no wrapper", () => {
    const source = { name: "s", answer: () => Promise.reject(new Error()) };
    expect(concurrency(source, { ...RULES, concurrency_max: 0 }, "one")).toBe(source);
  });
});
