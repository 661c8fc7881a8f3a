import { describe, expect, test } from "bun:test";
import { Ticket, Wheel } from "../../src/lib/wheel.ts";
import { seeded } from "../seeded.ts";

/** A wheel whose clock a test moves by hand; the alarm only notes when it would wake. */
function handWheel(startMs = 0) {
  const state = { nowMs: startMs, alarmMs: undefined as number | undefined };
  const wheel = new Wheel(() => state.nowMs, (delayMs) => {
    state.alarmMs = state.nowMs + delayMs;
  });
  return {
    wheel,
    state,
    moveTo(ms: number) {
      state.nowMs = ms;
      wheel.turn();
    },
  };
}

class Probe extends Ticket {
  readonly runsMs: number[] = [];
  onRun: (nowMs: number) => void = () => {};

  override run(nowMs: number): void {
    this.runsMs.push(nowMs);
    this.onRun(nowMs);
  }
}

/** due → the whole millisecond at which a wheel that stands at 0 must run it, and not before. */
const CASES = [
  [-1, 0],
  [0, 0],
  [0.2, 1],
  [5, 5],
  [1023, 1023],
  [1024, 1024],
  [1025, 1025],
  [3000, 3000],
  [10_240.5, 10_241],
] as const;

describe("Wheel", () => {
  for (const [dueMs, ranMs] of CASES) {
    test(`set(${dueMs}) runs at ${ranMs} ms and not before`, () => {
      const { wheel, moveTo } = handWheel();
      const probe = new Probe();
      wheel.set(probe, dueMs);
      for (let ms = 0; ms < ranMs; ms++) moveTo(ms);
      expect(probe.runsMs).toEqual([]);
      moveTo(ranMs);
      expect(probe.runsMs).toEqual([ranMs]);
      expect(wheel.waiting).toBe(0);
    });
  }

  test("set() asks the alarm for the earliest ticket", () => {
    const { wheel, state } = handWheel(100);
    wheel.set(new Probe(), 150);
    expect(state.alarmMs).toBe(150);
    wheel.set(new Probe(), 120);
    expect(state.alarmMs).toBe(120);
    wheel.set(new Probe(), 140);
    expect(state.alarmMs).toBe(120);
  });

  test("turn() asks the alarm for the next slot that is not empty", () => {
    const { wheel, state, moveTo } = handWheel();
    wheel.set(new Probe(), 10);
    wheel.set(new Probe(), 400);
    moveTo(10);
    expect(state.alarmMs).toBe(400);
  });

  test("cancel() keeps a ticket from running, twice or late do nothing", () => {
    const { wheel, moveTo } = handWheel();
    const [first, second] = [new Probe(), new Probe()];
    wheel.set(first, 5);
    wheel.set(second, 5);
    wheel.cancel(first);
    wheel.cancel(first);
    expect(wheel.waiting).toBe(1);
    moveTo(5);
    wheel.cancel(second);
    expect([first.runsMs, second.runsMs]).toEqual([[], [5]]);
    expect(wheel.waiting).toBe(0);
  });

  test("cancel() of the neighbour that would run next, from inside a run", () => {
    const { wheel, moveTo } = handWheel();
    const probes = [new Probe(), new Probe(), new Probe()];
    for (const probe of probes) wheel.set(probe, 5);
    for (const probe of probes) {
      probe.onRun = () => probes.forEach((other) => other !== probe && wheel.cancel(other));
    }
    moveTo(5);
    expect(probes.flatMap((probe) => probe.runsMs)).toEqual([5]);
    expect(wheel.waiting).toBe(0);
  });

  test("set() from inside a run never runs in that same run, and 100 × 12 ms end at 1200 ms", () => {
    const { wheel, moveTo } = handWheel();
    const probe = new Probe();
    let dueMs = 12;
    probe.onRun = () => {
      dueMs += 12;
      if (probe.runsMs.length < 100) wheel.set(probe, dueMs);
    };
    wheel.set(probe, dueMs);
    for (let ms = 0; ms <= 2000; ms += 5) moveTo(ms); // woken only every 5 ms
    expect(probe.runsMs).toHaveLength(100);
    expect(probe.runsMs.at(-1)).toBe(1200);
  });

  test("set() moves a ticket that is already waiting", () => {
    const { wheel, moveTo } = handWheel();
    const probe = new Probe();
    wheel.set(probe, 5);
    wheel.set(probe, 9);
    moveTo(5);
    expect(probe.runsMs).toEqual([]);
    moveTo(9);
    expect(probe.runsMs).toEqual([9]);
  });

  test("turn() after a stall of ten turns of the wheel runs everything once", () => {
    const { wheel, moveTo } = handWheel();
    const probes = Array.from({ length: 500 }, () => new Probe());
    probes.forEach((probe, i) => wheel.set(probe, i * 20));
    moveTo(10_240 * 2);
    expect(probes.every((probe) => probe.runsMs.length === 1)).toBe(true);
  });

  test("turn() leaves the loop after 1000 runs and asks to be woken at once", () => {
    const { wheel, state, moveTo } = handWheel();
    const probes = Array.from({ length: 2500 }, () => new Probe());
    for (const probe of probes) wheel.set(probe, 7);
    const done = () => probes.filter((probe) => probe.runsMs.length === 1).length;
    moveTo(7);
    expect(done()).toBe(1000);
    expect(state.alarmMs!).toBeLessThanOrEqual(7);
    moveTo(7);
    moveTo(7);
    expect(done()).toBe(2500);
    expect(wheel.waiting).toBe(0);
  });

  test("an idle wheel does not walk through the idle time", () => {
    const { wheel, state, moveTo } = handWheel();
    state.nowMs = 1e9;
    const probe = new Probe();
    wheel.set(probe, 1e9 + 3);
    moveTo(1e9 + 3);
    expect(probe.runsMs).toEqual([1e9 + 3]);
  });

  test("until() settles true when it is time, false when its signal aborts", async () => {
    const { wheel, moveTo } = handWheel();
    const abort = new AbortController();
    const [timed, aborted] = [wheel.until(5), wheel.until(5, abort.signal)];
    abort.abort();
    expect(await aborted).toBe(false);
    moveTo(5);
    expect(await timed).toBe(true);
    expect(await wheel.until(9, abort.signal)).toBe(false);
    expect(wheel.waiting).toBe(0);
  });
});

