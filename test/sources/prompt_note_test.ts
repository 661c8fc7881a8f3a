import { describe, expect, test } from "bun:test";
import { type Ask, askOf, type Source } from "../../src/core/answer.ts";
import { Exchange } from "../../src/core/exchange.ts";
import { EMPTY_TURN, type Message } from "../../src/core/turn.ts";
import { notePrompts } from "../../src/sources/prompt_note.ts";
import { makeEngine, wireAsk } from "./upstream/rig.ts";

const ANSWER = { kind: "script", script: { name: "s", steps: [] }, model: "m" } as const;
const SOURCE: Source = { name: "proxy", answer: () => ANSWER };

function asking(messages: readonly Message[]): Ask {
  return askOf({ ...EMPTY_TURN, messages });
}

/** What is noted of `ask`. */
function noted(ask: Ask): string {
  const call = new Exchange(makeEngine(), "test", { method: "POST" });
  expect(notePrompts(SOURCE).answer(ask, call)).toBe(ANSWER);
  return call.promptText;
}

const USER = (content: unknown): Message => ({ role: "user", content });

const ROWS: readonly (readonly [string, readonly Message[], string])[] = [
  [
    "the last thing a user said",
    [USER("one"), USER("two"), { role: "assistant", content: "x" }],
    "two",
  ],
  [
    "parts joined",
    [USER([{ type: "text", text: "你好 " }, { type: "image_url" }, { text: "🌊" }])],
    "你好 🌊",
  ],
  ["nothing when no user says anything", [{ role: "system", content: "x" }], ""],
  ["nothing of no messages", [], ""],
  ["nothing of a content that is no text", [USER(null)], ""],
  ["500 characters whole", [USER("x".repeat(500))], "x".repeat(500)],
  ["500 of more", [USER("x".repeat(501))], `${"x".repeat(500)}…`],
  ["no half of a character", [USER(`${"x".repeat(499)}🌊`)], `${"x".repeat(499)}\ufffd…`],
  ["well-formed text", [USER("a\ud83d")], "a\ufffd"],
];

describe("notePrompts()", () => {
  for (const [name, messages, text] of ROWS) {
    test(`notes ${name}`, () => {
      expect(noted(asking(messages))).toBe(text);
    });
  }

  test("keeps the name", () => {
    expect(notePrompts(SOURCE).name).toBe("proxy");
  });

  test("leaves what is no turn to whoever answers", () => {
    const turn = () => {
      throw new TypeError("It is none");
    };
    expect(noted({ model: () => "", turn })).toBe("");
  });

  test("does not parse more than a MiB for a line", () => {
    const turn = { ...EMPTY_TURN, messages: [USER("x")] };
    let parsed = 0;
    const counted = (bytes: number): Ask => ({
      ...wireAsk({}, "x".repeat(bytes)),
      turn() {
        parsed++;
        return turn;
      },
    });
    expect([noted(counted(1024 * 1024)), parsed]).toEqual(["x", 1]);
    expect([noted(counted(1024 * 1024 + 1)), parsed]).toEqual(["", 1]);
  });
});
