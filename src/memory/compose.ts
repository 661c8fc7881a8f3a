/**
 * The memory that the config describes.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import type { Engine } from "../core/exchange.ts";
import type { CountTokens } from "../core/history.ts";
import type { Memory } from "../core/memory.ts";
import { compilePrompt, DEFAULT_TEMPLATE } from "../core/system_prompt.ts";
import { openMemory } from "./open.ts";

/** What it needs of the process. */
export interface MemoryWorld {
  /** The first one opens the door of a memory server too. */
  readonly tokens: readonly { readonly token: string }[];
  /** The text of `memory.system_prompt_file`; "" = none. */
  readonly systemPrompt: string;
  /** The folder that relative paths count from. */
  readonly folder: string;
  /** Milliseconds that never go back. */
  readonly clock: () => number;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** An id that no other process will make. */
  readonly uuid: () => string;
}

/** Makes it. It is opened on first use. */
export function composeMemory(
  config: Config,
  world: MemoryWorld,
  { wheel, watch }: Pick<Engine, "wheel" | "watch">,
  countTokens: CountTokens,
): Memory {
  const { history_turns, history_tokens, system_prompt } = config.memory;
  return openMemory({
    config: config.memory,
    token: world.tokens[0]?.token ?? "",
    folder: world.folder,
    limits: { turnsMax: history_turns, tokensMax: history_tokens },
    countTokens,
    fillPrompt: compilePrompt(world.systemPrompt || system_prompt || DEFAULT_TEMPLATE),
    watch,
    clock: world.clock,
    wallMs: world.wallMs,
    random: world.random,
    makeKey: world.uuid,
    fetch,
    sleep: (delayMs, signal) => wheel.until(wheel.nowMs + delayMs, signal),
  });
}
