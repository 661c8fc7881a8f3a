import { expect, test } from "bun:test";
import { warmUp } from "../../src/load/warm_up.ts";

test("warming up reads whole answers, and none of them fails", async () => {
  const { completed, failed } = await warmUp();
  expect(completed).toBeGreaterThan(0);
  expect(failed).toBe(0);
});
