import { describe, expect, test } from "bun:test";
import { MODERATION_CATEGORIES } from "../../../src/config/moderation.ts";
import { AppError } from "../../../src/core/errors.ts";
import {
  type Judgement,
  moderationResult,
  moderationsBody,
  parseModerations,
} from "../../../src/dialects/openai/moderations.ts";
import { UNKNOWN_HELP } from "../../../src/dialects/openai/faults.ts";

const IMAGE = { type: "image_url", image_url: { url: "https://example.com/a.png" } };

function parse(body: unknown) {
  return parseModerations(JSON.stringify(body), "live");
}

describe("parseModerations()", () => {
  test("has a result for each text, and one for all parts", () => {
    expect(parse({ input: "a" }).inputs).toEqual([{ text: "a", hasText: true, hasImage: false }]);
    expect(parse({ input: ["a", "你好 🌊"], model: "m" })).toEqual({
      named: "m",
      model: "m",
      inputs: [
        { text: "a", hasText: true, hasImage: false },
        { text: "你好 🌊", hasText: true, hasImage: false },
      ],
    });
    expect(parse({ input: [{ type: "text", text: "a" }, IMAGE, { type: "text", text: "b" }] }))
      .toEqual({
        named: "",
        model: "omni-moderation-latest",
        inputs: [{ text: "a\nb", hasText: true, hasImage: true }],
      });
    expect(parse({ input: [IMAGE] }).inputs).toEqual([{
      text: "",
      hasText: false,
      hasImage: true,
    }]);
  });

  const REFUSED: readonly (readonly [body: unknown, message: string, param: string | null])[] = [
    [{}, "Missing required parameter: 'input'.", "input"],
    [
      { input: 7 },
      "Invalid type for 'input': expected one of a string or array, but got an integer instead.",
      "input",
    ],
    [
      { input: ["a", 7] },
      "Invalid type for 'input[1]': expected a string, but got an integer instead.",
      "input[1]",
    ],
    [
      { input: [{ type: "text" }] },
      "Missing required parameter: 'input[0].text'.",
      "input[0].text",
    ],
    [
      { input: [{ type: "video" }] },
      "Invalid value: 'video'. Supported values are: 'text' and 'image_url'.",
      "input[0].type",
    ],
    [
      { input: [IMAGE, null] },
      "Invalid type for 'input[1]': expected an object, but got null instead.",
      "input[1]",
    ],
    [
      { input: Array(1025).fill("") },
      "Invalid 'input': array too long. Expected an array with maximum length 1024, but got an array with length 1025 instead.",
      "input",
    ],
    [
      { input: [] },
      "Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array instead.",
      "input",
    ],
    [{ input: "a", zzz: 1 }, `Unknown parameter: 'zzz'.${UNKNOWN_HELP}`, "zzz"],
  ];
  for (const [body, message, param] of REFUSED) {
    test(`refuses ${JSON.stringify(body).slice(0, 80)}`, () => {
      let error: unknown;
      try {
        parse(body);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(AppError);
      const seen = error as AppError;
      expect({ message: seen.message, param: seen.param, status: seen.status })
        .toEqual({ message, param, status: 400 });
    });
  }
});

const JUDGEMENT: Judgement = {
  isFlagged: true,
  flagged: ["illicit"],
  scores: Object.fromEntries(
    MODERATION_CATEGORIES.map((name) => [name, name === "illicit" ? 0.99 : 1e-6]),
  ) as Judgement["scores"],
};

describe("moderationResult()", () => {
  const both = { hasText: true, hasImage: true };

  test("has all categories in the API's order, and says what was looked at", () => {
    const result = moderationResult(JUDGEMENT, both, "omni-moderation-latest");
    expect(Object.keys(result)).toEqual([
      "flagged",
      "categories",
      "category_scores",
      "category_applied_input_types",
    ]);
    expect(result.flagged).toBe(true);
    for (const part of [result.categories, result.category_scores]) {
      expect(Object.keys(part)).toEqual([...MODERATION_CATEGORIES]);
    }
    expect(result.category_applied_input_types).toMatchObject({
      harassment: ["text"],
      violence: ["text", "image"],
      "sexual/minors": ["text"],
    });
  });

  test("of an older model knows nothing newer", () => {
    const result = moderationResult(JUDGEMENT, both, "text-moderation-latest");
    expect(Object.keys(result)).toEqual(["flagged", "categories", "category_scores"]);
    expect(Object.keys(result.categories).length).toBe(11);
    expect(result.flagged).toBe(false);
    expect(moderationsBody("1f", "m", [])).toBe(
      '{\n  "id": "modr-1f",\n  "model": "m",\n  "results": []\n}\n',
    );
  });
});
