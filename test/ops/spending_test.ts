import { describe, expect, test } from "bun:test";
import { dayOf, monthOf, type Spent, tokensOf, type UsageRow } from "../../src/core/store.ts";
import { Spending } from "../../src/ops/spending.ts";
import { used } from "../store/tests.ts";

/** The usage of all processes, and the rows of this one that are not there yet. */
class Rig {
  readonly stored: UsageRow[] = [];
  waiting: UsageRow[] = [];
  nowMs = 0;
  isAway = false;
  readonly spending = new Spending({ store: this, log: this, wallMs: () => this.nowMs });

  at(text: string): void {
    this.nowMs = Date.parse(text);
  }

  /** This process has used so many tokens, at a billionth of a dollar each. */
  use(tokens: number, more: Partial<UsageRow> = {}): void {
    const row = used(Bun.randomUUIDv7(), {
      atMs: this.nowMs,
      promptTokens: 0,
      completionTokens: tokens,
      costNanos: tokens,
      ...more,
    });
    this.waiting.push(row);
    this.spending.add(row);
  }

  /** Another one has. */
  useElsewhere(tokens: number): void {
    this.stored.push(used("x", { atMs: this.nowMs, promptTokens: tokens, completionTokens: 0 }));
  }

  spent(atMs: number): readonly Spent[] {
    const sum = (since: number) =>
      this.stored.filter((row) => dayOf(row.atMs) >= since && dayOf(row.atMs) <= dayOf(atMs));
    const [day, month] = [sum(dayOf(atMs)), sum(monthOf(atMs))].map((rows) => ({
      tokens: rows.reduce((total, row) => total + tokensOf(row), 0),
      nanos: rows.reduce((total, row) => total + row.costNanos!, 0),
    }));
    return [{
      key: "ci",
      dayTokens: day!.tokens,
      dayNanos: day!.nanos,
      monthTokens: month!.tokens,
      monthNanos: month!.nanos,
    }];
  }

  async ask<T>(question: () => T | Promise<T>): Promise<T> {
    if (this.isAway) throw new Error("away");
    this.stored.push(...this.waiting);
    this.waiting = [];
    return await question();
  }

  tokens(per: "day" | "month"): number | undefined {
    return this.spending.of("ci", per)?.tokens;
  }
}

describe("Spending", () => {
  test("knows nothing before it has asked the store", async () => {
    const rig = new Rig();
    rig.at("2026-11-15T12:00:00Z");
    rig.use(5);
    expect(rig.tokens("month")).toBeUndefined();
    await rig.spending.refresh();
    expect([rig.tokens("month"), rig.spending.of("other", "day")])
      .toEqual([5, { tokens: 0, nanos: 0 }]);
  });

  test("counts its own at once and others' when it asks, each once", async () => {
    const rig = new Rig();
    rig.at("2026-11-15T12:00:00Z");
    await rig.spending.refresh();
    rig.use(5);
    rig.useElsewhere(100);
    expect(rig.tokens("day")).toBe(5);
    await rig.spending.refresh();
    expect(rig.tokens("day")).toBe(105);
    await rig.spending.refresh();
    rig.use(1);
    expect(rig.tokens("day")).toBe(106);
  });

  test("keeps counting while the store is away", async () => {
    const rig = new Rig();
    rig.at("2026-11-15T12:00:00Z");
    rig.useElsewhere(10);
    await rig.spending.refresh();
    rig.isAway = true;
    rig.use(5);
    await expect(rig.spending.refresh()).rejects.toThrow("away");
    expect(rig.tokens("month")).toBe(15);
  });

  /** When → what is used then, and what a day's and a month's budget has spent by then. */
  const CALENDAR: readonly (readonly [string, number, day: number, month: number])[] = [
    ["2026-11-14T23:59:59.999Z", 1, 1, 1],
    ["2026-11-15T00:00:00.000Z", 10, 10, 11],
    ["2026-11-15T23:59:59.999Z", 100, 110, 111],
    ["2026-11-30T23:59:59.999Z", 1000, 1000, 1111],
    ["2026-12-01T00:00:00.000Z", 10_000, 10_000, 10_000],
    ["2027-01-01T00:00:00.000Z", 5, 5, 5],
    ["2027-02-28T12:00:00.000Z", 6, 6, 6],
  ];

  for (const isRefreshed of [false, true]) {
    test(`goes by the calendar of UTC${isRefreshed ? ", as the store does" : ""}`, async () => {
      const rig = new Rig();
      rig.at(CALENDAR[0]![0]);
      await rig.spending.refresh();
      for (const [at, tokens, day, month] of CALENDAR) {
        rig.at(at);
        rig.use(tokens);
        if (isRefreshed) await rig.spending.refresh();
        expect([at, rig.tokens("day"), rig.tokens("month")]).toEqual([at, day, month]);
        expect(rig.spending.of("ci", "month")!.nanos).toBe(month);
      }
    });
  }

  test("what ends after midnight is of the day it ends on, and what is told late of its own", async () => {
    const rig = new Rig();
    rig.at("2026-11-30T12:00:00Z");
    await rig.spending.refresh();
    rig.use(7);
    rig.at("2026-12-01T00:00:01Z");
    expect([rig.tokens("day"), rig.tokens("month")]).toEqual([0, 0]);
    rig.use(1);
    rig.use(50, { atMs: Date.parse("2026-11-30T23:59:59Z") });
    expect([rig.tokens("day"), rig.tokens("month")]).toEqual([1, 1]);
  });

  test("a row that says neither tokens nor a price counts as none", async () => {
    const rig = new Rig();
    rig.at("2026-11-15T12:00:00Z");
    await rig.spending.refresh();
    rig.use(0, { promptTokens: null, completionTokens: null, costNanos: null });
    expect(rig.spending.of("ci", "month")).toEqual({ tokens: 0, nanos: 0 });
  });
});
