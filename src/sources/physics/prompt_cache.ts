/**
 * The prompt cache: which beginning of a prompt came lately, so that it need not be read again. Prompts
 * are compared from their beginning in blocks that end with each message and within long ones; a block
 * is known by the hash of all of the prompt up to its end.
 *
 * @module
 */

import { toolsOf, type Turn } from "../../core/turn.ts";
import type { Recent } from "../../lib/recent.ts";

/** UTF-16 units of a block. Shorter than what most profiles count by, so that little is lost. */
const BLOCK_CHARS = 256;
/** Of a longer prompt, 1 MiB of text, only the beginning is compared. */
const BLOCKS_MAX = 4096;

/** What of a profile it follows. */
export interface CacheRule {
  readonly cache_tokens_min: number;
  readonly cache_step_tokens: number;
  /** 0 = there is no cache. */
  readonly cache_ttl_ms: number;
}

/** Counts tokens of a text. */
export interface CacheCounter {
  count(text: string): number;
}

/** What `recent` has of prompts. */
export class PromptCache {
  readonly #rule: CacheRule;
  readonly #recent: Recent;
  readonly #wallMs: () => number;

  /** `wallMs`: milliseconds since 1970. */
  constructor(rule: CacheRule, recent: Recent, wallMs: () => number) {
    this.#rule = rule;
    this.#recent = recent;
    this.#wallMs = wallMs;
  }

  /**
   * Tokens that are known of the prompt of `turn`, which has `promptTokens`; from now on it is known.
   * Prompts of different `owner`s have nothing in common.
   */
  take(turn: Turn, promptTokens: number, counter: CacheCounter, owner: string): number {
    const { cache_ttl_ms, cache_tokens_min } = this.#rule;
    // What is shorter will never be asked for.
    if (cache_ttl_ms === 0 || promptTokens < cache_tokens_min) return 0;
    const nowMs = this.#wallMs();
    let low = Bun.hash.xxHash32(owner, 1);
    let high = Bun.hash.xxHash32(owner, 2);
    let isKnown = true;
    let knownCount = 0;
    const blocks = [...blocksOf(turn)];
    for (const block of blocks) {
      low = Bun.hash.xxHash32(block, low);
      high = Bun.hash.xxHash32(block, high);
      const cameLately = this.#recent.touch(low, high, nowMs, cache_ttl_ms);
      isKnown &&= cameLately;
      if (isKnown) knownCount++;
    }
    if (knownCount === 0) return 0;
    const rest = knownCount === blocks.length ? "" : blocks.slice(knownCount).join("");
    return this.#counted(promptTokens - (rest === "" ? 0 : counter.count(rest)));
  }

  /** What is said to be known where `tokens` are: none below the least, and whole steps above it. */
  #counted(tokens: number): number {
    const { cache_tokens_min: min, cache_step_tokens: step } = this.#rule;
    if (tokens < min) return 0;
    return min + Math.floor((tokens - min) / step) * step;
  }
}

/** What a prompt consists of, in its order: its model and tools first, as they are read. */
function* blocksOf(turn: Turn): Generator<string> {
  const { model, messages } = turn;
  let count = 1;
  const tools = toolsOf(turn);
  yield `${model}\n${tools.length === 0 ? "" : JSON.stringify(tools)}`;
  for (const { role, content, ...rest } of messages) {
    const said = typeof content === "string" ? content : JSON.stringify(content ?? null);
    const more = Object.keys(rest).length === 0 ? "" : JSON.stringify(rest);
    const text = `\n${role}\n${said}${more}`;
    for (let at = 0; at < text.length; at += BLOCK_CHARS) {
      if (++count > BLOCKS_MAX) return;
      yield text.slice(at, at + BLOCK_CHARS);
    }
  }
}
