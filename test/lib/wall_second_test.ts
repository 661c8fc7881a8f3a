import { describe, expect, test } from "bun:test";
import { WallSecond } from "../../src/lib/wall_second.ts";
import { Wheel } from "../../src/lib/wheel.ts";

function rig(wallMs: number) {
  const clock = { nowMs: 0, wallMs, looks: 0 };
  const wheel = new Wheel(() => clock.nowMs, () => {});
  const second = new WallSecond(wheel, () => {
    clock.looks++;
    return clock.wallMs;
  });
  const pass = (ms: number) => {
    for (let i = 0; i < ms; i++) {
      clock.nowMs++;
      clock.wallMs++;
      wheel.turn();
    }
  };
  return { clock, wheel, second, pass };
}

describe("WallSecond.now", () => {
  test("changes when the second does, and looks at the clock once in each", () => {
    const { clock, second, pass } = rig(1_700_000_000_400);
    for (let i = 0; i < 100; i++) expect(second.now).toBe(1_700_000_000);
    pass(599);
    expect(second.now).toBe(1_700_000_000);
    pass(1);
    for (let i = 0; i < 100; i++) expect(second.now).toBe(1_700_000_001);
    expect(clock.looks).toBe(2);
  });

  test("is right after a long time without a question, in which no timer runs", () => {
    const { second, wheel, pass } = rig(1_700_000_000_000);
    expect(second.now).toBe(1_700_000_000);
    pass(1000);
    expect(wheel.waiting).toBe(0);
    pass(5400);
    expect(second.now).toBe(1_700_000_006);
  });

  test("follows a clock that is set back", () => {
    const { clock, second, pass } = rig(1_700_000_000_000);
    expect(second.now).toBe(1_700_000_000);
    clock.wallMs -= 3_600_000;
    pass(1000);
    expect(second.now).toBe(1_699_996_401);
  });
});
