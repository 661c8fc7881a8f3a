import { expect, test } from "bun:test";
import type { Event } from "../../src/core/events.ts";
import { dayOf, type ObjectLimits } from "../../src/core/store.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { sumsSinceDay, Upkeep, usageSinceMs } from "../../src/ops/upkeep.ts";

const DAY_MS = 86_400_000;
const LIMITS = { usageDays: 90, sumsDays: 800, objects: { days: 30, bytesMax: 1e6 } };

/** An upkeep over a store with so many rows to forget, on a clock moved by hand. */
function rig(rows: number) {
  let nowMs = 1000 * DAY_MS;
  const wheel = new Wheel(() => nowMs, () => {});
  const asked: (readonly unknown[])[] = [];
  const events: Event[] = [];
  const state = { rows, isAway: false, isTroubled: false };
  const upkeep = new Upkeep({
    ...LIMITS,
    isTroubled: () => state.isTroubled,
    wheel,
    wallMs: () => nowMs,
    watch: (event) => events.push(event),
    recover: () => Promise.resolve(),
    store: {
      pruneUsage(sinceMs: number, sinceDay: number, rowsMax: number) {
        state.isTroubled = state.isAway;
        if (state.isAway) throw new Error("away");
        asked.push([nowMs, sinceMs, sinceDay, rowsMax]);
        const count = Math.min(rowsMax, state.rows);
        state.rows -= count;
        return count;
      },
      pruneObjects(_limits: ObjectLimits, _rowsMax: number) {
        return 0;
      },
    },
  });
  const move = async (ms: number) => {
    for (const endMs = nowMs + ms; nowMs < endMs;) {
      nowMs = Math.min(endMs, nowMs + 10);
      wheel.turn();
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
  };
  return { upkeep, asked, events, state, move, beganMs: nowMs };
}

test("what is old goes in small steps with pauses, at once and every minute", async () => {
  const { upkeep, asked, move, state, beganMs } = rig(600);
  await move(1000);
  expect(state.rows).toBe(0);
  expect(asked.length).toBe(4); // 250, 250, 100, none
  for (const [atMs, sinceMs, sinceDay, rowsMax] of asked as [number, number, number, number][]) {
    expect([sinceMs, sinceDay, rowsMax]).toEqual([atMs - 91 * DAY_MS, dayOf(atMs) - 800, 250]);
  }
  expect((asked[1]![0] as number) - beganMs).toBeGreaterThanOrEqual(50);
  state.rows = 1;
  await move(50_000);
  expect(asked.length).toBe(4);
  await move(12_000);
  expect(asked.length).toBe(6);
  const closed = upkeep.close();
  await move(100);
  await closed;
  await move(200_000);
  expect(asked.length).toBe(6);
});

test("a store that is away is told of once, and asked again before long where somebody waits", async () => {
  const { upkeep, asked, events, move, state } = rig(0);
  await move(100);
  state.isAway = state.isTroubled = true; // somebody has noticed
  await move(10_000);
  expect(events.map(({ kind }) => kind)).toEqual(["prune_failed"]);
  state.isAway = false;
  await move(2500);
  expect(asked.length).toBe(2);
  const closed = upkeep.close();
  await move(100);
  await closed;
});

test("rows that are taken late are those that are surely still known", () => {
  const nowMs = 1000 * DAY_MS;
  expect(usageSinceMs(LIMITS, nowMs)).toBe(910 * DAY_MS);
  expect(sumsSinceDay(LIMITS, nowMs)).toBe(200);
});
