import { describe, expect, test } from "bun:test";
import { type Engine, Exchange } from "../../src/core/exchange.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { LeaveLine, LeaveWatch } from "../../src/sources/leave_watch.ts";

/** A request whose client leaves when `client.abort()` says so, on a clock that is moved by hand. */
function watched() {
  const clock = { nowMs: 0 };
  const wheel = new Wheel(() => clock.nowMs, () => {});
  const engine: Engine = {
    wheel,
    streams: new Set(),
    watch: () => {},
    keepaliveMs: 0,
    writeTimeoutMs: 1000,
  };
  const client = new AbortController();
  const request = new Request("http://localhost/", { method: "POST", signal: client.signal });
  let calls = 0;
  const watch = new LeaveWatch(new LeaveLine(wheel), new Exchange(engine, "test", request), {
    onLeave: () => {
      calls++;
    },
  });
  return {
    client,
    watch,
    calls: () => calls,
    pass(ms: number) {
      for (let i = 0; i < ms; i++) {
        clock.nowMs++;
        wheel.turn();
      }
    },
  };
}

describe("LeaveWatch", () => {
  test("tells of a client that has left before anybody looked", () => {
    const { client, watch, calls, pass } = watched();
    client.abort();
    expect([watch.hasLeft, calls()]).toEqual([false, 0]);
    pass(20);
    expect([watch.hasLeft, calls()]).toEqual([true, 1]);
  });

  test("tells at once of a client that leaves later, and once", () => {
    const { client, watch, calls, pass } = watched();
    pass(20);
    expect(watch.hasLeft).toBe(false);
    client.abort();
    pass(20);
    expect([watch.hasLeft, calls()]).toEqual([true, 1]);
  });

  for (const [when, ms] of [["before anybody looked", 0], ["while it listens", 20]] as const) {
    test(`is silent after stop(), ${when}`, () => {
      const { client, watch, calls, pass } = watched();
      pass(ms);
      watch.stop();
      client.abort();
      pass(20);
      expect([watch.hasLeft, calls()]).toEqual([false, 0]);
    });
  }
});
