import { describe, expect, test } from "bun:test";
import { namedModel, peekModel, withModel } from "../../../src/dialects/openai_chat/peek_model.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** body → what is found at a glance → what it names. */
const NAMES: readonly (readonly [string, string, string])[] = [
  ['{"model":"gpt-4o"}', "gpt-4o", "gpt-4o"],
  ['{ "model" :\n"通义-千问" }', "通义-千问", "通义-千问"],
  ['{"model":"org\\/x"}', "", "org/x"],
  ['{"model":"\\u0078"}', "", "x"],
  ['{"mod\\u0065l":"x"}', "", "x"],
  ['{"metadata":{"model":"inner"},"model":"outer"}', "inner", "outer"],
  ['{"model":"a","model":"b"}', "a", "b"],
  [`{"pad":"${"x".repeat(1024 * 1024)}","model":"far"}`, "", "far"],
  ['{"model":""}', "", ""],
  ['{"model":null}', "", ""],
  ['{"model":7}', "", ""],
  ['{"messages":[]}', "", ""],
  ['["model"]', "", ""],
  ["{", "", ""],
  ["", "", ""],
];

for (const [body, glance, name] of NAMES) {
  const shown = body.length > 80 ? `${body.slice(0, 20)}…` : body;
  test(`${shown} names ${JSON.stringify(name)}, at a glance ${JSON.stringify(glance)}`, () => {
    expect(peekModel(bytes(body))).toBe(glance);
    expect(namedModel(bytes(body))).toBe(name);
  });
}

test("no body names no model", () => {
  expect([peekModel(null), namedModel(null), withModel(null, "m")]).toEqual(["", "", null]);
});

describe("withModel()", () => {
  const rows: readonly (readonly [string, string])[] = [
    ['{"messages":[1]}', '{"model":"m","messages":[1]}'],
    [" { } ", ' {"model":"m" } '],
    ['{"a":1,"model":"","b":"水 🌊"}', '{"a":1,"model":"m","b":"水 🌊"}'],
    ['{"model":null}', '{"model":"m"}'],
    ['{"model":"x", "odd":  1}', '{"model":"x", "odd":  1}'],
    ['{"model":7}', '{"model":7}'],
    ["[1]", "[1]"],
    ["{broken", "{broken"],
  ];
  for (const [body, expected] of rows) {
    test(`${body} becomes ${expected}`, () => {
      expect(Buffer.from(withModel(bytes(body), "m")!).toString()).toBe(expected);
    });
  }

  test("without a model of its own, everything stays", () => {
    expect(Buffer.from(withModel(bytes('{"model":""}'), "")!).toString()).toBe('{"model":""}');
  });
});
