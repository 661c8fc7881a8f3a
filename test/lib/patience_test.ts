import { describe, expect, test } from "bun:test";
import { LATE, soonOrLate } from "../../src/lib/patience.ts";
import { Wheel } from "../../src/lib/wheel.ts";

/** A wait of 10 ms on a clock that is moved by hand. */
function waiting<Value>(reading: Promise<Value>) {
  const clock = { nowMs: 0 };
  const wheel = new Wheel(() => clock.nowMs, () => {});
  const result = soonOrLate(reading, wheel, 10);
  return {
    wheel,
    result,
    moveTo(ms: number) {
      clock.nowMs = ms;
      wheel.turn();
    },
  };
}

describe("soonOrLate()", () => {
  test("gives what comes in time, and leaves nothing on the wheel", async () => {
    const reading = Promise.withResolvers<string>();
    const { wheel, result, moveTo } = waiting(reading.promise);
    moveTo(9);
    reading.resolve("水");
    expect(await result).toBe("水");
    expect(wheel.waiting).toBe(0);
  });

  test("throws what fails in time", async () => {
    const { wheel, result } = waiting(Promise.reject(new Error("gone")));
    await expect(result).rejects.toThrow("gone");
    expect(wheel.waiting).toBe(0);
  });

  test("gives up when the time is over; what fails later is for whoever awaits it next", async () => {
    const reading = Promise.withResolvers<string>();
    const { result, moveTo } = waiting(reading.promise);
    moveTo(10);
    expect(await result).toBe(LATE);
    reading.reject(new Error("gone"));
    await expect(reading.promise).rejects.toThrow("gone");
  });
});
