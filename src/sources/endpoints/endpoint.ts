/**
 * What the mock's small endpoints have in common: one JSON body in, one out.
 *
 * @module
 */

import type { Call } from "../../core/exchange.ts";
import type { Level } from "../../dialects/openai/check.ts";
import type { TokenCounter } from "../tokens.ts";
import type { WordLists } from "../moderator.ts";

/** What they need of the config and of the process. */
export interface EndpointDeps {
  readonly validate: Level;
  /** The models there are; empty = any. */
  readonly models: readonly string[];
  readonly words: WordLists;
  /** Of cl100k_base. */
  readonly tokens: TokenCounter;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
}

/** The text of an answer: whole, or in pieces that are made when they are wanted. */
export type Made = string | Iterator<string>;

/**
 * Answers the JSON in `text`. `checkModel` throws when there is no such model; gives up when nobody
 * waits any more.
 *
 * @throws {AppError} what is wrong with the request (also as a rejection).
 */
export type Endpoint = (
  text: string,
  checkModel: (model: string) => void,
  call: Call,
) => Made | Promise<Made>;
