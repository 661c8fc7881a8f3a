import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bucket, Gate, Limiter, limiterBytes, readingOf } from "../../src/lib/limiter.ts";
import { nameHash } from "../../src/lib/name_table.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 10, 28);

/** A limiter with a clock that a test moves. */
function rig(slots = 64) {
  const clock = { ms: START_MS };
  const bytes = new Uint8Array(limiterBytes(slots));
  return { clock, bytes, limiter: new Limiter(bytes, () => clock.ms) };
}

function bucket(limit: number, windowMs = MINUTE_MS, name = "a") {
  return new Bucket(name, "rest", limit, windowMs);
}

function namesOf(limiter: Limiter, prefix = "") {
  return limiter.entries(prefix).map(({ name }) => name).toSorted();
}

const folders: string[] = [];
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })));

describe("Bucket", () => {
  test.each([
    // limit, window, taken, remaining, resetMs: as recorded on the live API
    [10_000, DAY_MS, 1, 9999, 8640],
    [200, DAY_MS, 1, 199, 432_000],
    [5000, MINUTE_MS, 1, 4999, 12],
    [10_000, MINUTE_MS, 1, 9999, 6],
    [30_000, MINUTE_MS, 1, 29_999, 2],
    [3000, MINUTE_MS, 1, 2999, 20],
    [10_000, MINUTE_MS, 22, 9978, 132],
    [200_000, MINUTE_MS, 55, 199_945, 16],
    [250_000, MINUTE_MS, 9, 249_991, 2],
    [160_000, MINUTE_MS, 24, 159_976, 9],
    [10_000_000, MINUTE_MS, 23_748, 9_976_252, 142],
    [180_000_000, MINUTE_MS, 9, 179_999_991, 0],
    // What no window can be divided by is as exact.
    [7, MINUTE_MS, 7, 0, 60_000],
    [9, DAY_MS, 1, 8, 9_600_000],
  ])("of %i in %i ms, of which %i were taken", (limit, windowMs, taken, remaining, resetMs) => {
    const { limiter } = rig();
    const limited = bucket(limit, windowMs);
    expect(limiter.take([{ bucket: limited, units: taken }])).toBeUndefined();
    expect(limiter.read(limited)).toMatchObject({ limit, remaining, resetMs });
  });
});

