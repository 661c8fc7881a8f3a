import { describe, expect, test } from "bun:test";
import { parseExactJson } from "../../src/lib/exact_json.ts";
import { differenceText, jsonDifferences } from "../../src/lib/json_differences.ts";

const lines = (one: unknown, other: unknown) =>
  jsonDifferences(one, other).map((difference) => differenceText(difference));

const WORDS = "The quick brown fox jumps over the lazy dog, ";

describe("jsonDifferences()", () => {
  /** One, other → the lines. */
  const CASES: readonly (readonly [one: unknown, other: unknown, lines: readonly string[]])[] = [
    [{ a: 1, b: [1, 2] }, { b: [1, 2], a: 1 }, []],
    [{ a: 1 }, { a: "1" }, ['a: 1 instead of "1"']],
    [{ a: null }, {}, ["a: null instead of nothing"]],
    [{ constructor: 1 }, {}, ["constructor: 1 instead of nothing"]],
    [{}, { a: { b: 1 } }, ['a: nothing instead of {"b":1}']],
    [[1, 2], [1], ["[1]: 2 instead of nothing"]],
    ["x", { a: 1 }, ['body: "x" instead of {"a":1}']],
    [{ a: [{ "b c": 1 }] }, { a: [{ "b c": 2 }] }, ['a[0]["b c"]: 1 instead of 2']],
    [
      { messages: [{ content: "你好 🌊" }, { content: "b" }] },
      { messages: [{ content: "你好 👋" }] },
      [
        'messages[0].content: "你好 🌊" instead of "你好 👋"',
        'messages[1]: {"content":"b"} instead of nothing',
      ],
    ],
    [
      { a: `${WORDS}said Ann${"!".repeat(99)}` },
      { a: `${WORDS}said Bob` },
      [
        `a: "… lazy dog, said Ann${"!".repeat(40)}…" instead of "… lazy dog, said Bob"`,
      ],
    ],
  ];
  for (const [one, other, expected] of CASES) {
    test(JSON.stringify(one).slice(0, 60), () => expect(lines(one, other)).toEqual([...expected]));
  }

  test("a text is never shown from the middle of a character", () => {
    const [line] = lines("🌊".repeat(60), `${"🌊".repeat(50)}x`);
    expect(line).not.toMatch(/\\ud/);
  });

  test("numbers count with all their digits", () => {
    const parsed = (text: string) => parseExactJson(text);
    const [one, other] = ['{"a":12345678901234567890}', '{"a":12345678901234567891}'];
    expect(lines(parsed(one), parsed(one))).toEqual([]);
    expect(lines(parsed(one), parsed(other))).toEqual([
      "a: 12345678901234567890 instead of 12345678901234567891",
    ]);
  });

  test("stops when there are enough, and compares what is deep as one", () => {
    const many = Array.from({ length: 1000 }, (_, i) => i);
    expect(jsonDifferences(many, many.map((i) => i + 1), 3)).toHaveLength(3);
    const deep = (value: number) => {
      let inner: unknown = value;
      for (let i = 0; i < 500; i++) inner = [inner];
      return inner;
    };
    expect(jsonDifferences(deep(1), deep(1))).toEqual([]);
    expect(jsonDifferences(deep(1), deep(2))).toHaveLength(1);
  });
});
