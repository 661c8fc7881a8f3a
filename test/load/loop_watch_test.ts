import { expect, test } from "bun:test";
import { LoopWatch } from "../../src/load/loop_watch.ts";

/** A clock that a test sets. */
function watched() {
  const clock = { ms: 0 };
  const watch = new LoopWatch(() => clock.ms);
  return {
    clock,
    watch,
    /** Something is done from `fromMs` to `toMs`; gives how long it may have waited. */
    read(fromMs: number, toMs: number): number {
      const lateMs = watch.enter(fromMs);
      clock.ms = toMs;
      watch.leave();
      return Number(lateMs.toFixed(6));
    },
    /** The loop comes to the end of its turn. */
    async turn(ms: number): Promise<void> {
      clock.ms = ms;
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

test("what wakes a loop has not lain there; what comes behind it has since then at most", () => {
  const { read, watch } = watched();
  expect(read(100, 101)).toBe(0);
  expect(read(101.005, 103)).toBe(1.005);
  expect(read(103.005, 104)).toBe(3.005);
  // It slept.
  expect(read(110, 110.01)).toBe(0);
  expect(read(130, 130.01)).toBe(0);
  watch.stop();
});

test("a turn that reads much: what the next one reads may have come since it began", async () => {
  const { read, turn, watch } = watched();
  for (let i = 0; i < 10; i++) read(100 + i, 100.99 + i);
  await turn(110);
  expect(read(110.2, 111)).toBe(10.2);
  await turn(111);
  // Since the turn before began, and no longer since the first.
  expect(read(111.3, 112)).toBe(1.3);
  await turn(112);
  // In this one there was nothing: the loop may sleep.
  await turn(112.1);
  expect(read(115, 115.1)).toBe(0);
  watch.stop();
});

test("what else takes time makes reads wait, and is no read itself", () => {
  const { read, watch } = watched();
  expect(read(100, 100.1)).toBe(0);
  watch.begin(150);
  expect(read(158, 158.1)).toBe(0); // Nobody said that it was done until then: it may have slept.
  watch.begin(200);
  watch.rest();
  expect(read(200.01, 200.1)).toBe(0);
  watch.stop();
});

test("a loop that should have woken and did not: what is read then may have come since it slept", () => {
  const { clock, read, watch } = watched();
  clock.ms = 100;
  watch.start();
  expect(read(101, 101.01)).toBe(0);
  // Due at 102, and held up by something that nobody has told of.
  expect(read(130, 130.01)).toBe(28.99);
  watch.stop();
  // Where it had slept for long, it was awake when that timer was set.
  const other = watched();
  other.clock.ms = 50;
  expect(other.read(50, 50.01)).toBe(0);
  other.clock.ms = 100;
  other.watch.start();
  expect(other.read(104, 104.01)).toBe(4);
  other.watch.stop();
});

test("how late it woke is told of a loop that had nothing to do, not of one that reads", async () => {
  const { clock, watch } = watched();
  watch.start();
  clock.ms = 7;
  await Bun.sleep(20);
  watch.stop();
  // Due at 2: late by 5, and by 3 of the look that it has prevented. Then the clock stands still.
  expect(watch.delayMs.max).toBe(5);
  expect(watch.delayMs.countUpTo(2)).toBe(watch.delayMs.count - 2);
  const other = watched();
  other.watch.start();
  other.read(6.9, 7);
  await Bun.sleep(20);
  other.watch.stop();
  expect(other.watch.delayMs.max).toBe(0);
});
