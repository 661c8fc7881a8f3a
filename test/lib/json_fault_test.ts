import { describe, expect, test } from "bun:test";
import { jsonFault } from "../../src/lib/json_fault.ts";

describe("jsonFault() finds where it stops being JSON", () => {
  /** A text, in which ‸ stands before what is wrong. */
  const CASES = [
    '{"a": ‸}',
    '{"a": 1,‸}',
    '{"a": 1 ‸"b": 2}',
    "{‸a: 1}",
    '{"a"‸}',
    "[1, 2‸",
    "[1,\n ‸, 2]",
    "[1‸}",
    "[0‸1]",
    '["a‸',
    '{"a": 1} ‸{"b": 2}',
    "‸",
    " ‸NaN",
    "[1‸e]",
    '[‸"a\tb"]',
    "[[[‸",
    "‸]",
    "[1, ‸: 2]",
  ];
  for (const text of CASES) {
    test(JSON.stringify(text), () => {
      const at = text.indexOf("‸");
      const broken = text.replace("‸", "");
      expect(() => JSON.parse(broken)).toThrow();
      // A string that does not end is wrong where it begins.
      expect(jsonFault(broken)).toBe(text === '["a‸' ? 1 : at);
    });
  }

  for (const text of ["1", ' {"a": [1, -2.5e+3, {"b": null}, "\\u00e9\\n"], "c": {}} \n', "[]"]) {
    test(`and nothing in ${JSON.stringify(text)}`, () => {
      JSON.parse(text);
      expect(jsonFault(text)).toBeUndefined();
    });
  }
});
