import { describe, expect, test } from "bun:test";
import { Recent, recentBytes } from "../../src/lib/recent.ts";

const NOW = 1_800_000_000_000;

function recent(places: number): Recent {
  return new Recent(new Uint8Array(recentBytes(places)));
}

describe("Recent", () => {
  test("knows what came within the time, and each coming begins it anew", () => {
    const seen = recent(64);
    expect(seen.touch(1, 7, NOW, 1000)).toBe(false);
    expect(seen.touch(1, 7, NOW + 1000, 1000)).toBe(true);
    expect(seen.touch(1, 7, NOW + 2000, 1000)).toBe(true);
    expect(seen.touch(1, 7, NOW + 3200, 1000)).toBe(false);
  });

  test("what comes to another's place takes it", () => {
    const seen = recent(4);
    seen.touch(1, 7, NOW, 1000);
    expect(seen.touch(5, 8, NOW, 1000)).toBe(false);
    expect(seen.touch(1, 7, NOW, 1000)).toBe(false);
    expect(seen.touch(2, 7, NOW, 1000)).toBe(false);
  });

  test("is one for all who share the bytes, and forgets on demand", () => {
    const bytes = new Uint8Array(recentBytes(64));
    const [one, other] = [new Recent(bytes), new Recent(bytes)];
    one.touch(-3, -4, NOW, 1000);
    expect(other.touch(-3, -4, NOW, 1000)).toBe(true);
    other.clear();
    expect(one.touch(-3, -4, NOW, 1000)).toBe(false);
  });

  test("has a power of two of places", () => {
    expect(() => recent(3)).toThrow(RangeError);
    expect(() => recent(0)).toThrow(RangeError);
  });
});
