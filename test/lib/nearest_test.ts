import { describe, expect, test } from "bun:test";
import { editDistance, nearest, slipOf } from "../../src/lib/nearest.ts";

describe("editDistance()", () => {
  const CASES = [
    ["", "", 0],
    ["", "abc", 3],
    ["abc", "", 3],
    ["port", "port", 0],
    ["port", "prot", 1],
    ["port", "ports", 1],
    ["port", "pot", 1],
    ["port", "part", 1],
    ["kitten", "sitting", 3],
    ["ca", "abc", 3],
    ["你好", "你們好", 1],
  ] as const;
  for (const [a, b, distance] of CASES) {
    test(`is ${distance} between "${a}" and "${b}", both ways`, () => {
      expect(editDistance(a, b)).toBe(distance);
      expect(editDistance(b, a)).toBe(distance);
    });
  }
});

describe("nearest()", () => {
  const KEYS = ["host", "port", "workers", "drain_ms", "idle_timeout_ms"];
  const CASES = [
    ["prot", "port"],
    ["hots", "host"],
    ["worker", "workers"],
    ["drain", "drain_ms"],
    ["timeout_ms", "idle_timeout_ms"],
    ["post", "host"], // as near to port: the first of equals
    ["timeout", undefined],
    ["zzz", undefined],
    ["", undefined],
    ["x".repeat(100_000), undefined],
  ] as const;
  for (const [word, expected] of CASES) {
    test(`finds ${expected} for "${word.slice(0, 20)}"`, () => {
      expect(nearest(word, KEYS)).toBe(expected);
    });
  }

  test("finds nothing among no candidates", () => expect(nearest("port", [])).toBeUndefined());
});

describe("slipOf()", () => {
  const FIELDS = ["session_id", "user_id", "role_id", "query", "stream", "role_prompt"];
  const CASES: readonly (readonly [string, string | undefined])[] = [
    ["userid", "user_id"],
    ["sessionId", "session_id"],
    ["SESSION-ID", "session_id"],
    ["roleid", "role_id"],
    ["qurey", "query"],
    ["role_promt", "role_prompt"],
    ["rolePrompts", "role_prompt"],
    ["user_id", undefined],
    ["user", undefined],
    ["id", undefined],
    ["", undefined],
    ["queue", undefined],
    ["streaming", undefined],
    ["model", undefined],
    ["用户", undefined],
    [`user_id${"_".repeat(100)}`, "user_id"],
    [`user_id${"_".repeat(1_000_000)}`, undefined],
  ];
  for (const [word, wanted] of CASES) {
    test(`of "${word.slice(0, 20)}" (${word.length}) is ${wanted}`, () =>
      expect(slipOf(word, FIELDS)).toBe(wanted));
  }
});
