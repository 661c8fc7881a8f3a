import { describe, expect, test } from "bun:test";
import { Leases, type Lender, type LoanAsk, type SeatsAsk } from "../../src/lib/leases.ts";
import { Bucket, Gate, Limiter, limiterBytes, type Refusal } from "../../src/lib/limiter.ts";
import { Wheel } from "../../src/lib/wheel.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 10, 28);

/** Redis as it should be, with a clock that a test moves, and the nodes that share it. */
class Rig {
  ms = 0;
  isOpen = true;
  openings = 1;
  seatAsks = 0;
  readonly asks: LoanAsk[] = [];
  readonly #alarms: (() => void)[] = [];
  readonly wheel = new Wheel(() => this.ms, (_delayMs, run) => void this.#alarms.push(run));
  #usedMs = new Map<string, { used: number; atMs: number }>();
  readonly #seats = new Map<number, number>();
  #nodes = 0;

  node() {
    const own = ++this.#nodes;
    const limiter = new Limiter(new Uint8Array(limiterBytes(64)), () => START_MS + this.ms);
    // deno-lint-ignore no-this-alias
    const rig = this;
    const lender: Lender = {
      get isOpen() {
        return rig.isOpen;
      },
      get openings() {
        return rig.openings;
      },
      lend: (ask) => rig.#later(() => rig.#lend(ask)),
      seat: (ask) => rig.#later(() => rig.#seat(own, ask)),
    };
    const leases = new Leases({
      limiter,
      lender,
      nowMs: () => this.ms,
      pause: (ms) => this.wheel.until(this.ms + ms),
      random: () => 0.5,
    });
    return { leases, limiter };
  }

  /** It has forgotten everything. */
  forget(): void {
    this.#usedMs.clear();
    this.#seats.clear();
  }

  /** What is used of a bucket of this name. */
  used(bucket: Bucket): number {
    const { used, atMs } = this.#usedMs.get(bucket.name) ?? { used: 0, atMs: this.ms };
    return Math.max(0, used - (this.ms - atMs) * bucket.limit / bucket.windowMs);
  }

  /** Lets `ms` pass, and what was asked be answered. */
  async pass(ms: number): Promise<void> {
    this.ms += ms;
    this.wheel.turn();
    await settled();
  }

  /** What `answer` is, though time must pass for it. */
  async after<Value>(answer: Value | Promise<Value>): Promise<Value> {
    let isThere = false;
    const seen = Promise.resolve(answer).finally(() => isThere = true);
    for (let i = 0; i < 100 && !isThere; i++) {
      await settled();
      if (!isThere) await this.pass(10);
    }
    return await seen;
  }

  async #later<Value>(value: () => Value): Promise<Value> {
    await Promise.resolve();
    if (!this.isOpen) throw new Error("away");
    return value();
  }

  #lend(ask: LoanAsk) {
    this.asks.push(ask);
    const { bucket, owed, used: known, least, need, want } = ask;
    const { limit } = bucket;
    let used = Math.min(Math.max(0, Math.max(this.used(bucket), known) + owed), 2 * limit);
    const there = Math.max(0, Math.floor(limit - used + 1e-6));
    let granted = Math.min(there, want, Math.max(need, Math.floor(there / 8)));
    if (granted < least) granted = 0;
    used += granted;
    this.#usedMs.set(bucket.name, { used, atMs: this.ms });
    return { granted, left: limit - used };
  }

  #seat(own: number, { gate, inside, need, want }: SeatsAsk) {
    this.seatAsks++;
    let others = 0;
    for (const [id, count] of this.#seats) if (id !== own) others += count;
    const free = Math.max(0, gate.max - others - inside);
    const ahead = Math.floor(Math.max(0, free - need) / 8);
    const granted = inside + Math.min(free, want, need + ahead);
    this.#seats.set(own, granted);
    return { granted, others };
  }
}

