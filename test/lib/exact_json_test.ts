import { describe, expect, test } from "bun:test";
import { ExactNumber, exactNumber, parseExactJson } from "../../src/lib/exact_json.ts";

const BIG = "12345678901234567890";

describe("parseExactJson", () => {
  for (
    const text of [
      BIG,
      `-${BIG}`,
      `{"a":${BIG},"b":[${BIG},{"c":${BIG}}],"d":"${BIG}","${BIG}":1}`,
      `["\\\\",${BIG},"\\"${BIG}\\"",${BIG},"值😀\\u0000"]`,
      "[9007199254740993,0.1234567890123456789,1e400,-1e-400,123456789.123456789]",
      `{"__proto__":${BIG},"a":{"__proto__":{"b":${BIG}}}}`,
    ]
  ) {
    test(`gives back ${text}`, () => {
      expect(JSON.stringify(parseExactJson(text))).toBe(text);
    });
  }

  for (
    const text of [
      "0",
      "-0",
      "[1,2.5,1e3,0.30000000000000004,1700000000000,9007199254740991,1e100,12345678901234567000]",
      `{"a":"${BIG}","b":null,"c":true}`,
      `"\\u0000exact number x"`,
    ]
  ) {
    test(`gives what JSON.parse gives for ${text}`, () => {
      expect(parseExactJson(text)).toEqual(JSON.parse(text));
      expect(JSON.stringify(parseExactJson(text))).toBe(JSON.stringify(JSON.parse(text)));
    });
  }

  for (
    const text of [
      "",
      "{",
      `[${BIG}`,
      `[${BIG}.]`,
      `[${BIG}.5.6]`,
      `[0${BIG}]`,
      `[+${BIG}]`,
      `[a${BIG}]`,
      `[${BIG}a]`,
      `{${BIG}:1}`,
      `["a${BIG}]`,
      `[--${BIG}]`,
      `["\\"]${BIG}`,
    ]
  ) {
    test(`refuses ${JSON.stringify(text)}`, () => {
      expect(() => parseExactJson(text)).toThrow(SyntaxError);
    });
  }
});

describe("exactNumber", () => {
  for (
    const [text, expected] of [
      ["1", 1],
      ["1.50", 1.5],
      ["1e2", 100],
      [BIG, new ExactNumber(BIG)],
      ["0.1000000000000000055", new ExactNumber("0.1000000000000000055")],
      ["1e999", new ExactNumber("1e999")],
      ["01", undefined],
      ["0x10", undefined],
      ["", undefined],
      ["x", undefined],
    ] as const
  ) {
    test(`gives ${expected} for ${JSON.stringify(text)}`, () => {
      expect(exactNumber(text)).toEqual(expected);
    });
  }
});
