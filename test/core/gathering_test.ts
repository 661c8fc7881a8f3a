import { describe, expect, test } from "bun:test";
import type { Block, Step } from "../../src/core/answer.ts";
import { Gathering, textOfSteps } from "../../src/core/gathering.ts";

function delta(text: string, choice = 0, block: Block = "text"): Step {
  return { kind: "delta", choice, block, text };
}

function gathered(...steps: readonly Step[]): Gathering {
  const gathering = new Gathering();
  for (const step of steps) gathering.add(step);
  return gathering;
}

const EMPTY = {
  text: "",
  reasoning: "",
  refusal: "",
  signature: undefined,
  calls: [],
  citations: [],
  logprobs: undefined,
  audio: undefined,
  reason: "stop",
  stopSequence: undefined,
} as const;

const CITATION = { url: "https://a.example/", title: "水", startChars: 0, endChars: 1 };

describe("Gathering", () => {
  const CASES: readonly (readonly [
    name: string,
    steps: readonly Step[],
    choices: readonly object[],
  ])[] = [
    ["has one choice when nothing is said", [], [EMPTY]],
    ["joins texts", [delta("水"), delta(""), delta(" 🌊")], [{ ...EMPTY, text: "水 🌊" }]],
    ["keeps blocks apart", [
      delta("why", 0, "reasoning"),
      delta("a"),
      delta("no", 0, "refusal"),
      delta(" not", 0, "reasoning"),
    ], [{ ...EMPTY, text: "a", reasoning: "why not", refusal: "no" }]],
    ["keeps choices apart, whatever their order", [
      delta("c", 2),
      delta("a"),
      { kind: "end", choice: 2, reason: "length" },
      { kind: "end", choice: 0, reason: "content_filter" },
    ], [
      { ...EMPTY, text: "a", reason: "content_filter" },
      EMPTY,
      { ...EMPTY, text: "c", reason: "length" },
    ]],
    ["joins the arguments of calls that come mixed", [
      { kind: "call", choice: 0, index: 0, id: "call_a", name: "rain" },
      { kind: "call", choice: 0, index: 1, id: "call_b", name: "wind" },
      { kind: "arguments", choice: 0, index: 1, text: '{"b":' },
      { kind: "arguments", choice: 0, index: 0, text: '{"水":' },
      { kind: "arguments", choice: 0, index: 1, text: "2}" },
      { kind: "arguments", choice: 0, index: 0, text: "1}" },
      { kind: "end", choice: 0, reason: "tool_calls" },
    ], [{
      ...EMPTY,
      calls: [
        { id: "call_a", name: "rain", arguments: '{"水":1}', tool: undefined },
        { id: "call_b", name: "wind", arguments: '{"b":2}', tool: undefined },
      ],
      reason: "tool_calls",
    }]],
    ["knows a call that takes text", [
      { kind: "call", choice: 0, index: 0, id: "", name: "sh", tool: "custom" },
      { kind: "arguments", choice: 0, index: 0, text: "ls" },
    ], [{ ...EMPTY, calls: [{ id: "", name: "sh", arguments: "ls", tool: "custom" }] }]],
    ["joins a signature, and tells an empty one from none", [
      { kind: "signature", choice: 0, text: "" },
      { kind: "signature", choice: 1, text: "ab" },
      { kind: "signature", choice: 1, text: "c" },
      delta("a", 2),
    ], [{ ...EMPTY, signature: "" }, { ...EMPTY, signature: "abc" }, { ...EMPTY, text: "a" }]],
    ["joins pieces of sound, each with an end of its own, and their words", [
      { kind: "audio", choice: 0, data: btoa("a"), transcript: "水" },
      { kind: "audio", choice: 0, data: "", transcript: " 🌊" },
      { kind: "audio", choice: 0, data: btoa("bcd"), transcript: "" },
      { kind: "audio", choice: 0, data: btoa("ef"), transcript: "" },
    ], [{ ...EMPTY, audio: { data: btoa("abcdef"), transcript: "水 🌊" } }]],
    ["keeps citations, the likelihood of each token, and the text that ended it", [
      {
        ...delta("a"),
        logprobs: [{ token: "a", logprob: -0.5, top: [] }],
      } as Step,
      { kind: "citation", choice: 0, citation: CITATION },
      { ...delta("b"), logprobs: [{ token: "b", logprob: 0, top: [] }] } as Step,
      { kind: "end", choice: 0, reason: "stop", stopSequence: "c" },
    ], [{
      ...EMPTY,
      text: "ab",
      citations: [CITATION],
      logprobs: [{ token: "a", logprob: -0.5, top: [] }, { token: "b", logprob: 0, top: [] }],
      stopSequence: "c",
    }]],
    ["leaves out arguments of a call that did not begin", [
      { kind: "arguments", choice: 0, index: 3, text: "{}" },
    ], [EMPTY]],
  ];
  for (const [name, steps, choices] of CASES) {
    test(name, () => expect(gathered(...steps).choices).toEqual(choices as never));
  }

  test("takes usage, the last one of several, and none where it is not told", () => {
    const first = { promptTokens: 1, completionTokens: 2 };
    const last = { promptTokens: 1, completionTokens: 3, cachedTokens: 1 };
    expect(gathered(delta("a")).usage).toBeUndefined();
    expect(gathered({ kind: "usage", usage: first }, { kind: "usage", usage: last }).usage)
      .toEqual(last);
  });

  test("text is that of the first choice", () => {
    expect(gathered(delta("b", 1), delta("a"), delta("x", 0, "reasoning")).text).toBe("a");
  });
});

describe("textOfSteps()", () => {
  test("is what a gathering has as its text", () => {
    const steps: readonly Step[] = [
      delta("b", 1),
      delta("水"),
      delta("x", 0, "reasoning"),
      { kind: "call", choice: 0, index: 0, id: "c", name: "n" },
      delta(" 🌊"),
      delta("no", 0, "refusal"),
      { kind: "end", choice: 0, reason: "stop" },
    ];
    expect(textOfSteps(steps)).toBe("水 🌊");
    expect(textOfSteps(steps)).toBe(gathered(...steps).text);
    expect(textOfSteps([])).toBe("");
  });
});
