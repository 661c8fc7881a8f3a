/**
 * `bun run prices`: lays `src/sources/usage/prices.json`, what models cost, out of the price lists that
 * the @pydantic/genai-prices of package.json has. Only of who makes a model: the same one costs something
 * else at others, who are in the config then.
 *
 * @module
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ConditionalPrice, findProvider, type ModelPrice } from "@pydantic/genai-prices";
import type { Maker, Price, Rate } from "../src/sources/usage/prices.ts";

const FILE = join(import.meta.dir, "..", "src", "sources", "usage", "prices.json");

/** Its models are named one by one, among them some that the match of all leaves out. */
const NAMED = "openai";
const MAKERS = [NAMED, "anthropic", "google", "mistral", "deepseek", "x-ai", "cohere"];

/** The price lists, a line for each model. */
export function layPrices(): string {
  const makers = MAKERS.map((id) => {
    const { model_match, models } = findProvider({ providerId: id })!;
    const priced = models.flatMap(({ match, prices }) => {
      const told = pricesOf(Array.isArray(prices) ? prices : [{ prices }]);
      return told.length === 0 ? [] : [{ match, prices: told }];
    });
    const match = id === NAMED ? { contains: "" } : model_match!;
    return { id, match, models: priced } satisfies Maker;
  });
  const laid = makers.map(({ id, match, models }) => {
    const head = `{"id":${JSON.stringify(id)},"match":${JSON.stringify(match)},"models":[`;
    return `${head}\n${models.map((model) => JSON.stringify(model)).join(",\n")}\n]}`;
  });
  return `[\n${laid.join(",\n")}\n]\n`;
}

/** Those that hold all day, in the order in which they begin. */
function pricesOf(prices: readonly ConditionalPrice[]): readonly Price[] {
  const held = prices.filter(({ constraint }) => constraint?.type !== "time_of_date");
  return held.flatMap(({ constraint, prices }) => {
    const price = priceOf(prices);
    if (price === undefined) return [];
    const from = constraint?.type === "start_date" ? { from: constraint.start_date } : {};
    return [{ ...from, ...price }];
  }).toSorted((a, b) => (a.from ?? "") < (b.from ?? "") ? -1 : 1);
}

/** Of a model that is not paid by tokens of texts: undefined. */
function priceOf(told: ModelPrice): Price | undefined {
  const { input_mtok: input, output_mtok: output } = told;
  if (input === undefined) return undefined;
  const { cache_read_mtok: cached, cache_write_mtok: cacheWrite } = told;
  return {
    input: rateOf(input),
    output: output === undefined ? 0 : rateOf(output),
    ...(cached === undefined ? {} : { cached: rateOf(cached) }),
    ...(cacheWrite === undefined ? {} : { cacheWrite: rateOf(cacheWrite) }),
  };
}

function rateOf(rate: NonNullable<ModelPrice[string]>): Rate {
  if (typeof rate === "number") return rate;
  return [rate.base, ...rate.tiers.map(({ start, price }) => [start, price] as const)];
}

if (import.meta.main) writeFileSync(FILE, layPrices());
