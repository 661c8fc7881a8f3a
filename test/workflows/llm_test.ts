import { describe, expect, test } from "bun:test";
import type { Step } from "../../src/core/answer.ts";
import { askSource, chunkOf } from "../../src/workflows/llm.ts";
import { DriverRig } from "../core/driver_rig.ts";

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

describe("askSource()", () => {
  test("says nothing of an answer that was to break off", async () => {
    const { driver } = new DriverRig();
    const steps = [
      { kind: "delta", choice: 0, block: "text", text: "a", afterMs: 0 },
      { kind: "end", choice: 0, reason: "stop", afterMs: 0 },
    ] as const;
    const ask = askSource(
      {
        name: "test",
        answer: () => ({
          kind: "script",
          script: { name: "test", steps },
          model: "m",
          cut: { afterEvents: 1, afterMs: Infinity },
        }),
      },
      (surface, signal) => driver.call(surface, signal),
      "m",
    );
    const said = ask(
      { messages: [{ role: "user", content: "Hi" }] },
      new AbortController().signal,
    );
    await expect(said.next()).rejects.toThrow("was to break off");
  });
});
