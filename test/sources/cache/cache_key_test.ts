import { describe, expect, test } from "bun:test";
import { Exchange } from "../../../src/core/exchange.ts";
import { FREE } from "../../../src/core/keys.ts";
import { requestHead } from "../../../src/lib/http1/request_head.ts";
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

describe("CacheKeys, where answers are for one key", () => {
  const own = new CacheKeys({ ...RULES, scope: "key" });
  const rules = { ...FREE, admin: false };

  function digestFor(call: (exchange: Exchange) => void): string {
    const exchange = new Exchange(engine, "test", { method: "POST" });
    call(exchange);
    return own.of(wireAsk({}, "{}"), exchange)!.digest;
  }

  function withKey(name: string, digest: string): string {
    return digestFor((exchange) => {
      exchange.key = { name, digest, rules, endsMs: Infinity, isLimited: false };
    });
  }

  test("a key that is made anew under its name is another one", () => {
    expect(withKey("bob", "1")).toBe(withKey("bob", "1"));
    expect(withKey("bob", "1")).not.toBe(withKey("bob", "2"));
    expect(withKey("bob", "1")).not.toBe(withKey("eve", "1"));
  });

  test("where weir has none, whoever shows others is another one, in whichever header", () => {
    const shown = (name: string, value: string) =>
      digestFor((exchange) => {
        exchange.request = { head: requestHead({ fields: [[name, value]] }), text: "" };
      });
    const names = [
      ...["authorization", "x-api-key", "api-key", "cookie", "ocp-apim-subscription-key"],
      ...["proxy-authorization", "x-api-token", "x-auth-token", "x-goog-api-key"],
    ];
    for (const name of names) {
      expect(shown(name, "a"), name).toBe(shown(name, "a"));
      expect(shown(name, "a"), name).not.toBe(shown(name, "b"));
    }
  });
});
