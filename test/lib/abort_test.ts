import { describe, expect, test } from "bun:test";
import { Abort } from "../../src/lib/abort.ts";

function counter() {
  return {
    calls: 0,
    handleEvent() {
      this.calls++;
    },
  };
}

describe("Abort", () => {
  test("tells each listener once, and keeps its first reason", () => {
    const abort = new Abort();
    const [one, other] = [counter(), counter()];
    abort.addEventListener("abort", one);
    abort.addEventListener("abort", other);
    expect([abort.aborted, abort.reason]).toEqual([false, undefined]);
    abort.abort("first");
    abort.abort("second");
    expect([abort.aborted, abort.reason]).toEqual([true, "first"]);
    expect([one.calls, other.calls]).toEqual([1, 1]);
  });

  test("does not tell who has gone, or who comes too late", () => {
    const abort = new Abort();
    const [gone, stays, late] = [counter(), counter(), counter()];
    abort.addEventListener("abort", gone);
    abort.addEventListener("abort", stays);
    abort.removeEventListener("abort", gone);
    abort.removeEventListener("abort", late);
    abort.abort("why");
    abort.addEventListener("abort", late);
    expect([gone.calls, stays.calls, late.calls]).toEqual([0, 1, 0]);
  });

  test("toSignal() aborts with it, with the same reason", () => {
    const abort = new Abort();
    const before = abort.toSignal();
    expect(before.aborted).toBe(false);
    abort.abort("why");
    for (const signal of [before, abort.toSignal()]) {
      expect([signal.aborted, signal.reason]).toEqual([true, "why"]);
    }
  });
});
