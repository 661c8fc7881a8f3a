import { describe, expect, test } from "bun:test";
import { JsonSplice, placeAt } from "../../src/lib/json_splice.ts";

/** What is done to a text, and what it is then. */
const CASES: readonly (readonly [
  text: string,
  change: (splice: JsonSplice) => void,
  wanted: string,
])[] = [
  ['{ "a" : 1.50 }', ({ root }) => void root, '{ "a" : 1.50 }'],
  ['{ "a" : 1.50 }', (it) => it.set(it.root, "a", "2"), '{ "a" : 2 }'],
  ['{ "a" : 1.50 }', (it) => it.set(it.root, "b", "2"), '{ "a" : 1.50,"b":2 }'],
  ["{}", (it) => it.set(it.root, "b", "2"), '{"b":2}'],
  ['{"a":1, "b":2 ,"c":3}', (it) => it.remove(it.root, "a"), '{"b":2 ,"c":3}'],
  ['{"a":1, "b":2 ,"c":3}', (it) => it.remove(it.root, "b"), '{"a":1 ,"c":3}'],
  ['{"a":1, "b":2 ,"c":3 }', (it) => it.remove(it.root, "c"), '{"a":1, "b":2 }'],
  ['{ "a":1 }', (it) => it.remove(it.root, "a"), "{ }"],
  ['{"a":1,"a":2,"b":3,"a":4}', (it) => it.remove(it.root, "a"), '{"b":3}'],
  ['{"a":1,"a":2}', (it) => it.remove(it.root, "a"), "{}"],
  ['{"a":1,"a":2}', (it) => it.set(it.root, "a", "3"), '{"a":1,"a":3}'],
  ['{"a":1}', (it) => it.remove(it.root, "b"), '{"a":1}'],
  ['{"a":1,"b":2, "c":3}', (it) => {
    it.remove(it.root, "b");
    it.remove(it.root, "a");
  }, '{"c":3}'],
  ['{"a":1,"b":2,"c":3}', (it) => {
    it.remove(it.root, "c");
    it.remove(it.root, "a");
    it.set(it.root, "d", "4");
    it.set(it.root, "e", "5");
  }, '{"b":2,"d":4,"e":5}'],
  ['{"a":1 }', (it) => {
    it.set(it.root, "d", "4");
    it.set(it.root, "e", "5");
    it.remove(it.root, "a");
  }, '{"d":4,"e":5 }'],
  [
    '{"a":[{"b":"]}"},{"b":"\\""}], "z":12345678901234567890}',
    (it) => {
      it.replace(placeAt(it.root, "a", 1, "b")!, "null");
      it.replace(placeAt(it.root, "a", 0, "b")!, '"天"');
    },
    '{"a":[{"b":"天"},{"b":null}], "z":12345678901234567890}',
  ],
];

describe("JsonSplice", () => {
  for (const [text, change, wanted] of CASES) {
    test(`${text} becomes ${wanted}`, () => {
      const splice = new JsonSplice(text);
      change(splice);
      expect(String(splice)).toBe(wanted);
      expect(splice.hasChanged).toBe(text !== wanted);
      JSON.parse(wanted);
    });
  }
});

test("placeAt() finds nothing where nothing is", () => {
  const { root } = new JsonSplice('{"a":[1]}');
  for (const path of [["b"], ["a", 1], ["a", "b"], ["a", 0, "b"], [0]]) {
    expect(placeAt(root, ...path)).toBeUndefined();
  }
  expect(placeAt(undefined, "a")).toBeUndefined();
});
