import { describe, expect, test } from "bun:test";
import { Lru } from "../../src/lib/lru.ts";

describe("Lru", () => {
  test("forgets what was not used for the longest time", () => {
    const lru = new Lru<number>({ entriesMax: 2, bytesMax: 100 });
    lru.set("a", 1, 1);
    lru.set("b", 2, 1);
    expect(lru.get("a")).toBe(1);
    lru.set("c", 3, 1);
    expect([lru.get("a"), lru.get("b"), lru.get("c")]).toEqual([1, undefined, 3]);
    expect(lru.size).toBe(2);
  });

  test("stays within its bytes", () => {
    const lru = new Lru<number>({ entriesMax: 10, bytesMax: 10 });
    lru.set("a", 1, 4);
    lru.set("b", 2, 4);
    lru.set("c", 3, 4);
    expect([lru.get("a"), lru.get("b"), lru.bytes]).toEqual([undefined, 2, 8]);
    lru.set("b", 4, 9);
    expect([lru.get("b"), lru.get("c"), lru.bytes]).toEqual([4, undefined, 9]);
  });

  test("does not keep what is heavier than the limit, nor what it replaces", () => {
    const lru = new Lru<number>({ entriesMax: 10, bytesMax: 10 });
    lru.set("a", 1, 4);
    lru.set("a", 2, 11);
    expect([lru.get("a"), lru.size, lru.bytes]).toEqual([undefined, 0, 0]);
  });

  test("delete() and clear() give their bytes back", () => {
    const lru = new Lru<number>({ entriesMax: 10, bytesMax: 10 });
    lru.set("a", 1, 4);
    lru.set("b", 1, 4);
    lru.delete("a");
    lru.delete("a");
    expect(lru.bytes).toBe(4);
    lru.clear();
    expect([lru.size, lru.bytes, lru.get("b")]).toEqual([0, 0, undefined]);
  });
});
