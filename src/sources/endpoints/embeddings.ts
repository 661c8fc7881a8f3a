/**
 * The mock's vectors. What takes long, because much is asked, is done in slices.
 *
 * @module
 */

import type { Call } from "../../core/exchange.ts";
import {
  badInput,
  checkInputTokens,
  checkTokens,
  type EmbeddingInput,
  embeddingItem,
  type EmbeddingRequest,
  EMBEDDINGS_HEAD,
  embeddingsTail,
  INPUT_TOKENS_MAX,
  parseEmbeddings,
} from "../../dialects/openai/embeddings.ts";
import type { Endpoint, EndpointDeps } from "./endpoint.ts";
import { sliced } from "./sliced.ts";
import { vectorOf } from "./vectors.ts";

/** Up to so many numbers the answer is made at once, which takes some 3 ms. */
const NUMBERS_AT_ONCE_MAX = 16_384;

/** Answers `POST /v1/embeddings`. */
export function embeddings(
  { validate, tokens }: Pick<EndpointDeps, "validate" | "tokens">,
): Endpoint {
  function textOf(input: EmbeddingInput): string {
    if (typeof input === "string") return input;
    const text = tokens.textOf(input);
    if (text === undefined) throw badInput();
    return text;
  }

  /** The texts of all inputs, and their tokens together. */
  async function read(inputs: readonly EmbeddingInput[], call: Call) {
    const texts: string[] = [];
    let promptTokens = 0;
    let mostTokens = 0;
    await sliced(inputs, call, (input) => {
      const count = typeof input === "string" ? tokens.count(input) : input.length;
      promptTokens += count;
      mostTokens = Math.max(mostTokens, count);
      texts.push(textOf(input));
    });
    checkTokens(promptTokens);
    checkInputTokens(mostTokens, INPUT_TOKENS_MAX);
    return { texts, promptTokens };
  }

  function* pieces(
    { model, dimensions, dimensionsMax, isBase64 }: EmbeddingRequest,
    texts: readonly string[],
    promptTokens: number,
  ): Generator<string, undefined> {
    yield EMBEDDINGS_HEAD;
    for (const [index, text] of texts.entries()) {
      yield embeddingItem(index, vectorOf(text, dimensionsMax, dimensions), isBase64);
    }
    yield embeddingsTail(model, promptTokens);
  }

  return async (text, checkModel, call) => {
    const request = parseEmbeddings(text, validate);
    const { model, inputs, dimensionsMax } = request;
    checkModel(model);
    const { texts, promptTokens } = await read(inputs, call);
    call.promptTokens = promptTokens;
    const made = pieces(request, texts, promptTokens);
    return inputs.length * dimensionsMax > NUMBERS_AT_ONCE_MAX ? made : [...made].join("");
  };
}
