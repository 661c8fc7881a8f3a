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

const BODY = { messages: [{ role: "user", content: "Hi" }] };

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

  test("says the steps of a schedule when they are due, as far as they are known", async () => {
    const rig = new DriverRig();
    const words = ["a", "b", "c"];
    const steps = words.map((text) =>
      ({ kind: "delta", choice: 0, block: "text", text, afterMs: 0 }) as const
    );
    const schedule = { dueMs: Float64Array.of(10, 20, 0), known: 2, onMore: undefined } as {
      dueMs: Float64Array;
      known: number;
      onMore: (() => void) | undefined;
    };
    const ask = askSource(
      {
        name: "test",
        answer: () => ({ kind: "script", script: { name: "s", steps }, model: "m", schedule }),
      },
      (surface, signal) => rig.driver.call(surface, signal),
      "m",
    );
    const abort = new AbortController();
    const said: string[] = [];
    const reading = (async () => {
      for await (const step of ask(BODY, abort.signal)) {
        if (step.kind === "delta") said.push(step.text);
      }
    })();
    await rig.pass(19);
    expect(said).toEqual(["a"]);
    await rig.pass(30);
    expect(said).toEqual(["a", "b"]);
    schedule.dueMs[2] = 60;
    schedule.known = 3;
    schedule.onMore!();
    await rig.pass(15);
    expect(said).toEqual(words);
    await reading;
    schedule.known = 2;
    schedule.dueMs.fill(0);
    const other = ask(BODY, abort.signal);
    await other.next();
    await other.next();
    const third = other.next();
    abort.abort(new Error("left"));
    await expect(third).rejects.toThrow("left");
  });
});
