/**
 * `POST /v1/embeddings`: its requests, its models, and its answer (docs/facts/openai_endpoints.md
 * "Embeddings").
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import { checkCount, type Level } from "./check.ts";
import { type BodyRules, checkedBody } from "./checked_body.ts";
import { errorOf, under } from "./faults.ts";

/** Most inputs of one request, and most tokens of one given as tokens. */
const INPUTS_MAX = 2048;
/** Most tokens of one input. */
export const INPUT_TOKENS_MAX = 8192;
/** Most tokens of all inputs together. */
const TOKENS_MAX = 300_000;

/** What is turned into a vector: a text, or its cl100k tokens. */
export type EmbeddingInput = string | readonly number[];

/** A request for vectors. */
export interface EmbeddingRequest {
  readonly model: string;
  /** One to 2048, none of them empty. */
  readonly inputs: readonly EmbeddingInput[];
  /** Numbers in each vector. */
  readonly dimensions: number;
  /** Numbers in a vector of the model that nobody has cut. */
  readonly dimensionsMax: number;
  /** Never on `spec`: the schema of an embedding knows numbers alone. */
  readonly isBase64: boolean;
}

/** The parameters. */
export const EMBEDDING_RULES: BodyRules = {
  needsModel: true,
  fields: [
    ["input", { kind: "any", isRequired: true }], // see checkInput
    ["encoding_format", { kind: "choice", values: ["float", "base64"] }],
    ["dimensions", { kind: "integer", min: 1 }],
    ["user", { kind: "string" }],
  ],
};

const MODELS: Readonly<Record<string, { readonly dimensions: number; readonly answers?: string }>> =
  {
    "text-embedding-3-small": { dimensions: 1536 },
    "text-embedding-3-large": { dimensions: 3072 },
    "text-embedding-ada-002": { dimensions: 1536, answers: "text-embedding-ada-002-v2" },
  };

/** A model that nobody here knows has vectors as long as the usual one. */
const DIMENSIONS = 1536;

/** The name a model answers with. */
export function embeddingModel(name: string): string {
  return (Object.hasOwn(MODELS, name) ? MODELS[name]!.answers : undefined) ?? name;
}

/**
 * The request in a body.
 *
 * @throws {AppError} 400: what is wrong with it.
 */
export function parseEmbeddings(text: string, level: Level): EmbeddingRequest {
  const body = checkedBody(text, EMBEDDING_RULES, level);
  checkInput(body["input"]);
  const model = body["model"] as string;
  const input = body["input"] as EmbeddingInput | readonly EmbeddingInput[];
  const dimensionsMax = Object.hasOwn(MODELS, model) ? MODELS[model]!.dimensions : DIMENSIONS;
  const dimensions = body["dimensions"] as number | undefined;
  if (dimensions !== undefined) checkDimensions(dimensions, dimensionsMax, model);
  return {
    model,
    inputs: typeof input === "string" || typeof input[0] === "number"
      ? [input as EmbeddingInput]
      : input as readonly EmbeddingInput[],
    dimensions: dimensions ?? dimensionsMax,
    dimensionsMax,
    isBase64: level === "live" && body["encoding_format"] === "base64",
  };
}

function checkDimensions(dimensions: number, max: number, model: string): void {
  if (model === "text-embedding-ada-002") {
    throw new AppError("request_invalid", "This model does not support specifying dimensions.");
  }
  if (dimensions <= max) return;
  throw errorOf({
    code: "integer_too_large",
    path: "dimensions",
    say: (path) =>
      `Invalid '${path}': integer above maximum value. ` +
      `Expected a value <= ${max}, but got ${dimensions} instead.`,
  });
}

/** @throws {AppError} 400 unless `value` is a text, tokens, or a list of only one of them. */
function checkInput(value: unknown): void {
  if (typeof value === "string" && value !== "") return;
  if (!Array.isArray(value) || value.length === 0) throw badInput();
  const isRight = typeof value[0] === "string"
    ? (one: unknown) => typeof one === "string" && one !== ""
    : typeof value[0] === "number"
    ? isToken
    : isTokens;
  const fault = checkCount(value.length, 1, INPUTS_MAX);
  if (fault !== undefined) throw errorOf(under("input", fault));
  if (!value.every(isRight)) throw badInput();
}

function isTokens(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isToken);
}

function isToken(value: unknown): boolean {
  return Number.isInteger(value) && value as number >= 0;
}

/** The input is nothing that has a vector: 400. The live API says no more about it. */
export function badInput(): AppError {
  return new AppError(
    "request_invalid",
    "'$.input' is invalid. Please check the API reference: " +
      "https://platform.openai.com/docs/api-reference.",
  );
}

/** @throws {AppError} 400 when one input has more `tokens` than the `tokensMax` of its model. */
export function checkInputTokens(tokens: number, tokensMax: number): void {
  if (tokens <= tokensMax) return;
  throw new AppError(
    "request_invalid",
    `This model's maximum context length is ${tokensMax} tokens, however you requested ` +
      `${tokens} tokens (${tokens} in your prompt; 0 for the completion). ` +
      "Please reduce your prompt; or completion length.",
  );
}

/** @throws {AppError} 400 when all inputs together have more `tokens` than a request may have. */
export function checkTokens(tokens: number): void {
  if (tokens <= TOKENS_MAX) return;
  throw new AppError(
    "tokens_too_many",
    `Requested ${tokens} tokens, max ${TOKENS_MAX} tokens per request`,
  );
}

/** How the answer's text begins: its items follow, each behind the one before. */
export const EMBEDDINGS_HEAD = `{\n  "object": "list",\n  "data": [`;

/** One item of the answer. */
export function embeddingItem(index: number, vector: Float64Array, isBase64: boolean): string {
  const embedding = isBase64
    ? `"${base64Of(vector)}"`
    : `[\n        ${vector.join(",\n        ")}\n      ]`;
  return `${
    index === 0 ? "" : ","
  }\n    {\n      "object": "embedding",\n      "index": ${index},\n` +
    `      "embedding": ${embedding}\n    }`;
}

/** How the answer's text ends. */
export function embeddingsTail(model: string, promptTokens: number): string {
  return `\n  ],\n  "model": ${JSON.stringify(embeddingModel(model))},\n  "usage": {\n` +
    `    "prompt_tokens": ${promptTokens},\n    "total_tokens": ${promptTokens}\n  }\n}\n`;
}

/** Little-endian numbers of four bytes. */
function base64Of(vector: Float64Array): string {
  const bytes = Buffer.alloc(4 * vector.length);
  for (let i = 0; i < vector.length; i++) bytes.writeFloatLE(vector[i]!, 4 * i);
  return bytes.toString("base64");
}
