import { describe, expect, test } from "bun:test";
import { guard, triedCharsMax } from "../../../src/sources/mock/guard.ts";

describe("triedCharsMax()", () => {
  const rows: readonly (readonly [pattern: string, from: number, to: number])[] = [
    // Nothing is open, or one part alone.
    ["^[A-Z]{2}-\\d{4}$", 65_536, 65_536],
    ["^a+$", 65_536, 65_536],
    ["^[*+(|]$", 65_536, 65_536],
    ["^\\(\\*\\+$", 65_536, 65_536],
    // Several parts beside each other.
    ["a+b", 1000, 10_000],
    ["^[^@]+@[^@]+\\.[^@]+$", 200, 1000],
    [`^${"a*".repeat(10)}b$`, 10, 40],
    // Parts and alternatives within what is repeated.
    ["^(a+)+b$", 10, 22],
    ["^[a-z0-9]+(?:-[a-z0-9]+)*$", 10, 22],
    ["^(a|a)+b$", 10, 22],
    ["^(a|a|a|a)+b$", 5, 11],
    ["^((a+)+)+b$", 3, 11],
  ];
  for (const [pattern, from, to] of rows) {
    test(`${pattern}: ${from} to ${to}`, () => {
      expect(triedCharsMax(pattern)).toBeWithin(from, to + 1);
    });
  }
});

describe("guard()", () => {
  test("takes risky patterns out of schemas, and leaves values and names alone", () => {
    const risky = "^(a+)+b$";
    const schema = {
      properties: {
        pattern: { type: "string", pattern: risky, maxLength: 5 },
        default: { anyOf: [{ pattern: risky }, { pattern: "^b$" }] },
      },
      const: { pattern: risky },
    };
    expect(guard(schema)).toBe(true);
    const most = triedCharsMax(risky);
    expect(schema as unknown).toEqual({
      properties: {
        pattern: { type: "string", "weir:patterns": [risky], maxLength: 5 },
        default: {
          anyOf: [{ "weir:patterns": [risky], maxLength: most }, { pattern: "^b$" }],
        },
      },
      const: { pattern: risky },
    });
    expect(guard({ items: { pattern: "^b$" } })).toBe(false);
  });

  test("refuses names that would be tried against a risky pattern", () => {
    expect(() => guard({ patternProperties: { "^(a+)+b$": {} } })).toThrow(/bounded time/);
  });
});
