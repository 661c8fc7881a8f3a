import { describe, expect, test } from "bun:test";
import { type KnownRequest, nearestTape, nearestText } from "../../../src/sources/tape/nearest.ts";

function known(
  name: string,
  body: unknown,
  { method = "POST", path = "/v1/chat/completions" } = {},
): KnownRequest {
  return { name, method, path, body };
}

function chat(content: string, more: Readonly<Record<string, unknown>> = {}) {
  return {
    model: "gpt-4o",
    messages: [{ role: "system", content: "Be brief." }, { role: "user", content }],
    ...more,
  };
}

const TAPES = [
  known("weather.jsonl", chat("What is the weather in Paris?")),
  known("hello.jsonl", chat("hello", { temperature: 0 })),
  known("mini.jsonl", chat("hello", { model: "gpt-4o-mini" })),
  known("models.jsonl", "", { method: "GET", path: "/v1/models" }),
  known("text.jsonl", "a=b", { path: "/v1/files" }),
];

describe("nearestTape()", () => {
  /** What is asked → the sentence. */
  const CASES: readonly (readonly [asked: Omit<KnownRequest, "name">, text: string])[] = [
    [
      known("", chat("What is the weather in Rome?")),
      "the nearest, weather.jsonl, differs in messages[1].content: " +
      '"What is the weather in Rome?" instead of "What is the weather in Paris?"',
    ],
    [
      known("", chat("hello", { temperature: 1 })),
      "the nearest, hello.jsonl, differs in temperature: 1 instead of 0",
    ],
    [
      known("", chat("hello", { temperature: 0 })),
      "hello.jsonl asks the same, and cannot be played",
    ],
    [
      known("", "", { method: "GET", path: "/v1/models/gpt-4o" }),
      "the nearest, models.jsonl, differs in " +
      'path: "/v1/models/gpt-4o" instead of "/v1/models"',
    ],
    [
      known("", "a=c", { path: "/v1/files" }),
      'the nearest, text.jsonl, differs in body: "a=c" instead of "a=b"',
    ],
    [
      known("", { model: "gpt-4o", messages: [], n: 1, seed: 2, user: "ann" }),
      "the nearest, weather.jsonl, differs in " +
      'messages[0]: nothing instead of {"role":"system","content":"Be brief."}; ' +
      'messages[1]: nothing instead of {"role":"user","content":"What is the weather in Paris?"}; ' +
      "n: 1 instead of nothing; and 2 more places",
    ],
  ];
  for (const [asked, text] of CASES) {
    test(text.slice(0, 70), () => expect(nearestText(nearestTape(asked, TAPES))).toBe(text));
  }

  test("without tapes there is none", () => {
    expect(nearestTape(TAPES[0]!, [])).toBeUndefined();
    expect(nearestText(undefined)).toBe("there is no tape at all");
  });

  test("is bounded in time and length, however many and large the tapes are", () => {
    const large = (seed: number) =>
      chat("x".repeat(100_000), {
        tools: Array.from({ length: 500 }, (_, i) => ({ name: `tool ${seed} ${i}` })),
      });
    function* tapes() {
      for (let i = 1; i < 100_000; i++) yield known(`${i}.jsonl`, LARGE);
      throw new Error("looked at too many");
    }
    const LARGE = large(1);
    const nearest = nearestTape(known("", large(2)), tapes());
    expect(nearest?.name).toBe("1.jsonl");
    expect(nearestText(nearest).length).toBeLessThan(1000);
    expect(nearest?.differences.at(-1)).toBe("and at least 37 more places");
  });
});
