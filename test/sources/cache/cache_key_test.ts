import { describe, expect, test } from "bun:test";
import { Exchange } from "../../../src/core/exchange.ts";
import { type CacheKeyRules, CacheKeys } from "../../../src/sources/cache/cache_key.ts";
import { makeEngine, wireAsk } from "../upstream/rig.ts";

const RULES: CacheKeyRules = { scope: "all", headers: [], volatile: ["x.*.y"], route: "r" };
const keys = new CacheKeys(RULES);
const engine = makeEngine();

function digest(body: string, of = keys): string | undefined {
  return of.of(wireAsk({}, body), new Exchange(engine, "test", { method: "POST" }))?.digest;
}

describe("CacheKeys, of JSON", () => {
  const same: readonly (readonly [string, string])[] = [
    ['{"a":1,"b":[1,{"c":2,"d":3}]}', '{"b":[1, {"d":3,\n"c":2}],"a":1}'],
    ['{"a":"\\u0041\\/"}', '{"a":"A/"}'],
    ['{"a":100}', '{"a":1e2}'],
    ['{"a":0.10}', '{"a":0.1}'],
    ['{"a":1,"user":"x"}', '{"a":1}'],
    ['{"x":[{"y":1,"z":2}]}', '{"x":[{"z":2}]}'],
    ['{"a:\\"b":"\\\\","c":":"}', '{"c":":","a:\\"b":"\\\\"}'],
    ['{"__proto__":1,"a":2}', '{"a":2,"__proto__":1}'],
  ];
  for (const [one, other] of same) {
    test(
      `${one} is ${other}`.replaceAll("\n", " "),
      () => expect(digest(one)).toBe(digest(other)!),
    );
  }

  const different: readonly (readonly [string, string])[] = [
    ['{"a":1}', '{"a":"1"}'],
    ['{"a":null}', "{}"],
    ['{"a":{"user":1}}', '{"a":{}}'],
    ['{"a":1,"a":2}', '{"a":2}'],
    ['{"a":1,"a":2}', '{"a":2,"a":1}'],
    ['{"b":{"a":1,"\\u0061":2}}', '{"b":{"a":2}}'],
    ['{"user":1,"user":2}', "{}"],
    ['{"__proto__":1}', "{}"],
    ['{"a":"b\\":","c":1}', '{"a":"b","c":1}'],
    ['{"a":9007199254740993}', '{"a":9007199254740992}'],
    ['{"A":1}', '{"a":1}'],
    ['{"a":"e\\u0301"}', '{"a":"\\u00e9"}'],
  ];
  for (const [one, other] of different) {
    test(`${one} is not ${other}`, () => expect(digest(one)).not.toBe(digest(other)!));
  }

  test("what is none has no key", () => {
    for (const body of ["", "[]", "1", '"a"', "null", "{", '{"a":1}}', "\ud800"]) {
      expect(digest(body)).toBeUndefined();
    }
    expect(digest(`{"a":${"[".repeat(2000)}${"]".repeat(2000)}}`)).toBeUndefined();
  });

  test("other routes have other keys", () => {
    const other = new CacheKeys({ ...RULES, route: "other" });
    expect(digest("{}", other)).not.toBe(digest("{}")!);
  });

  test("what was asked before does not matter", () => {
    const bodies = ['{"a":1}', '{"a":2}', '{"a":1,"user":"x"}', '{"store":true}'];
    const first = bodies.map((body) => digest(body));
    expect(first[0]).toBe(first[2]!);
    expect(first[3]).toBeUndefined();
    for (const body of [...bodies, ...bodies]) {
      for (const _ of [1, 2]) expect(digest(body)).toBe(first[bodies.indexOf(body)]);
    }
  });
});
