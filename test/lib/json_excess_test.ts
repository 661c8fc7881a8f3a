import { describe, expect, test } from "bun:test";
import { excessOf } from "../../src/lib/json_excess.ts";

describe("excessOf() of at most 2 levels and 3 fields", () => {
  const cases: readonly (readonly [text: string, excess: "depth" | "fields" | undefined])[] = [
    ["1", undefined],
    ['{"a":1,"b":2,"c":3}', undefined],
    ['{"a":1,"b":2,"c":3,"d":4}', "fields"],
    ['[{"a":1,"b":2},{"a":1,"b":2}]', undefined],
    ['{"a":{"b":1,"c":2},"d":3,"e":4}', undefined],
    ['{"a":{"b":1,"c":2},"d":3,"e":4,"f":5}', "fields"],
    ["[[1]]", undefined],
    ["[[[1]]]", "depth"],
    ['[{"a":{}}]', "depth"],
    ['["[[[[{{{{::::"]', undefined],
    [String.raw`["\"[[[["]`, undefined],
    [String.raw`["\\",[[1]]]`, "depth"],
    [String.raw`{"\\\":":1,"水🌊:":2}`, undefined],
    ['["open [[[[', undefined],
    ["]]]]{", undefined],
  ];
  for (const [text, excess] of cases) {
    test(`${text}: ${excess}`, () => expect(excessOf(text, 2, 3)).toBe(excess));
  }
});
