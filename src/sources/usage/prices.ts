/**
 * What tokens of a model cost: as the config says, else as its maker has published it. A price that
 * nobody knows is unknown, and never nothing.
 *
 * @module
 */

import type { Usage } from "../../core/answer.ts";
import { Lru } from "../../lib/lru.ts";
import { globOf } from "../glob.ts";
import PUBLISHED from "./prices.json" with { type: "json" };

/**
 * US dollars for a million tokens; or the usual price, and others for requests whose prompt has more than
 * so many tokens.
 */
export type Rate =
  | number
  | readonly [usual: number, ...(readonly [above: number, price: number])[]];

/** What a model costs from a day on. */
export interface Price {
  /** "2027-01-01" in UTC; absent = always. */
  readonly from?: string;
  readonly input: Rate;
  readonly output: Rate;
  /** Of the prompt what came out of a cache; absent = as the rest. */
  readonly cached?: Rate;
  /** Of the prompt what was put into a cache; absent = as the rest. */
  readonly cacheWrite?: Rate;
}

/** Which names a price is for. */
export type NameMatch =
  | { readonly equals: string }
  | { readonly starts_with: string }
  | { readonly ends_with: string }
  | { readonly contains: string }
  | { readonly regex: string }
  | { readonly or: readonly NameMatch[] }
  | { readonly and: readonly NameMatch[] };

/** Who makes models, and what each costs; later prices come behind earlier ones. */
export interface Maker {
  readonly id: string;
  readonly match: NameMatch;
  readonly models: readonly { readonly match: NameMatch; readonly prices: readonly Price[] }[];
}

/** A price of the config: US dollars for a million tokens. */
export interface PriceEntry {
  /** A name in which `*` stands for any text. */
  readonly model: string;
  readonly input: number;
  readonly output: number;
  /** -1 = as `input`. */
  readonly cached: number;
  readonly cache_write: number;
}

/** Names that are remembered with what they cost. A longer one is no model's. */
const REMEMBERED = { entriesMax: 1024, bytesMax: 262_144 };
const NAME_CHARS_MAX = 256;

/** Billionths of a dollar for a token, where a million cost one dollar. */
const NANOS_PER_RATE = 1000;

/** What models cost. */
export class Prices {
  readonly #own: readonly { readonly glob: RegExp; readonly prices: readonly Price[] }[];
  readonly #wallMs: () => number;
  /** Of a name whose price is unknown: none. */
  readonly #known = new Lru<readonly Price[]>(REMEMBERED);

  /** The first of `own` that fits comes before what is published. */
  constructor(own: readonly PriceEntry[], wallMs: () => number) {
    this.#wallMs = wallMs;
    this.#own = own.map(({ model, input, output, cached, cache_write }) => ({
      glob: globOf(model),
      prices: [{
        input,
        output,
        ...(cached < 0 ? {} : { cached }),
        ...(cache_write < 0 ? {} : { cacheWrite: cache_write }),
      }],
    }));
  }

  /** True when what `model` costs is known. */
  isPriced(model: string): boolean {
    return this.#priceOf(model) !== undefined;
  }

  /** What `usage` of `model` costs, in billionths of a US dollar; undefined = nobody knows. */
  readonly costOf = (model: string, usage: Usage): number | undefined => {
    const price = this.#priceOf(model);
    if (price === undefined) return undefined;
    const { promptTokens, completionTokens, cachedTokens = 0, cacheWriteTokens = 0 } = usage;
    const { input, output, cached = input, cacheWrite = input } = price;
    const at = (rate: Rate) => rateAt(rate, promptTokens);
    const plain = Math.max(0, promptTokens - cachedTokens - cacheWriteTokens);
    const dollars = plain * at(input) + cachedTokens * at(cached) +
      cacheWriteTokens * at(cacheWrite) + completionTokens * at(output);
    return Math.round(dollars * NANOS_PER_RATE);
  };

  #priceOf(model: string): Price | undefined {
    if (model === "" || model.length > NAME_CHARS_MAX) return undefined;
    let prices = this.#known.peek(model);
    if (prices === undefined) {
      prices = this.#own.find(({ glob }) => glob.test(model))?.prices ?? publishedOf(model);
      this.#known.set(model, prices, 2 * model.length);
    }
    if (prices.length < 2) return prices[0];
    const today = new Date(this.#wallMs()).toISOString().slice(0, 10);
    return prices.findLast(({ from = "" }) => from <= today);
  }
}

function publishedOf(model: string): readonly Price[] {
  const makers = MAKERS.filter(({ match }) => fits(match, model));
  const models = makers.flatMap(({ models }) => models);
  return models.find(({ match }) => fits(match, model))?.prices ?? [];
}

const MAKERS = PUBLISHED as unknown as readonly Maker[];

/** The expressions are those of a table that a test reads, and no client's. */
function fits(match: NameMatch, name: string): boolean {
  if ("equals" in match) return name === match.equals;
  if ("starts_with" in match) return name.startsWith(match.starts_with);
  if ("ends_with" in match) return name.endsWith(match.ends_with);
  if ("contains" in match) return name.includes(match.contains);
  if ("regex" in match) return new RegExp(match.regex).test(name);
  if ("or" in match) return match.or.some((one) => fits(one, name));
  return match.and.every((one) => fits(one, name));
}

function rateAt(rate: Rate, promptTokens: number): number {
  if (typeof rate === "number") return rate;
  const [usual, ...tiers] = rate;
  return tiers.findLast(([above]) => promptTokens > above)?.[1] ?? usual;
}
