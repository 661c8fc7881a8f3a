/**
 * The workflows of a definition, calling out as the config says.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import { defaultModel } from "../config/default_model.ts";
import type { Source } from "../core/answer.ts";
import type { Driver } from "../core/driver.ts";
import type { Workflows } from "../core/workflow.ts";
import type { FetchLike } from "./call.ts";
import type { Definition } from "./definition.ts";
import { type RunNote, WorkflowEngine } from "./engine.ts";
import { askSource } from "./llm.ts";

/** What they need of the process. */
export interface WorkflowsWorld {
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  readonly randomBytes: (target: Uint8Array<ArrayBuffer>) => void;
  /** Told what happens to each run. */
  readonly noteRun?: (note: RunNote) => void;
}

/** What they ask: `source` where they ask weir itself, `fetch` everywhere else. */
export interface WorkflowsAsked {
  readonly source: Source;
  readonly fetch: FetchLike;
}

/** Makes them. */
export function composeWorkflows(
  config: Config,
  world: WorkflowsWorld,
  driver: Driver,
  { source, fetch }: WorkflowsAsked,
  definition: Definition,
): Workflows {
  const { llm } = config;
  const { wheel, watch } = driver.engine;
  const makeCall = driver.call.bind(driver);
  return new WorkflowEngine(definition, {
    calls: {
      fetch,
      askLlm: askSource(source, makeCall, defaultModel(config)),
      wheel,
      limits: {
        headersMs: llm.headers_timeout_ms,
        firstChunkMs: llm.first_token_timeout_ms,
        idleMs: llm.idle_timeout_ms,
      },
    },
    wheel,
    wallMs: world.wallMs,
    random: world.random,
    randomBytes: world.randomBytes,
    note: world.noteRun ?? (() => {}),
    onBug: (error) => watch({ kind: "bug", where: "workflow", error }),
  });
}
