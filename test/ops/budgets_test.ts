/** Budgets of keys over a real store, with a clock that is moved over the ends of days and months. */

import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { askOf } from "../../src/core/answer.ts";
import { AppError } from "../../src/core/errors.ts";
import type { Call } from "../../src/core/exchange.ts";
import { type BudgetPeriod, FREE } from "../../src/core/keys.ts";
import { EMPTY_TURN } from "../../src/core/turn.ts";
import type { Limiter } from "../../src/lib/limiter.ts";
import { Spending } from "../../src/ops/spending.ts";
import { KeyGuard } from "../../src/sources/keys/guard.ts";
import { openSqliteStore } from "../../src/store/sqlite.ts";
import { UsageLog } from "../../src/store/usage_log.ts";
import { used } from "../store/tests.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const BUDGET = 100;

/** Several processes of one weir, at the time that a test says. */
function rig(per: BudgetPeriod) {
  const folder = mkdtempSync(join(tmpdir(), "weir-test-"));
  ends.push(() => rmSync(folder, { recursive: true, force: true }));
  const clock = { nowMs: 0 };
  const key = {
    name: "ci",
    isLimited: true,
    rules: { ...FREE, budget_tokens: BUDGET, budget_per: per },
  };
  /** `hasOwnPlace`: its usage waits where no other process looks for it. */
  function open(hasOwnPlace = false) {
    const store = openSqliteStore({
      path: join(folder, "store.db"),
      clock: () => performance.now(),
      sleep: Bun.sleep,
    });
    const place = hasOwnPlace ? Bun.randomUUIDv7() : "usage";
    const log = new UsageLog({
      store,
      folder: join(folder, place),
      uuid: () => Bun.randomUUIDv7(),
      watch() {},
    });
    const spending = new Spending({ store, log, wallMs: () => clock.nowMs });
    const guard = new KeyGuard({
      limiter: { take: () => undefined, at: () => 0 } as unknown as Limiter,
      spent: (name, per) => spending.of(name, per),
      isPriced: () => true,
      wallMs: () => clock.nowMs,
    });
    const source = guard.around({
      name: "mock",
      answer: () => ({ kind: "script", model: "m", script: { name: "s", steps: [] } }),
    }, true);
    ends.push(async () => {
      await log.close();
      await store.close();
    });
    return {
      log,
      refresh: () => spending.refresh(),
      /** An answer that has ended at `atMs`. */
      use(tokens: number, atMs = clock.nowMs) {
        const row = used(Bun.randomUUIDv7(), { atMs, promptTokens: 0, completionTokens: tokens });
        log.add(row);
        spending.add(row);
      },
      /** The sentence of the refusal; "" = it is let in. */
      async ask(): Promise<string> {
        const call = { key, engine: { watch() {} }, atEnd() {} } as unknown as Call;
        try {
          await source.answer(askOf(EMPTY_TURN), call);
          return "";
        } catch (error) {
          if (error instanceof AppError) return `${error.code}: ${error.message}`;
          throw error;
        }
      },
    };
  }
  return { open, at: (text: string) => void (clock.nowMs = Date.parse(text)) };
}

test("a month's budget that is spent in mid-month opens again with the next month of UTC", async () => {
  const { open, at } = rig("month");
  at("2028-02-14T12:00:00Z");
  const [one, other] = [open(), open()];
  await Promise.all([one.refresh(), other.refresh()]);
  one.use(60);
  expect([await one.ask(), await other.ask()]).toEqual(["", ""]);
  other.use(39);
  await Promise.all([one.refresh(), other.refresh()]);
  await one.refresh();
  expect([await one.ask(), await other.ask()]).toEqual(["", ""]);
  one.use(1);
  expect(await one.ask()).toBe(
    "key_budget: The budget of the key ci for this month is spent (100 of 100 tokens): " +
      "it begins anew at 2028-03-01T00:00:00Z",
  );
  await one.refresh();
  await other.refresh();
  expect(await other.ask()).toStartWith("key_budget");
  at("2028-02-29T23:59:59.999Z"); // whatever the time zone of this machine
  await one.refresh();
  expect(await one.ask()).toStartWith("key_budget");
  at("2028-03-01T00:00:00Z");
  expect(await one.ask()).toBe(""); // before it has asked anew, too
  await other.refresh();
  expect(await other.ask()).toBe("");
  one.use(BUDGET);
  expect(await one.ask()).toEndWith("it begins anew at 2028-04-01T00:00:00Z");
});

test("spend that arrives late counts in the month in which it was made", async () => {
  const { open, at } = rig("month");
  at("2026-11-30T23:59:00Z");
  const [one, other] = [open(), open(true)];
  await one.refresh();
  // A node whose store is away: its rows come when the month is over.
  const madeMs = Date.parse("2026-11-30T23:59:30Z");
  other.use(BUDGET, madeMs);
  at("2026-12-01T00:00:30Z");
  await other.log.flush();
  await one.refresh();
  expect(await one.ask()).toBe("");
  // What ended in this month and comes late closes it, though later than it should.
  other.use(BUDGET, Date.parse("2026-12-01T00:00:10Z"));
  expect(await one.ask()).toBe("");
  await other.log.flush();
  await one.refresh();
  expect(await one.ask()).toStartWith("key_budget");
});

test("two processes that spend one budget of a day at once go beyond it by what was open only", async () => {
  const { open, at } = rig("day");
  at("2026-11-15T08:00:00Z");
  const processes = [open(), open()];
  for (const one of processes) await one.refresh();
  let spent = 0;
  for (let round = 0; round < 40; round++) {
    for (const one of processes) {
      if (await one.ask() !== "") continue;
      one.use(4);
      spent += 4;
    }
    // Each looks for what the others have spent every third round.
    if (round % 3 === 2) { for (const one of processes) await one.refresh(); }
  }
  expect(spent).toBeGreaterThanOrEqual(BUDGET);
  expect(spent).toBeLessThanOrEqual(BUDGET + 2 * 3 * 4);
  at("2026-11-16T00:00:00Z");
  for (const one of processes) expect(await one.ask()).toBe("");
});
