import { describe, expect, test } from "bun:test";
import { messagesOf, storable } from "../../src/core/memory.ts";

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
