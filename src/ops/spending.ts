/**
 * What keys have spent of their budgets: what the store says, and what this process has added since.
 *
 * @module
 */

import type { BudgetPeriod } from "../core/keys.ts";
import { dayOf, monthOf, type Spent, tokensOf, type UsageRow } from "../core/store.ts";

/** What a key has spent of one period. */
export interface Expense {
  readonly tokens: number;
  /** Billionths of a US dollar. */
  readonly nanos: number;
}

/** What it asks, before which everything it was told of is with the store. */
export interface UsageSums {
  /** Rows that the store does not have yet. */
  readonly waiting: readonly UsageRow[];
  /** Asks when no row is on its way; `waiting` does not shrink meanwhile. */
  ask<T>(question: () => T | Promise<T>): Promise<T>;
}

/** What it needs. */
export interface SpendingOptions {
  readonly store: { spent(atMs: number): readonly Spent[] | Promise<readonly Spent[]> };
  readonly log: UsageSums;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
}

const NOTHING: Expense = { tokens: 0, nanos: 0 };

/** The sums of one day and one month. */
interface Sums {
  day: number;
  dayTokens: number;
  dayNanos: number;
  month: number;
  monthTokens: number;
  monthNanos: number;
}

/** All keys' expenses. */
export class Spending {
  readonly #options: SpendingOptions;
  #sums = new Map<string, Sums>();
  #isRead = false;

  constructor(options: SpendingOptions) {
    this.#options = options;
  }

  /** What `key` has spent of the current day or month (UTC); undefined = nobody has asked the store yet. */
  of(key: string, per: BudgetPeriod): Expense | undefined {
    if (!this.#isRead) return undefined;
    const sums = this.#sums.get(key);
    if (sums === undefined) return NOTHING;
    const nowMs = this.#options.wallMs();
    if (per === "day") {
      if (sums.day !== dayOf(nowMs)) return NOTHING;
      return { tokens: sums.dayTokens, nanos: sums.dayNanos };
    }
    if (sums.month !== monthOf(nowMs)) return NOTHING;
    return { tokens: sums.monthTokens, nanos: sums.monthNanos };
  }

  /** `row` was added, which the store will have later. */
  add(row: UsageRow): void {
    addTo(this.#sums, row);
  }

  /** Takes what the store says. @throws {AppError} when it cannot be asked (the promise rejects). */
  async refresh(): Promise<void> {
    const { store, log, wallMs } = this.#options;
    await log.ask(async () => {
      const atMs = wallMs();
      const day = dayOf(atMs);
      const month = monthOf(atMs);
      const spent = await store.spent(atMs);
      const sums = new Map(
        spent.map(({ key, ...rest }): [string, Sums] => [key, { day, month, ...rest }]),
      );
      for (const row of log.waiting) addTo(sums, row);
      this.#sums = sums;
      this.#isRead = true;
    });
  }
}

function addTo(all: Map<string, Sums>, row: UsageRow): void {
  const day = dayOf(row.atMs);
  const month = monthOf(row.atMs);
  const tokens = tokensOf(row);
  const nanos = row.costNanos ?? 0;
  let sums = all.get(row.key);
  if (sums === undefined) {
    sums = { day, dayTokens: 0, dayNanos: 0, month, monthTokens: 0, monthNanos: 0 };
    all.set(row.key, sums);
  }
  if (day > sums.day) Object.assign(sums, { day, dayTokens: 0, dayNanos: 0 });
  if (month > sums.month) Object.assign(sums, { month, monthTokens: 0, monthNanos: 0 });
  if (day === sums.day) {
    sums.dayTokens += tokens;
    sums.dayNanos += nanos;
  }
  if (month !== sums.month) return; // of a month that is over
  sums.monthTokens += tokens;
  sums.monthNanos += nanos;
}
