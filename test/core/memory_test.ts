import { describe, expect, test } from "bun:test";
import {
  messagesOf,
  sessionIdOf,
  type SessionIds,
  storable,
  withSessionId,
} from "../../src/core/memory.ts";

const NOBODY: SessionIds = { sessionId: "", userId: "", roleId: "", groupId: "" };

describe("sessionIdOf()", () => {
  const CASES: readonly (readonly [Partial<SessionIds>, string])[] = [
    [{}, ""],
    [{ userId: "u" }, "u"],
    [{ roleId: "r", userId: "u" }, "u_r"],
    [{ roleId: "r", userId: "u", groupId: "g" }, "g_u_r"],
    [{ roleId: "r", groupId: "群" }, "群_r"],
    [{ sessionId: "s", userId: "u", groupId: "g" }, "s"],
  ];
  for (const [ids, wanted] of CASES) {
    test(`of ${JSON.stringify(ids)} is "${wanted}"`, () =>
      expect(sessionIdOf({ ...NOBODY, ...ids })).toBe(wanted));
  }
});

test("withSessionId() makes an id only when nobody is named", () => {
  const make = () => "made";
  expect(withSessionId(NOBODY, make).sessionId).toBe("made");
  expect(withSessionId({ ...NOBODY, userId: "u" }, make)).toEqual({
    ...NOBODY,
    userId: "u",
    sessionId: "u",
  });
});

describe("storable()", () => {
  const CASES = [
    ["plain 你好 👋", "plain 你好 👋"],
    ["a\0b\0", "a\uFFFDb\uFFFD"],
    ["\ud83d half", "\uFFFD half"],
    ["half \udc4b", "half \uFFFD"],
  ] as const;
  for (const [text, wanted] of CASES) {
    test(`of ${JSON.stringify(text)} is ${JSON.stringify(wanted)}`, () =>
      expect(storable(text)).toBe(wanted));
  }
});

describe("messagesOf()", () => {
  const CASES = [
    ["q", "a", ["user q", "assistant a"]],
    ["", "a", ["assistant a"]],
    ["q", "", ["user q"]],
    ["", "", []],
  ] as const;
  for (const [query, answer, wanted] of CASES) {
    test(`of "${query}" and "${answer}" are ${wanted.length}`, () => {
      const messages = messagesOf({ query, answer, isPartial: false, atMs: 0 });
      expect(messages.map(({ role, content }) => `${role} ${content}`)).toEqual([...wanted]);
    });
  }
});
