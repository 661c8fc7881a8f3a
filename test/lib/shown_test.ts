import { describe, expect, test } from "bun:test";
import { isLonger, shown } from "../../src/lib/shown.ts";

/** A value that fails whoever looks at more than its first `length` items. */
function unread(length: number): unknown[] {
  return new Proxy(Array.from({ length: 1_000_000 }), {
    get(target, key) {
      if (key === "length") return target.length;
      if (Number(key) > length) throw new Error(`Looked at item ${String(key)}`);
      return Reflect.get(target, key);
    },
  });
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { k: value };
  return value;
}

describe("isLonger()", () => {
  const rows: readonly (readonly [unknown, number, boolean])[] = [
    ["水".repeat(8), 10, false],
    ["水".repeat(9), 10, true],
    [[1, 2, 3], 10, false],
    [{ key: "value" }, 10, true],
    [{ a: 1 }, 10, false],
    [null, 10, false],
    [nested(200_000), 4096, true],
    [unread(4096), 4096, true],
  ];
  for (const [i, [value, charsMax, expected]] of rows.entries()) {
    test(`row ${i}: ${expected}`, () => expect(isLonger(value, charsMax)).toBe(expected));
  }
});

describe("shown()", () => {
  const rows: readonly (readonly [string, unknown, string])[] = [
    ["a text", 'say "水"', '"say \\"水\\""'],
    ["a long text", "🌊".repeat(100), `"${"🌊".repeat(30)}…"`],
    ["a number", 5, "5"],
    ["null", null, "null"],
    ["nothing", undefined, "undefined"],
    ["a small object", { a: [1] }, '{"a":[1]}'],
    ["a large object", { a: "x".repeat(100) }, "an object"],
    ["a large list", Array.from({ length: 100 }, () => 1), "a list"],
    ["a deep list", nested(200_001), "a list"],
  ];
  for (const [name, value, expected] of rows) {
    test(name, () => expect(shown(value)).toBe(expected));
  }
});