describe("Limiter", () => {
  test("refills all the time: what is left is cut off to a whole unit, the reset to a millisecond", () => {
    const { limiter, clock } = rig();
    const day = bucket(10_000, DAY_MS);
    for (let i = 0; i < 7; i++) limiter.take([{ bucket: day, units: 1 }]);
    expect(limiter.read(day)).toMatchObject({ remaining: 9993, resetMs: 60_480 });
    clock.ms += 1111;
    expect(limiter.read(day)).toMatchObject({ remaining: 9993, resetMs: 59_369 });
    clock.ms += 7529;
    expect(limiter.read(day)).toMatchObject({ remaining: 9994, resetMs: 51_840 });
    clock.ms += DAY_MS;
    expect(limiter.read(day)).toMatchObject({ remaining: 10_000, resetMs: 0 });
  });

  test("says how long to wait, and that long is enough to the millisecond", () => {
    const { limiter, clock } = rig();
    const tokens = bucket(30_000);
    limiter.take([{ bucket: tokens, units: 28_039 }]);
    const refusal = limiter.take([{ bucket: tokens, units: 3906 }]);
    // (28039 + 3906 − 30000) × 60 s ÷ 30000
    expect(refusal).toMatchObject({ kind: "bucket", waitMs: 3890, used: 28_039 });
    clock.ms += 3889;
    expect(limiter.take([{ bucket: tokens, units: 3906 }])).toMatchObject({ waitMs: 1 });
    clock.ms += 1;
    expect(limiter.take([{ bucket: tokens, units: 3906 }])).toBeUndefined();
    expect(limiter.read(tokens).remaining).toBe(0);
  });

  test("what is more than the whole limit never has its turn", () => {
    const { limiter } = rig();
    const tokens = bucket(1000);
    expect(limiter.take([{ bucket: tokens, units: 1001 }])).toMatchObject({ waitMs: Infinity });
    expect(limiter.take([{ bucket: tokens, units: 1000 }])).toBeUndefined();
  });

  test("takes of all buckets or of none, and names the one with the longest wait", () => {
    const { limiter } = rig();
    const requests = bucket(2, MINUTE_MS, "requests");
    const tokens = bucket(100, MINUTE_MS, "tokens");
    const drafts = [{ bucket: requests, units: 1 }, { bucket: tokens, units: 60 }];
    expect(limiter.take(drafts)).toBeUndefined();
    expect(limiter.take(drafts)).toMatchObject({ draft: { bucket: tokens }, waitMs: 12_000 });
    expect(limiter.read(requests).remaining).toBe(1);
    limiter.take([{ bucket: requests, units: 1 }]);
    expect(limiter.take(drafts)).toMatchObject({ draft: { bucket: requests }, waitMs: 30_000 });
    expect(limiter.read(tokens).remaining).toBe(40);
  });

  test("gives back, and makes a debt that is paid off before anything else", () => {
    const { limiter, clock } = rig();
    const tokens = bucket(600);
    limiter.take([{ bucket: tokens, units: 500 }]);
    limiter.give(tokens, 450);
    expect(limiter.read(tokens).remaining).toBe(550);
    limiter.give(tokens, 10_000);
    expect(limiter.read(tokens)).toMatchObject({ remaining: 600, resetMs: 0 });
    limiter.give(tokens, -900);
    expect(limiter.read(tokens)).toMatchObject({ remaining: 0, resetMs: 90_000 });
    expect(limiter.take([{ bucket: tokens, units: 1 }])).toMatchObject({ waitMs: 30_100 });
    clock.ms += 90_000;
    expect(limiter.read(tokens).remaining).toBe(600);
  });

  test("a clock that is set back owes two windows at the most", () => {
    const { limiter, clock } = rig();
    const requests = bucket(10);
    limiter.take([{ bucket: requests, units: 10 }]);
    clock.ms -= DAY_MS;
    expect(limiter.take([{ bucket: requests, units: 1 }])).toMatchObject({ waitMs: 66_000 });
    clock.ms -= DAY_MS;
    limiter.give(requests, 10);
    expect(limiter.read(requests)).toMatchObject({ remaining: 0, resetMs: 60_000 });
  });

  test("lets so many through a gate at once, of all processes together", () => {
    const { limiter, bytes, clock } = rig();
    const other = new Limiter(bytes, () => clock.ms, 7);
    const gate = new Gate("g", "rest", 3);
    for (const one of [limiter, other, other]) expect(one.take([], gate)).toBeUndefined();
    expect(limiter.take([], gate)).toMatchObject({ kind: "gate", inside: 3 });
    limiter.leave(gate);
    expect(other.take([], gate)).toBeUndefined();
    expect(limiter.inside(gate)).toBe(3);
    // The process of the others is killed.
    limiter.release(7);
    expect(limiter.inside(gate)).toBe(0);
    other.leave(gate);
    expect(limiter.inside(gate)).toBe(0);
  });

  test("takes nothing of buckets where the gate is shut, and does not enter where a bucket is empty", () => {
    const { limiter } = rig();
    const requests = bucket(2);
    const gate = new Gate("g", "rest", 1);
    const drafts = [{ bucket: requests, units: 1 }];
    expect(limiter.take(drafts, gate)).toBeUndefined();
    expect(limiter.take(drafts, gate)).toMatchObject({ kind: "gate" });
    expect(limiter.read(requests).remaining).toBe(1);
    limiter.leave(gate);
    limiter.take(drafts);
    expect(limiter.take(drafts, gate)).toMatchObject({ kind: "bucket" });
    expect(limiter.inside(gate)).toBe(0);
  });

  test("at ten times the limit: twice the limit in the first minute, then the limit", () => {
    const { limiter, bytes, clock } = rig();
    const workers = [limiter, new Limiter(bytes, () => clock.ms, 2)];
    const limit = 6000;
    const requests = bucket(limit);
    const passed: number[] = [];
    for (let minute = 0; minute < 4; minute++) {
      passed.push(0);
      // 64 clients, each of which asks so often that together they ask for ten times the limit.
      for (let ms = 0; ms < MINUTE_MS; ms += 64) {
        clock.ms = START_MS + minute * MINUTE_MS + ms;
        for (let client = 0; client < 64; client++) {
          const one = workers[client % 2]!;
          if (one.take([{ bucket: requests, units: 1 }]) === undefined) passed[minute]!++;
        }
      }
    }
    const wanted = [2 * limit, limit, limit, limit];
    passed.forEach((count, minute) => {
      expect(Math.abs(count / wanted[minute]! - 1)).toBeLessThan(0.01);
    });
  });

  test("a name that says no more makes room; who has none shares with the rest, and limits hold", () => {
    const { limiter, clock } = rig(8);
    limiter.reserve("rest");
    const named = (i: number, windowMs = MINUTE_MS) => bucket(10, windowMs, `name ${i}`);
    for (let i = 0; i < 7; i++) limiter.take([{ bucket: named(i), units: 10 }]);
    // All later ones together have one bucket.
    const passed = Array.from(
      { length: 20 },
      (_, i) => limiter.take([{ bucket: named(100 + i), units: 1 }]),
    );
    expect(passed.filter((refusal) => refusal === undefined)).toHaveLength(10);
    expect(limiter.read(named(3)).remaining).toBe(0);
    clock.ms += MINUTE_MS;
    for (let i = 0; i < 7; i++) {
      expect(limiter.take([{ bucket: named(200 + i), units: 10 }])).toBeUndefined();
    }
    expect(namesOf(limiter, "name 2")).toEqual(
      Array.from({ length: 7 }, (_, i) => `name ${200 + i}`),
    );
    expect(limiter.read(named(3)).remaining).toBe(10);
  });

  test("a name that has no room within its reach shares with the rest, while others find theirs", () => {
    const { limiter } = rig(1024);
    limiter.reserve("rest");
    const names = Array.from({ length: 1100 }, (_, i) => bucket(10, MINUTE_MS, `name ${i}`));
    const passed = names.filter((one) => limiter.take([{ bucket: one, units: 10 }]) === undefined);
    // Each of the first ones has a bucket of its own, and one of the later ones that of the rest.
    expect(passed.length).toBeGreaterThan(900);
    expect(passed.length).toBeLessThanOrEqual(1024);
    for (const one of names) expect(limiter.read(one).remaining).toBe(0);
  });

  test("without a rest a full table refuses", () => {
    const { limiter } = rig(2);
    for (const name of ["a", "b"]) limiter.take([{ bucket: bucket(1, MINUTE_MS, name), units: 1 }]);
    const more = bucket(1, MINUTE_MS, "c");
    expect(limiter.take([{ bucket: more, units: 1 }])).toEqual({ kind: "full" });
    expect(limiter.take([], new Gate("d", "rest", 1))).toEqual({ kind: "full" });
  });

  test("who is behind a gate keeps its room", () => {
    const { limiter } = rig(2);
    const gate = new Gate("g", "rest", 1);
    limiter.take([], gate);
    for (let i = 0; i < 100; i++) limiter.take([{ bucket: bucket(10, 1, `name ${i}`), units: 0 }]);
    expect(limiter.take([], gate)).toMatchObject({ kind: "gate", inside: 1 });
    limiter.leave(gate);
    expect(namesOf(limiter)).toEqual([]);
  });

  test("fills what begins with a text", () => {
    const { limiter } = rig();
    const one = bucket(10, MINUTE_MS, "x/1");
    const other = bucket(10, MINUTE_MS, "y/1");
    limiter.take([{ bucket: one, units: 10 }, { bucket: other, units: 10 }]);
    expect(namesOf(limiter)).toEqual(["x/1", "y/1"]);
    limiter.fill("x/");
    expect([limiter.read(one).remaining, limiter.read(other).remaining]).toEqual([10, 0]);
    expect(namesOf(limiter)).toEqual(["y/1"]);
  });

  test("tells how each bucket and each gate is, as far as it is not as it was at first", () => {
    const { limiter, clock } = rig();
    const gate = new Gate("gate", "rest", 5);
    limiter.take([{ bucket: bucket(10), units: 4 }], gate);
    clock.ms += 4000;
    expect(limiter.entries("")).toEqual(
      expect.arrayContaining([
        { name: "a", usedNs: 20_000 * 1e6, inside: 0 },
        { name: "gate", usedNs: expect.any(Number), inside: 1 },
      ]),
    );
    expect(readingOf(20_000 * 1e6, 10, MINUTE_MS)).toMatchObject({ remaining: 6, resetMs: 20_000 });
  });

  test("marks names for all processes, until they are filled", () => {
    const { limiter, bytes, clock } = rig(2);
    const other = new Limiter(bytes, () => clock.ms, 1);
    limiter.mark("state", 3);
    for (let i = 0; i < 9; i++) other.take([{ bucket: bucket(1, 1, `name ${i}`), units: 0 }]);
    expect(other.markOf(nameHash("state"))).toBe(3);
    other.mark("state", 1);
    expect(limiter.markOf(nameHash("state"))).toBe(1);
    limiter.fill("st");
    expect([limiter, other].map((one) => one.markOf(nameHash("state")))).toEqual([0, 0]);
    expect(limiter.markOf(nameHash("none"))).toBe(0);
  });

  test("several processes take of one page: not one unit is lost or given twice", async () => {
    const folder = mkdtempSync(join(tmpdir(), "weir-test-"));
    folders.push(folder);
    const file = join(folder, "page");
    writeFileSync(file, new Uint8Array(limiterBytes(64)));
    // The clock stands, so that nothing refills: of each bucket exactly its limit can be had. Names that
    // come and go need the lock, and what is given back is taken again.
    const script = (process: number) => `
      import { Bucket, Gate, Limiter } from ${
      JSON.stringify(join(import.meta.dir, "../../src/lib/limiter.ts"))
    };
      const limiter = new Limiter(Bun.mmap(${JSON.stringify(file)}), () => ${START_MS}, ${process});
      const limit = 30_000;
      const one = new Bucket("one", "rest", limit, 60_000);
      const two = new Bucket("two", "rest", 2 * limit, 86_400_000);
      const gate = new Gate("gate", "rest", 2);
      let taken = 0;
      let over = 0;
      for (let i = 0; i < 40_000; i++) {
        const passing = new Bucket("passing " + i, "rest", 1, 1000);
        limiter.take([{ bucket: passing, units: 0 }]);
        const refusal = limiter.take([{ bucket: one, units: 1 }, { bucket: two, units: 2 }], gate);
        if (limiter.inside(gate) > 2 + 3) over++;
        if (refusal !== undefined) continue;
        limiter.leave(gate);
        taken++;
        if (i % 10 === 0) {
          limiter.give(one, 1);
          limiter.give(two, 2);
          taken--;
        }
      }
      console.log(JSON.stringify({ taken, over }));
    `;
    const children = [1, 2, 3].map((process) =>
      Bun.spawn([globalThis.process.execPath, "-e", script(process)], { stdout: "pipe" })
    );
    const told = await Promise.all(
      children.map(async (child) => JSON.parse(await new Response(child.stdout).text())),
    );
    const limiter = new Limiter(Bun.mmap(file), () => START_MS);
    const taken = told.reduce<number>((sum, one) => sum + one.taken, 0);
    const one = new Bucket("one", "rest", 30_000, MINUTE_MS);
    const two = new Bucket("two", "rest", 60_000, DAY_MS);
    expect(taken).toBeGreaterThan(10_000);
    expect(limiter.read(one).remaining).toBe(30_000 - taken);
    expect(limiter.read(two).remaining).toBe(60_000 - 2 * taken);
    expect(told.map(({ over }) => over)).toEqual([0, 0, 0]);
    expect(limiter.inside(new Gate("gate", "rest", 2))).toBe(0);
  }, 120_000);
});
