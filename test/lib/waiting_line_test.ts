import { describe, expect, test } from "bun:test";
import { Waiting, WaitingLine } from "../../src/lib/waiting_line.ts";
import { Wheel } from "../../src/lib/wheel.ts";

/** Notes its name when it expires. */
class Named extends Waiting {
  readonly #name: string;
  readonly #expired: string[];

  constructor(name: string, expired: string[]) {
    super();
    this.#name = name;
    this.#expired = expired;
  }

  override expire(): void {
    this.#expired.push(this.#name);
  }
}

function hand(limitMs: number) {
  const clock = { nowMs: 0 };
  const wheel = new Wheel(() => clock.nowMs, () => {});
  const line = new WaitingLine(wheel, limitMs);
  const expired: string[] = [];
  return {
    wheel,
    line,
    expired,
    join(name: string): Waiting {
      const waiting = new Named(name, expired);
      line.join(waiting);
      return waiting;
    },
    moveTo(ms: number) {
      while (clock.nowMs < ms) {
        clock.nowMs++;
        wheel.turn();
      }
    },
  };
}

describe("WaitingLine", () => {
  test("lets nobody wait less than the limit, nor more than a quarter longer", () => {
    const { join, moveTo, expired } = hand(100);
    join("a");
    moveTo(10);
    join("b");
    moveTo(100);
    expect(expired).toEqual([]);
    moveTo(125);
    expect(expired).toEqual(["a", "b"]);
  });

  test("counts for each from when it came", () => {
    const { join, moveTo, expired } = hand(100);
    join("a");
    moveTo(60);
    join("b");
    moveTo(125);
    expect(expired).toEqual(["a"]);
    moveTo(159);
    expect(expired).toEqual(["a"]);
    moveTo(185);
    expect(expired).toEqual(["a", "b"]);
  });

  for (const gone of [0, 1, 2]) {
    test(`forgets number ${gone} of three when it leaves, and leaving twice changes nothing`, () => {
      const { line, join, moveTo, expired } = hand(100);
      const waiting = ["a", "b", "c"].map(join);
      line.leave(waiting[gone]!);
      line.leave(waiting[gone]!);
      moveTo(125);
      expect(expired).toEqual(["a", "b", "c"].filter((_, i) => i !== gone));
      for (const one of waiting) line.leave(one);
      line.join(waiting[gone]!);
      moveTo(250);
      expect(expired.at(-1)).toBe("abc"[gone]!);
    });
  }

  test("has one ticket on the wheel for all, and none once it is empty", () => {
    const { wheel, line, join, moveTo } = hand(100);
    const waiting = Array.from({ length: 1000 }, (_, i) => join(String(i)));
    expect(wheel.waiting).toBe(1);
    for (const one of waiting) line.leave(one);
    moveTo(25);
    expect(wheel.waiting).toBe(0);
    join("late");
    expect(wheel.waiting).toBe(1);
  });
});
