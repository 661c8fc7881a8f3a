import { describe, expect, test } from "bun:test";
import type { DialectName } from "../../../src/core/answer.ts";
import {
  type Comparable,
  requestKey,
  turnIn,
  turnKey,
  Volatile,
} from "../../../src/sources/tape/request_key.ts";

function keyOf(body: string | Uint8Array, ignored: readonly string[] = [], path = "/x"): string {
  const request: Comparable = { method: "POST", path, body: Buffer.from(body) };
  return requestKey(request, new Volatile(ignored));
}

describe("requestKey()", () => {
  const SAME: readonly (readonly [what: string, one: string, other: string, ignored?: string[]])[] =
    [
      ["another order of keys", '{"a":1,"b":{"c":2,"d":3}}', '{"b":{"d":3,"c":2},"a":1}'],
      ["other white space", '{"a":[1,2]}', '{ "a" : [1,\n2] }'],
      ["other spellings of a number", '{"a":1}', '{"a":1.0}'],
      ["other spellings of a text", '{"a":"水"}', '{"a":"\\u6c34"}'],
      ["a field that does not count", '{"a":1,"user":"x"}', '{"a":1}', ["user"]],
      ["one further in", '{"m":{"run":"1","b":2}}', '{"m":{"run":"2","b":2}}', ["m.run"]],
      ["one of any item", '{"m":[{"id":1,"t":2}]}', '{"m":[{"id":9,"t":2}]}', ["m.*.id"]],
      [
        "another boundary of a form",
        "--abcdefgh12\r\nx\r\n--abcdefgh12--",
        "--zyxwvuts99\r\nx\r\n--zyxwvuts99--",
      ],
    ];
  for (const [what, one, other, ignored = []] of SAME) {
    test(`is the same with ${what}`, () => expect(keyOf(one, ignored)).toBe(keyOf(other, ignored)));
  }

  const OTHER:
    readonly (readonly [what: string, one: string, other: string, ignored?: string[]])[] = [
      ["another order of a list", "[1,2]", "[2,1]"],
      ["a digit that no double holds", "[12345678901234567890]", "[12345678901234567891]"],
      ["another text", '{"a":"b"}', '{"a":"c"}'],
      ["another type", '{"a":1}', '{"a":"1"}'],
      ["a field of that name elsewhere", '{"a":{"user":1}}', '{"a":{"user":2}}', ["user"]],
      ["other bytes that are no JSON", "\x00\x01", "\x00\x02"],
    ];
  for (const [what, one, other, ignored = []] of OTHER) {
    test(`differs with ${what}`, () => expect(keyOf(one, ignored)).not.toBe(keyOf(other, ignored)));
  }

  test("differs by method, path and query", () => {
    const key = (method: string, path: string) =>
      requestKey({ method, path, body: null }, new Volatile([]));
    expect(new Set([key("GET", "/a"), key("POST", "/a"), key("GET", "/a?b")]).size).toBe(3);
  });

  test("takes JSON that nests too deep by its bytes", () => {
    const deep = "[".repeat(100_000) + "]".repeat(100_000);
    expect(keyOf(deep)).toBe(keyOf(deep));
    expect(keyOf(deep)).not.toBe(keyOf(`${deep} `));
  });
});

describe("turnKey()", () => {
  const TURNS: readonly (readonly [DialectName, unknown])[] = [
    ["openai_chat", {
      model: "m",
      temperature: 1,
      messages: [{ role: "system", content: "s" }, { role: "user", content: "你好" }],
    }],
    ["openai_responses", { model: "m", instructions: "s", input: "你好" }],
    ["anthropic_messages", {
      model: "m",
      max_tokens: 9,
      system: "s",
      messages: [{ role: "user", content: [{ type: "text", text: "你好" }] }],
    }],
  ];

  test("is the same for one turn in three dialects", () => {
    const keys = TURNS.map(([dialect, body]) =>
      turnKey(turnIn(dialect, Buffer.from(JSON.stringify(body)))!)
    );
    expect(new Set(keys).size).toBe(1);
  });

  test("differs by the model and by what is said", () => {
    const [[dialect, body]] = TURNS as [(typeof TURNS)[number]];
    const text = JSON.stringify(body);
    const keys = [text, text.replace('"m"', '"n"'), text.replace("你", "我")].map((text) =>
      turnKey(turnIn(dialect, Buffer.from(text))!)
    );
    expect(new Set(keys).size).toBe(3);
  });

  test("there is no turn in other bodies", () => {
    expect(turnIn("openai_chat", Buffer.from("{}"))).toBeUndefined();
    expect(turnIn("openai", Buffer.from('{"model":"m"}'))).toBeUndefined();
  });
});
