import { describe, expect, test } from "bun:test";
import { AppError, ERRORS } from "../../../src/core/errors.ts";
import type { Level } from "../../../src/dialects/openai/check.ts";
import {
  checkInputTokens,
  checkTokens,
  embeddingItem,
  EMBEDDINGS_HEAD,
  embeddingsTail,
  parseEmbeddings,
} from "../../../src/dialects/openai/embeddings.ts";
import { UNKNOWN_HELP } from "../../../src/dialects/openai/faults.ts";

const INVALID =
  "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.";

/** What is told of the error that `run` throws; undefined = it throws none. */
function fault(run: () => unknown) {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const { message, param, code, status } = error;
    const { apiCode, type } = ERRORS[code];
    return { message, param, code: apiCode as string | null, type: type as string, status };
  }
}

function refusal(message: string, param: string | null = null, code: string | null = null) {
  return { message, param, code, type: "invalid_request_error", status: 400 };
}

function bodyOf(more: object) {
  return { model: "text-embedding-3-small", input: "Hello", ...more };
}

function tooLong(count: number) {
  return refusal(
    `Invalid 'input': array too long. Expected an array with maximum length 2048, but got an array with length ${count} instead.`,
    "input",
    "array_above_max_length",
  );
}

const REFUSED: readonly (readonly [body: unknown, error: ReturnType<typeof refusal>, Level?])[] = [
  [{ input: "x" }, refusal("you must provide a model parameter")],
  [
    { model: "m" },
    refusal("Missing required parameter: 'input'.", "input", "missing_required_parameter"),
  ],
  ...[
    "",
    [],
    [""],
    ["a", ""],
    ["a", 1],
    [1, "a"],
    [[]],
    [[1], []],
    [[1], "a"],
    [1.5],
    [-1],
    null,
    7,
    {},
  ]
    .flatMap((input) =>
      (["live", "spec"] as const).map((level) =>
        [bodyOf({ input }), refusal(INVALID), level] as const
      )
    ),
  [bodyOf({ input: Array(2049).fill("a") }), tooLong(2049)],
  [
    bodyOf({ model: "m".repeat(257) }),
    refusal(
      "Invalid 'model': string too long. Expected a string with maximum length 256, but got a string with length 257 instead.",
      "model",
      "string_above_max_length",
    ),
  ],
  [bodyOf({ input: Array(3000).fill(1) }), tooLong(3000)],
  [
    bodyOf({ zzz: 1 }),
    refusal(`Unknown parameter: 'zzz'.${UNKNOWN_HELP}`, "zzz", "unknown_parameter"),
  ],
  [
    bodyOf({ dimension: 1 }),
    refusal(
      `Unknown parameter: 'dimension'. Did you mean 'dimensions'?${UNKNOWN_HELP}`,
      "dimension",
      "unknown_parameter",
    ),
  ],
  [
    bodyOf({ encoding_format: "md5" }),
    refusal(
      "Invalid value: 'md5'. Supported values are: 'float' and 'base64'.",
      "encoding_format",
      "invalid_value",
    ),
  ],
  [
    bodyOf({ dimensions: 0 }),
    refusal(
      "Invalid 'dimensions': integer below minimum value. Expected a value >= 1, but got 0 instead.",
      "dimensions",
      "integer_below_min_value",
    ),
  ],
  [
    bodyOf({ dimensions: 1537 }),
    refusal(
      "Invalid 'dimensions': integer above maximum value. Expected a value <= 1536, but got 1537 instead.",
      "dimensions",
      "integer_above_max_value",
    ),
  ],
  [
    bodyOf({ dimensions: "8" }),
    refusal(
      "Invalid type for 'dimensions': expected an integer, but got a string instead.",
      "dimensions",
      "invalid_type",
    ),
  ],
  [
    bodyOf({ model: "text-embedding-ada-002", dimensions: 1536 }),
    refusal("This model does not support specifying dimensions."),
  ],
];

describe("parseEmbeddings()", () => {
  for (const [body, error, level = "live"] of REFUSED) {
    test(`refuses ${JSON.stringify(body).slice(0, 80)} on ${level}`, () => {
      expect(fault(() => parseEmbeddings(JSON.stringify(body), level))).toEqual(error);
    });
  }

  const TAKEN: readonly (readonly [body: object, inputs: readonly unknown[], count: number])[] = [
    [bodyOf({}), ["Hello"], 1536],
    [bodyOf({ input: ["a", "你好 🌊"], dimensions: 2 }), ["a", "你好 🌊"], 2],
    [bodyOf({ input: [1, 2] }), [[1, 2]], 1536],
    [bodyOf({ input: [[1], [2, 3]], model: "text-embedding-3-large" }), [[1], [2, 3]], 3072],
    [bodyOf({ input: "a", model: "constructor", user: "u" }), ["a"], 1536],
  ];
  for (const [body, inputs, dimensions] of TAKEN) {
    test(`takes ${JSON.stringify(body)}`, () => {
      const request = parseEmbeddings(JSON.stringify(body), "live");
      expect(request.inputs).toEqual(inputs as typeof request.inputs);
      expect(request.dimensions).toBe(dimensions);
    });
  }

  test("lets unknown keys pass on spec, and null is no encoding", () => {
    expect(fault(() => parseEmbeddings(JSON.stringify(bodyOf({ zzz: 1 })), "spec"))).toBe(
      undefined,
    );
    expect(parseEmbeddings(JSON.stringify(bodyOf({ encoding_format: "base64" })), "live").isBase64)
      .toBe(true);
  });
});

describe("limits of tokens", () => {
  test("of one input", () => {
    expect(fault(() => checkInputTokens(8192, 8192))).toBe(undefined);
    expect(fault(() => checkInputTokens(8610, 8192))).toEqual(refusal(
      "This model's maximum context length is 8192 tokens, however you requested 8610 tokens (8610 in your prompt; 0 for the completion). Please reduce your prompt; or completion length.",
    ));
  });

  test("of all together", () => {
    expect(fault(() => checkTokens(300_000))).toBe(undefined);
    expect(fault(() => checkTokens(453_357))).toEqual({
      ...refusal("Requested 453357 tokens, max 300000 tokens per request"),
      type: "max_tokens_per_request",
      code: "max_tokens_per_request",
    });
  });
});

describe("the answer", () => {
  const vectors = [Float64Array.of(0.6, -0.8), Float64Array.of(-0.0012588563, 1)];

  test("is what JSON.stringify makes of it with two blanks, and a line end", () => {
    const text = EMBEDDINGS_HEAD +
      vectors.map((vector, index) => embeddingItem(index, vector, false)).join("") +
      embeddingsTail("text-embedding-ada-002", 7);
    const value = {
      object: "list",
      data: vectors.map((vector, index) => ({
        object: "embedding",
        index,
        embedding: [...vector],
      })),
      model: "text-embedding-ada-002-v2",
      usage: { prompt_tokens: 7, total_tokens: 7 },
    };
    expect(text).toBe(`${JSON.stringify(value, null, 2)}\n`);
  });

  test("has little-endian numbers of four bytes in base64", () => {
    const item = embeddingItem(0, vectors[0]!, true);
    const [, base64 = ""] = /"embedding": "([^"]*)"/.exec(item) ?? [];
    const bytes = Buffer.from(base64, "base64");
    expect([bytes.readFloatLE(0), bytes.readFloatLE(4)]).toEqual([0.6, -0.8].map(Math.fround));
    expect(base64.endsWith("=")).toBe(true);
  });
});
