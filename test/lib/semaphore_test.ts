import { describe, expect, test } from "bun:test";
import { Semaphore, SemaphoreFull } from "../../src/lib/semaphore.ts";

const NEVER = new AbortController().signal;

/** Lets every promise that can settle do so. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

describe("Semaphore", () => {
  test("lets so many in, and the others in their order", async () => {
    const gate = new Semaphore(2, 10);
    const inside: number[] = [];
    const leaves: (() => void)[] = [];
    for (let i = 0; i < 5; i++) {
      void gate.enter(NEVER).then((leave) => {
        inside.push(i);
        leaves.push(leave);
      });
    }
    await settle();
    expect(inside).toEqual([0, 1]);
    leaves[1]!();
    leaves[1]!(); // the second call must not free another place
    await settle();
    expect(inside).toEqual([0, 1, 2]);
    for (let i = 0; i < 5; i++) {
      leaves[i]?.();
      await settle();
    }
    expect(inside).toEqual([0, 1, 2, 3, 4]);
    const leave = await gate.enter(NEVER);
    leave();
  });

  test("refuses who would wait behind too many", async () => {
    const gate = new Semaphore(1, 1);
    await gate.enter(NEVER);
    void gate.enter(NEVER);
    await expect(gate.enter(NEVER)).rejects.toBeInstanceOf(SemaphoreFull);
  });

  test("forgets who waits and gives up, and gives his place to the next", async () => {
    const gate = new Semaphore(1, 10);
    const leave = await gate.enter(NEVER);
    const abort = new AbortController();
    const waiting = gate.enter(abort.signal);
    const next = gate.enter(NEVER);
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    leave();
    (await next)();
    await expect(gate.enter(abort.signal)).rejects.toThrow("enough");
  });
});
