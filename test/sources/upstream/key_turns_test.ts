import { describe, expect, test } from "bun:test";
import { KeyTurns } from "../../../src/sources/upstream/key_turns.ts";

const WALL_MS = Date.UTC(2026, 0, 1);

function turnsOf(count: number) {
  const clock = { nowMs: 100 };
  const turns = new KeyTurns(count, () => clock.nowMs, () => WALL_MS);
  return {
    clock,
    turns,
    next: (times: number) => Array.from({ length: times }, () => turns.next()),
  };
}

function fields(pairs: Readonly<Record<string, string>> = {}) {
  return { get: (name: string) => pairs[name] ?? null };
}

describe("KeyTurns", () => {
  test("each in turn", () => {
    expect(turnsOf(3).next(7)).toEqual([0, 1, 2, 0, 1, 2, 0]);
  });

  const rests:
    readonly (readonly [status: number, Readonly<Record<string, string>>, ms: number])[] = [
      [429, {}, 5000],
      [429, { "retry-after": "2" }, 2000],
      [429, { "retry-after-ms": "30" }, 30],
      [429, { "retry-after": new Date(WALL_MS + 9000).toUTCString() }, 9000],
      [429, { "retry-after": "86400" }, 60_000],
      [401, {}, 60_000],
      [403, {}, 60_000],
    ];
  for (const [status, pairs, ms] of rests) {
    test(`${status} with ${JSON.stringify(pairs)}: the key rests for ${ms} ms`, () => {
      const { clock, turns, next } = turnsOf(2);
      expect(turns.rests(0, status, fields(pairs))).toBe(true);
      clock.nowMs += ms - 1;
      expect(next(3)).toEqual([1, 1, 1]);
      clock.nowMs += 1;
      expect(next(3)).toEqual([0, 1, 0]);
    });
  }

  for (const status of [200, 400, 404, 408, 500, 503]) {
    test(`${status} is no key's fault`, () => {
      const { turns, next } = turnsOf(2);
      expect(turns.rests(0, status, fields({ "retry-after": "9" }))).toBe(false);
      expect(next(2)).toEqual([0, 1]);
    });
  }

  test("where all rest, the one that wakes first", () => {
    const { clock, turns, next } = turnsOf(3);
    turns.rests(0, 401, fields());
    turns.rests(1, 429, fields({ "retry-after": "1" }));
    expect([turns.isAwake, ...next(1)]).toEqual([true, 2]);
    turns.rests(2, 429, fields());
    expect([turns.isAwake, ...next(2)]).toEqual([false, 1, 1]);
    clock.nowMs += 1000;
    expect(turns.isAwake).toBe(true);
  });

  test("a shorter rest does not end a longer one", () => {
    const { clock, turns, next } = turnsOf(2);
    turns.rests(0, 401, fields());
    turns.rests(0, 429, fields({ "retry-after-ms": "0" }));
    clock.nowMs += 10;
    expect(next(2)).toEqual([1, 1]);
  });
});
