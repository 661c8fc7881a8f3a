import { describe, expect, test } from "bun:test";
import type { Step } from "../../src/core/answer.ts";
import { chunkOf } from "../../src/workflows/llm.ts";

describe("chunkOf()", () => {
  const reasoning: Step = { kind: "delta", choice: 0, block: "reasoning", text: "" };
  const silent: readonly Step[] = [reasoning, { kind: "signature", choice: 0, text: "" }];
  for (const step of silent) {
    test(`has no words for ${step.kind} without text`, () => {
      expect(chunkOf(step)).toBeUndefined();
    });
  }

  test("says reasoning as servers do that show it", () => {
    expect(chunkOf({ ...reasoning, text: "想" })).toEqual({
      choices: [{ index: 0, delta: { reasoning_content: "想" }, finish_reason: null }],
    });
  });
});