/** Everything that can be done by now is done. */
async function settled(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

const bucketOf = (limit: number, windowMs = MINUTE_MS) => new Bucket("a", "rest", limit, windowMs);

type Node = ReturnType<Rig["node"]>;

const take = async (rig: Rig, { leases }: Node, bucket: Bucket, units = 1) =>
  await rig.after(leases.take([{ bucket, units }]));

describe("Leases", () => {
  test.each([
    // limit, share of the first of two nodes
    [60, 0.5],
    [600, 0.5],
    [600, 0.9],
    [6000, 0.5],
  ])(
    "ten times %i a minute, %f of it on one of two nodes: 3 %% off at most",
    async (limit, lean) => {
      const rig = new Rig();
      const nodes = [rig.node(), rig.node()];
      const bucket = bucketOf(limit);
      const stepMs = MINUTE_MS / (10 * limit);
      const passed: number[] = [];
      let debt = 0;
      let open = 0;
      let requests = 0;
      for (let minute = 0; minute < 4; minute++) {
        let count = 0;
        for (let i = 0; i < 10 * limit; i++) {
          rig.ms = minute * MINUTE_MS + i * stepMs;
          rig.wheel.turn();
          debt += lean;
          const node = nodes[debt >= 1 ? 0 : 1]!;
          if (debt >= 1) debt--;
          requests++;
          const refusal = node.leases.take([{ bucket, units: 1 }]);
          if (refusal instanceof Promise) {
            open++;
            void refusal.then((refusal) => refusal === undefined && count++);
          } else if (refusal === undefined) count++;
          if (i % 50 === 0) nodes.forEach(({ leases }) => leases.tick());
          await settled();
        }
        passed.push(count);
      }
      expect(passed[0]).toBeGreaterThan(1.94 * limit);
      expect(passed[0]).toBeLessThan(2.03 * limit);
      for (const count of passed.slice(1)) {
        expect(Math.abs(count / limit - 1), String(passed)).toBeLessThan(0.03);
      }
      // Hardly a request waits, and there are far fewer trips.
      expect(open).toBeLessThan(requests / 5);
      expect(rig.asks.length).toBeLessThan(requests / 4);
    },
    60_000,
  );

  test("in calm times a request waits for nothing but the first block", async () => {
    const rig = new Rig();
    const node = rig.node();
    const bucket = bucketOf(6000);
    let waited = 0;
    for (let i = 0; i < 600; i++) {
      const refusal = node.leases.take([{ bucket, units: 1 }]);
      if (refusal instanceof Promise) waited++;
      expect(await refusal).toBeUndefined();
      await rig.pass(20);
    }
    expect(waited).toBe(1);
    expect(rig.asks.length).toBeLessThan(40);
  });

  test("many who come at once wait for no more than two answers", async () => {
    const rig = new Rig();
    const node = rig.node();
    const bucket = bucketOf(60, DAY_MS);
    const answers = Array.from({ length: 100 }, async (_, i) => {
      for (let turn = 0; turn < i % 5; turn++) await Promise.resolve();
      return await node.leases.take([{ bucket, units: 1 }]);
    });
    await settled();
    const refusals = await Promise.all(answers);
    expect(refusals.filter((refusal) => refusal === undefined).length).toBe(60);
    expect(rig.asks.length).toBeLessThan(5);
  });

  test("what is known to be in vain is refused at once, and told how long to wait", async () => {
    const rig = new Rig();
    const [one, two] = [rig.node(), rig.node()];
    const bucket = bucketOf(100, DAY_MS);
    for (let i = 0; i < 50; i++) {
      expect(await take(rig, one, bucket)).toBeUndefined();
      expect(await take(rig, two, bucket)).toBeUndefined();
      await settled();
    }
    for (const node of [one, two]) {
      await take(rig, node, bucket);
      const asked = rig.asks.length;
      const refusal = node.leases.take([{ bucket, units: 1 }]);
      expect(refusal).toMatchObject({ kind: "bucket", draft: { bucket } });
      const { waitMs } = refusal as Extract<Refusal, { kind: "bucket" }>;
      expect(Math.abs(waitMs / (DAY_MS / 100) - 1)).toBeLessThan(0.05);
      expect(rig.asks.length).toBe(asked);
      expect(node.leases.read(bucket)).toMatchObject({ limit: 100, remaining: 0 });
    }
  });

  test("while the lender is away each machine holds the limit, from where it was at last", async () => {
    const rig = new Rig();
    const [one, two] = [rig.node(), rig.node()];
    const bucket = bucketOf(10, DAY_MS);
    for (let i = 0; i < 6; i++) expect(await take(rig, one, bucket)).toBeUndefined();
    rig.isOpen = false;
    for (let i = 0; i < 4; i++) expect(await take(rig, one, bucket)).toBeUndefined();
    expect(one.leases.take([{ bucket, units: 1 }])).toMatchObject({ kind: "bucket" });
    for (let i = 0; i < 10; i++) expect(await take(rig, two, bucket)).toBeUndefined();
    expect(await take(rig, two, bucket)).toBeDefined();
  });

  test("a lender that is away for a moment gives nobody a bucket that is full", async () => {
    const rig = new Rig();
    const [one, two] = [rig.node(), rig.node()];
    const bucket = bucketOf(100, DAY_MS);
    for (let i = 0; i < 60; i++) {
      await take(rig, one, bucket);
      await take(rig, two, bucket);
    }
    rig.isOpen = false;
    expect(await take(rig, one, bucket)).toBeDefined();
    expect(await take(rig, two, bucket)).toBeDefined();
  });

  test("a lender that comes back empty is told what was used: nobody begins anew", async () => {
    const rig = new Rig();
    const [one, two] = [rig.node(), rig.node()];
    const bucket = bucketOf(10, DAY_MS);
    for (let i = 0; i < 9; i++) expect(await take(rig, one, bucket)).toBeUndefined();
    rig.isOpen = false;
    rig.forget();
    rig.isOpen = true;
    rig.openings++;
    expect(await take(rig, one, bucket)).toBeUndefined();
    expect(await take(rig, one, bucket)).toBeDefined();
    expect(await take(rig, two, bucket)).toBeDefined();
  });

  test("who waits while the lender goes is let in by the machine's own limits", async () => {
    const rig = new Rig();
    const node = rig.node();
    const bucket = bucketOf(1, DAY_MS);
    const answer = node.leases.take([{ bucket, units: 1 }]);
    expect(answer).toBeInstanceOf(Promise);
    rig.isOpen = false;
    expect(await answer).toBeUndefined();
    expect(await take(rig, node, bucket)).toBeDefined();
  });

  test("what nobody wants goes back after five seconds, and all of it at the end", async () => {
    const rig = new Rig();
    const [one, two] = [rig.node(), rig.node()];
    const bucket = bucketOf(1000, DAY_MS);
    for (let i = 0; i < 40; i++) {
      await take(rig, one, bucket);
      await take(rig, two, bucket);
      await settled();
    }
    expect(rig.used(bucket)).toBeGreaterThan(81);
    await rig.pass(5500);
    one.leases.tick();
    await settled();
    const held = rig.used(bucket) - 80;
    await two.leases.close();
    expect(rig.used(bucket)).toBeLessThan(80 + held);
    expect(Math.abs(rig.used(bucket) - 80)).toBeLessThan(1);
  });

  test("what an answer has cost beyond its estimate reaches the others with the next tick", async () => {
    const rig = new Rig();
    const [one, two] = [rig.node(), rig.node()];
    const bucket = bucketOf(1000, DAY_MS);
    expect(await take(rig, one, bucket, 10)).toBeUndefined();
    one.leases.give(bucket, 10 - 900);
    one.leases.tick();
    await settled();
    expect(rig.used(bucket)).toBeGreaterThanOrEqual(900);
    expect(await take(rig, two, bucket, 200)).toMatchObject({ kind: "bucket" });
    expect(await take(rig, two, bucket, 50)).toBeUndefined();
  });

  test("what was taken while the lender was away is settled once", async () => {
    const rig = new Rig();
    const node = rig.node();
    const bucket = bucketOf(1000, DAY_MS);
    rig.isOpen = false;
    expect(await take(rig, node, bucket, 10)).toBeUndefined();
    rig.isOpen = true;
    rig.openings++;
    node.leases.give(bucket, 10 - 500); // its answer ends now
    expect(await take(rig, node, bucket)).toBeUndefined();
    node.leases.give(bucket, 1 - 101);
    node.leases.tick();
    await settled();
    await node.leases.close();
    expect(Math.round(rig.used(bucket))).toBe(601);
  });

  test("an answer that takes minutes is settled as another", async () => {
    const rig = new Rig();
    const [one, two] = [rig.node(), rig.node()];
    const bucket = bucketOf(1000, DAY_MS);
    expect(await take(rig, two, bucket, 300)).toBeUndefined();
    expect(await take(rig, one, bucket, 10)).toBeUndefined();
    for (let i = 0; i < 60; i++) {
      await rig.pass(10_000);
      for (const { leases } of [one, two]) leases.tick();
      await settled();
    }
    const before = rig.used(bucket);
    one.leases.give(bucket, 10 - 210);
    one.leases.tick();
    await settled();
    expect(Math.round(rig.used(bucket) - before)).toBe(200);
  });

  test("a unit that is refused by one bucket is taken from none", async () => {
    const rig = new Rig();
    const node = rig.node();
    const [narrow, wide] = [new Bucket("n", "rest", 1, DAY_MS), new Bucket("w", "rest", 9, DAY_MS)];
    const drafts = [{ bucket: wide, units: 1 }, { bucket: narrow, units: 1 }];
    expect(await node.leases.take(drafts)).toBeUndefined();
    for (let i = 0; i < 5; i++) {
      expect(await rig.after(node.leases.take(drafts))).toMatchObject({
        draft: { bucket: narrow },
      });
    }
    await node.leases.close();
    expect(Math.round(rig.used(wide))).toBe(1);
  });

  test("who is larger than what is left takes nothing", async () => {
    const rig = new Rig();
    const [one, two] = [rig.node(), rig.node()];
    const bucket = bucketOf(100, DAY_MS);
    expect(await take(rig, one, bucket, 70)).toBeUndefined();
    expect(await take(rig, two, bucket, 40)).toMatchObject({ kind: "bucket" });
    expect(await take(rig, one, bucket, 25)).toBeUndefined();
  });
});

describe("Leases at a gate", () => {
  const gate = new Gate("g", "rest", 3);
  const enter = async (rig: Rig, { leases }: Node) => await rig.after(leases.take([], gate));

  test("so many are in as may be, wherever they are, and who leaves makes room everywhere", async () => {
    const rig = new Rig();
    const [one, two] = [rig.node(), rig.node()];
    expect(await enter(rig, one)).toBeUndefined();
    expect(await enter(rig, two)).toBeUndefined();
    expect(await enter(rig, one)).toBeUndefined();
    expect(await enter(rig, two)).toMatchObject({ kind: "gate", inside: 3 });
    one.leases.leave(gate);
    await rig.pass(100);
    expect(await enter(rig, two)).toBeUndefined();
    expect(await enter(rig, one)).toMatchObject({ kind: "gate" });
  });

  test("one who asks again and again on other nodes is never in its own way", async () => {
    const rig = new Rig();
    const nodes = [rig.node(), rig.node(), rig.node()];
    const single = new Gate("single", "rest", 1);
    for (let i = 0; i < 30; i++) {
      const { leases } = nodes[i % 3]!;
      expect(await leases.take([], single)).toBeUndefined();
      leases.leave(single);
      await settled();
    }
  });

  test("many who come and go at a wide gate make no trip each", async () => {
    const rig = new Rig();
    const [one, two] = [rig.node(), rig.node()];
    const wide = new Gate("wide", "rest", 1000);
    const before = rig.seatAsks;
    for (let i = 0; i < 20; i++) {
      for (const { leases } of [one, two]) {
        for (let k = 0; k < 16; k++) expect(await rig.after(leases.take([], wide))).toBeUndefined();
        for (let k = 0; k < 16; k++) leases.leave(wide);
        await settled();
      }
    }
    expect(rig.seatAsks - before).toBeLessThan(40);
  });

  test("while the lender is away each machine has its own; then all who are in count", async () => {
    const rig = new Rig();
    const [one, two] = [rig.node(), rig.node()];
    rig.isOpen = false;
    for (let i = 0; i < 3; i++) expect(await enter(rig, one)).toBeUndefined();
    expect(await enter(rig, one)).toBeDefined();
    for (let i = 0; i < 2; i++) expect(await enter(rig, two)).toBeUndefined();
    rig.isOpen = true;
    rig.openings++;
    one.leases.tick();
    two.leases.tick();
    await settled();
    expect(await enter(rig, two)).toMatchObject({ kind: "gate", inside: 5 });
    for (let i = 0; i < 3; i++) one.leases.leave(gate);
    await rig.pass(100);
    expect(await enter(rig, two)).toBeUndefined();
  });
});
