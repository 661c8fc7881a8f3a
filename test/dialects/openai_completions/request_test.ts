import { describe, expect, test } from "bun:test";
import { AppError, ERRORS } from "../../../src/core/errors.ts";
import type { Level } from "../../../src/dialects/openai/check.ts";
import { parseCompletion } from "../../../src/dialects/openai_completions/request.ts";
import { UNKNOWN_HELP } from "../../../src/dialects/openai/faults.ts";

/** Tokens below 1000 say their number. */
const textOf = (tokens: readonly number[]) =>
  tokens.every((token) => token < 1000) ? tokens.map((token) => `<${token}>`).join("") : undefined;

function parse(body: object, level: Level = "live") {
  return parseCompletion(JSON.stringify({ model: "m", ...body }), level, textOf);
}

type Refusal = readonly [message: string, param: string | null, code: string | null];

function refusalOf(body: object, level: Level): Refusal | undefined {
  try {
    parse(body, level);
    return undefined;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    expect(error.status).toBe(400);
    return [error.message, error.param, ERRORS[error.code].apiCode];
  }
}

describe("parseCompletion() refuses on both levels", () => {
  const ROWS: readonly (readonly [body: object, refusal: Refusal])[] = [
    [{ model: "" }, ["you must provide a model parameter", null, null]],
    [
      { prompt: 7 },
      [
        "Invalid type for 'prompt': expected one of a string or array, but got an integer instead.",
        "prompt",
        "invalid_type",
      ],
    ],
    [
      { prompt: [] },
      [
        "Invalid 'prompt': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        "prompt",
        "empty_array",
      ],
    ],
    [
      { prompt: ["a", 1] },
      [
        "Invalid type for 'prompt[1]': expected a string, but got an integer instead.",
        "prompt[1]",
        "invalid_type",
      ],
    ],
    [
      { prompt: [[1], ["a"]] },
      [
        "Invalid type for 'prompt[1][0]': expected an integer, but got a string instead.",
        "prompt[1][0]",
        "invalid_type",
      ],
    ],
    [
      { prompt: [1, 1000] },
      ["Invalid 'prompt': some of its tokens are none of the model's.", "prompt", null],
    ],
    [
      { prompt: Array(9).fill("a"), n: 128 },
      [
        "Invalid 'prompt': array too long. Expected an array with maximum length 8, but got an array with length 9 instead.",
        "prompt",
        "array_above_max_length",
      ],
    ],
    [
      { logprobs: 6 },
      [
        "Invalid 'logprobs': integer above maximum value. Expected a value <= 5, but got 6 instead.",
        "logprobs",
        "integer_above_max_value",
      ],
    ],
    [
      { logprobs: true },
      [
        "Invalid type for 'logprobs': expected an integer, but got a boolean instead.",
        "logprobs",
        "invalid_type",
      ],
    ],
    [
      { best_of: 21 },
      [
        "Invalid 'best_of': integer above maximum value. Expected a value <= 20, but got 21 instead.",
        "best_of",
        "integer_above_max_value",
      ],
    ],
    [
      { max_tokens: -1 },
      [
        "Invalid 'max_tokens': integer below minimum value. Expected a value >= 0, but got -1 instead.",
        "max_tokens",
        "integer_below_min_value",
      ],
    ],
    [
      { stop: ["a", "b", "c", "d", "e"] },
      [
        "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length 5 instead.",
        "stop",
        "array_above_max_length",
      ],
    ],
    [
      { temperature: 2.5 },
      [
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.5 instead.",
        "temperature",
        "decimal_above_max_value",
      ],
    ],
  ];
  for (const [body, refusal] of ROWS) {
    for (const level of ["live", "spec"] as const) {
      test(`${JSON.stringify(body).slice(0, 60)} (${level})`, () => {
        expect(refusalOf(body, level)).toEqual(refusal);
      });
    }
  }
});

describe("parseCompletion() refuses on live only", () => {
  const MORE_CHOICES =
    "You requested that the server return more choices than it will generate (HINT: you must set 'n' (currently 3) to be at most 'best_of' (currently 1), or omit either parameter if you don't specifically want to use them.)";
  const ROWS: readonly (readonly [body: object, refusal: Refusal])[] = [
    [{ zzz: 1 }, [`Unknown parameter: 'zzz'.${UNKNOWN_HELP}`, "zzz", "unknown_parameter"]],
    [{ n: 3, best_of: 1 }, [MORE_CHOICES, null, null]],
    [
      { best_of: 2, stream: true },
      ["The 'best_of' parameter may not be above 'n' when 'stream' is enabled.", "best_of", null],
    ],
    [
      { model: "davinci-002", suffix: "x" },
      ["Unrecognized request argument supplied: suffix", null, null],
    ],
    [
      { stream_options: {} },
      [
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        "stream_options",
        null,
      ],
    ],
  ];
  for (const [body, refusal] of ROWS) {
    test(JSON.stringify(body), () => {
      expect(refusalOf(body, "live")).toEqual(refusal);
      expect(refusalOf(body, "spec")).toBeUndefined();
    });
  }
});

describe("parseCompletion() takes", () => {
  const ROWS: readonly (readonly [prompt: unknown, prompts: readonly string[]])[] = [
    ["Hello 你好 🌊", ["Hello 你好 🌊"]],
    [["a", ""], ["a", ""]],
    [[1, 2], ["<1><2>"]],
    [[[1], [2, 3]], ["<1>", "<2><3>"]],
    [null, [""]],
    [undefined, [""]],
  ];
  for (const [prompt, prompts] of ROWS) {
    test(`the prompt ${JSON.stringify(prompt)}`, () => {
      const request = parse({ prompt });
      expect(request.prompts).toEqual(prompts);
      expect(request.messages).toEqual(prompts.map((content) => ({ role: "user", content })));
    });
  }

  test("a plain request: 16 tokens, one choice, counted", () => {
    expect(parse({ prompt: "a" })).toMatchObject({
      isStream: false,
      wantsUsage: true,
      choiceCount: 1,
      tokensMax: 16,
      stop: [],
      wantsEcho: false,
      params: {},
    });
  });

  test("everything, what chat has as well in chat's spelling", () => {
    const request = parse({
      model: "gpt-3.5-turbo-instruct",
      prompt: ["a", "b"],
      suffix: "end",
      n: 3,
      best_of: 3,
      max_tokens: 0,
      echo: true,
      logprobs: 0,
      stop: ["", "x"],
      stream: true,
      stream_options: { include_usage: true, include_obfuscation: false },
      temperature: 0.5,
      seed: 7,
      logit_bias: { "1": 2 },
      user: "u",
      presence_penalty: null,
    });
    expect(request).toMatchObject({
      isStream: true,
      wantsUsage: true,
      choiceCount: 6,
      tokensMax: 0,
      stop: ["x"],
      wantsEcho: true,
      logprobCount: 0,
    });
    expect({ ...request.params }).toEqual({
      temperature: 0.5,
      seed: 7,
      logit_bias: { "1": 2 },
      user: "u",
      presence_penalty: null,
      logprobs: true,
      top_logprobs: 0,
      suffix: "end",
    });
  });

  test("best_of beside stream where it says nothing new", () => {
    expect(parse({ stream: true, n: 2, best_of: 2 }).choiceCount).toBe(2);
    expect(parse({ stream: true, best_of: 1 }).choiceCount).toBe(1);
  });
});
