import { describe, expect, test } from "bun:test";
import type { Step } from "../../../src/core/answer.ts";
import { WholeCharacters } from "../../../src/sources/upstream/whole_characters.ts";

const text = (text: string, more: Partial<Extract<Step, { kind: "delta" }>> = {}): Step => ({
  kind: "delta",
  choice: 0,
  block: "text",
  text,
  ...more,
});
const args = (text: string, index = 0): Step => ({ kind: "arguments", choice: 0, index, text });
const end = (choice = 0): Step => ({ kind: "end", choice, reason: "stop" });

const [HIGH, LOW] = "🌊".split("") as [string, string];

/** What is read, piece by piece → what is given, piece by piece; the last one by `end()`. */
const CASES: readonly (readonly [string, readonly Step[][], readonly Step[][]])[] = [
  ["whole texts", [[text("水"), text("🌊")], []], [[text("水"), text("🌊")], []]],
  ["halves in two pieces", [[text(HIGH)], [text(LOW)], []], [[], [text("🌊")], []]],
  ["halves in two steps", [[text(`a${HIGH}`), text(`${LOW}b`)], []], [
    [text("a"), text("🌊b")],
    [],
  ]],
  ["an empty step between", [[text(HIGH), text(""), text(LOW)], []], [[text(""), text("🌊")], []]],
  ["a half before the end", [[text(HIGH), end()], []], [[text("\uFFFD"), end()], []]],
  ["a half before no end", [[text(HIGH)], []], [[], [text("\uFFFD")]]],
  ["a half before something else", [[text(HIGH), text("a")], []], [[text("\uFFFDa")], []]],
  ["a second half alone", [[text(`a${LOW}`)], []], [[text("a\uFFFD")], []]],
  ["two first halves", [[text(HIGH), text(HIGH + LOW)], []], [[text("\uFFFD🌊")], []]],
  ["a tool call's arguments", [[args(HIGH), args("x", 1), args(LOW)], []], [[
    args("x", 1),
    args("🌊"),
  ], []]],
  [
    "two choices and two blocks",
    [[
      text(HIGH),
      text(HIGH, { choice: 1 }),
      text(HIGH, { block: "reasoning" }),
      text(LOW, { choice: 1 }),
      end(1),
      text(LOW),
      end(),
    ], []],
    [[
      text("🌊", { choice: 1 }),
      end(1),
      text("🌊"),
      text("\uFFFD", { block: "reasoning" }),
      end(),
    ], []],
  ],
];

describe("WholeCharacters", () => {
  for (const [what, read, wanted] of CASES) {
    test(`of ${what}`, () => {
      const pieces = [...read];
      const next = () => pieces.shift()!;
      const reader = new WholeCharacters({ isDone: false, hasRead: true, feed: next, end: next });
      const given = read.map((_, i) =>
        i < read.length - 1 ? reader.feed(new Uint8Array()) : reader.end()
      );
      expect(given).toEqual(wanted.map((steps) => [...steps]));
    });
  }
});
