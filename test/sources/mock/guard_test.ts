import { describe, expect, test } from "bun:test";
import { guard, Patterns, triedCharsMax } from "../../../src/sources/mock/guard.ts";
import { Steps } from "../../../src/sources/mock/work.ts";

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
  test("gives risky patterns another name, and leaves values and names alone", () => {
    const risky = "^(a+)+b$";
    const schema = {
      properties: {
        pattern: { type: "string", pattern: risky, maxLength: 5 },
        default: { anyOf: [{ pattern: risky }, { pattern: "^b$" }] },
      },
      const: { pattern: risky },
    };
    expect(guard(schema)).toBe(true);
    expect(schema as unknown).toEqual({
      properties: {
        pattern: { type: "string", "weir:patterns": [risky], maxLength: 5 },
        default: { anyOf: [{ "weir:patterns": [risky] }, { pattern: "^b$" }] },
      },
      const: { pattern: risky },
    });
    expect(guard({ items: { pattern: "^b$" } })).toBe(false);
  });
});

describe("Patterns", () => {
  test("says in linear time what the runtime's engine says", () => {
    // Behind each: what makes it risky for a text of this length.
    const risky = "(?:(?:a*)*)*(?:x?y?)*$";
    const texts = [
      "a",
      "A",
      "7",
      "_",
      "-",
      " ",
      "\u00a0",
      "\ufeff",
      "\v",
      "\n",
      "\u2028",
      "é",
      "杭",
      "🌊",
      "[",
      "]",
    ];
    for (
      const part of [
        ".",
        "\\s",
        "\\S",
        "[\\s]",
        "[^\\s]",
        "[\\S]",
        "[^\\S]",
        "\\w",
        "\\W",
        "\\d",
        "[.]",
        "[[]",
      ]
        .concat([
          "[\\]]",
          "\\p{L}",
          "\\P{L}",
          "\\u676d",
          "\\u{1f30a}",
          "[^a]",
          "(?<n>é)",
          "\\b",
          "[\\-a]",
        ])
    ) {
      const patterns = new Patterns(new Steps());
      for (const text of texts) {
        const whole = `${text}${"a".repeat(6)}`;
        const pattern = `^${part}${risky}`;
        expect([part, text, patterns.matches(pattern, whole)])
          .toEqual([part, text, new RegExp(pattern, "u").test(whole)]);
      }
    }
  });

  test("refuses what neither engine can do in bounded time", () => {
    const patterns = new Patterns(new Steps());
    const text = "a".repeat(50);
    expect(patterns.matches("^(a+)+b$", text)).toBe(false);
    expect(patterns.matches("^(?!b)a+$", text)).toBe(true);
    expect(() => patterns.matches("^(?!b)(a+)+c$", text)).toThrow(/bounded time/);
    expect(() => patterns.matches("(", text)).toThrow(SyntaxError);
  });
});
