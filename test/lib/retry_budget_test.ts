import { expect, test } from "bun:test";
import { RetryBudget } from "../../src/lib/retry_budget.ts";

function spend(budget: RetryBudget): number {
  let tries = 0;
  while (budget.take()) tries++;
  return tries;
}

test("a hundred are saved up, ten a second come, and one for five questions", () => {
  let nowMs = 5000;
  const budget = new RetryBudget({ share: 0.2, per_second: 10, saved_max: 100 }, () => nowMs);
  expect(spend(budget)).toBe(100);
  expect(budget.take()).toBe(false);
  nowMs += 90;
  expect(budget.take()).toBe(false);
  nowMs += 10;
  expect(spend(budget)).toBe(1);
  nowMs += 2500;
  expect(spend(budget)).toBe(25);
  for (let i = 0; i < 50; i++) budget.earn();
  expect(spend(budget)).toBe(10);
  nowMs += 3_600_000;
  for (let i = 0; i < 50; i++) budget.earn();
  expect(spend(budget)).toBe(100);
});

test("without any of them nothing is asked again", () => {
  const budget = new RetryBudget({ share: 0, per_second: 0, saved_max: 0 }, () => 5000);
  budget.earn();
  expect(budget.take()).toBe(false);
});