describe("Wheel, by chance (seeded)", () => {
  /** From a moment to a day: near, a block away, and more than a turn of the blocks away. */
  const SPANS_MS = [3, 900, 3000, 200_000, 3_000_000, 86_400_000] as const;

  for (let seed = 1; seed <= 20; seed++) {
    test(`seed ${seed}: woken by its own alarm only, it runs each ticket in time, once`, () => {
      const random = seeded(seed);
      const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
      const startMs = Math.floor(random() * 10_000_000);
      const { wheel, state, moveTo } = handWheel(startMs);
      const due = new Map<Probe, number>();
      const probes = Array.from({ length: 60 }, () => {
        const probe = new Probe();
        probe.onRun = (nowMs) => {
          const dueMs = due.get(probe);
          if (dueMs === undefined) throw new Error("It was not waiting");
          expect(nowMs).toBeGreaterThanOrEqual(dueMs);
          due.delete(probe);
          if (random() < 0.3) set(probe);
        };
        return probe;
      });
      function set(probe: Probe): void {
        const dueMs = state.nowMs + random() * pick(SPANS_MS);
        due.set(probe, dueMs);
        wheel.set(probe, dueMs);
      }
      for (let i = 0; i < 400; i++) {
        for (let k = 0; k < 3; k++) set(pick(probes));
        const cancelled = pick(probes);
        wheel.cancel(cancelled);
        due.delete(cancelled);
        expect(wheel.waiting).toBe(due.size);
        // Mostly as its alarm says; sometimes early; now and then long after.
        const chance = random();
        const alarmMs = Math.max(state.nowMs, state.alarmMs ?? state.nowMs);
        if (chance < 0.8) moveTo(alarmMs);
        else if (chance < 0.9) moveTo(state.nowMs + random() * (alarmMs - state.nowMs));
        else moveTo(alarmMs + random() * pick(SPANS_MS));
        for (const dueMs of due.values()) expect(dueMs).toBeGreaterThan(state.nowMs - 1);
      }
      for (let i = 0; wheel.waiting > 0 && i < 1_000_000; i++) {
        expect(state.alarmMs! - state.nowMs).toBeLessThanOrEqual(1024 * 1024);
        moveTo(Math.max(state.nowMs + 1, state.alarmMs!));
      }
      expect(due.size).toBe(0);
    });
  }

  test("tickets that are far away wake it once a second at the most", () => {
    const { wheel, state, moveTo } = handWheel();
    for (let i = 0; i < 500; i++) wheel.set(new Probe(), 120_000 + i);
    let wakes = 0;
    while (state.nowMs < 119_000) {
      moveTo(state.alarmMs!);
      wakes++;
    }
    expect(wakes).toBeLessThan(120);
  });
});
