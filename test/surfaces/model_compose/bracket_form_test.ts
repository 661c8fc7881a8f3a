import { describe, expect, test } from "bun:test";
import {
  FORM_DEPTH_MAX,
  FORM_FIELDS_MAX,
  objectOfFields,
} from "../../../src/surfaces/model_compose/bracket_form.ts";

type Fields = readonly (readonly [string, unknown])[];

describe("objectOfFields", () => {
  for (
    const [fields, expected] of [
      [[], {}],
      [[["a", "1"]], { a: "1" }],
      [[["a", "1"], ["a", "2"]], { a: "2" }],
      [[["input[prompt]", "值"], ["input[n]", "1"]], { input: { prompt: "值", n: "1" } }],
      [[["input[a][b][c]", "x"]], { input: { a: { b: { c: "x" } } } }],
      [[["input[tags][]", "a"], ["input[tags][]", "b"]], { input: { tags: ["a", "b"] } }],
      [[["t[]", "a"]], { t: ["a"] }],
      [[["a b[c d]", "x"]], { "a b": { "c d": "x" } }],
      [[["constructor[prototype]", "x"]], { constructor: { prototype: "x" } }],
    ] as readonly (readonly [Fields, unknown])[]
  ) {
    test(`makes ${JSON.stringify(expected)} of ${JSON.stringify(fields)}`, () => {
      expect(objectOfFields(fields)).toEqual(expected as Record<string, unknown>);
    });
  }

  for (
    const [fields, message] of [
      [[["__proto__", "x"]], "__proto__ is not allowed"],
      [[["a[__proto__][b]", "x"]], "__proto__ is not allowed"],
      [[["a", "1"], ["a[b]", "2"]], "contradicts"],
      [[["a[b]", "2"], ["a", "1"]], "contradicts"],
      [[["a", "1"], ["a[]", "2"]], "contradicts"],
      [[["a[][b]", "1"]], "[] must stand last"],
      [[["[a]", "1"]], "is no path"],
      [[["a[b", "1"]], "is no path"],
      [[["a]b", "1"]], "is no path"],
      [[[`a${"[b]".repeat(FORM_DEPTH_MAX)}`, "1"]], "brackets"],
      [[["a".repeat(1001), "1"]], "1000 characters"],
      [Array(FORM_FIELDS_MAX + 1).fill(["a", "1"]), "fields"],
    ] as readonly (readonly [Fields, string])[]
  ) {
    test(`refuses ${JSON.stringify(fields).slice(0, 60)}`, () => {
      expect(() => objectOfFields(fields)).toThrow(message);
    });
  }

  test("sets no prototype", () => {
    expect(() => objectOfFields([["a[__proto__][polluted]", "1"]])).toThrow();
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });
});
