/**
 * An engine with workflows from text, real parts below it, and a real upstream on a local port.
 */

import { expect } from "bun:test";
import { getRandomValues } from "node:crypto";
import type { Source } from "../../src/core/answer.ts";
import { Driver } from "../../src/core/driver.ts";
import type { TaskState } from "../../src/core/workflow.ts";
import { timerAlarm, Wheel } from "../../src/lib/wheel.ts";
import { Mock } from "../../src/sources/mock/mock.ts";
import { TokenCounters } from "../../src/sources/tokens.ts";
import { Chunks, collectItems } from "../../src/workflows/chunks.ts";
import { type EngineDeps, type RunNote, WorkflowEngine } from "../../src/workflows/engine.ts";
import { askSource } from "../../src/workflows/llm.ts";
import { load } from "../../src/workflows/load.ts";
import { problemText } from "../../src/workflows/source_text.ts";

/** An engine and what a test looks at. */
export interface Rig {
  readonly engine: WorkflowEngine;
  readonly notes: RunNote[];
  readonly bugs: unknown[];
  /** Runs to the end; a stream is read into its items. */
  readonly run: (
    input?: unknown,
    workflowId?: string | null,
  ) => Promise<TaskState & { readonly items?: readonly unknown[] }>;
}

export interface RigOptions {
  readonly env?: Record<string, string>;
  readonly deps?: Partial<EngineDeps>;
  readonly source?: Source;
}

/** A wheel that runs on the real clock. */
export function realWheel(): Wheel {
  return new Wheel(() => performance.now(), timerAlarm());
}

export function mockSource(reply: string, delay_ms = 0): Source {
  return new Mock(
    { reply, first_token_ms: 0, delay_ms, chunks: "word", tools: "forced", models: [] },
    new TokenCounters(0),
  );
}

/** Makes the engine of `yaml`. */
export function rig(yaml: string, options: RigOptions = {}): Rig {
  const { definition, problems } = load([{ file: "f.yml", text: yaml }], options.env ?? {});
  expect(problems.map(problemText)).toEqual([]);
  const wheel = options.deps?.wheel ?? realWheel();
  const notes: RunNote[] = [];
  const bugs: unknown[] = [];
  const driver = new Driver({
    wheel,
    streams: new Set(),
    watch: () => {},
    keepaliveMs: 0,
    writeTimeoutMs: 60_000,
  }, { body_max_bytes: 0, body_timeout_ms: 0, bodies_max_bytes: 0 });
  const engine = new WorkflowEngine(definition!, {
    calls: {
      fetch: (url, init) => fetch(url, init),
      askLlm: askSource(
        options.source ?? mockSource("powered by openai"),
        (surface, signal) => driver.call(surface, signal),
        "gpt-4o",
      ),
      wheel,
      limits: { headersMs: 5000, firstChunkMs: 5000, idleMs: 5000 },
    },
    wheel,
    wallMs: Date.now,
    random: Math.random,
    randomBytes: (target) => void getRandomValues(target),
    note: (note) => void notes.push(note),
    onBug: (error) => void bugs.push(error),
    ...options.deps,
  });
  return {
    engine,
    notes,
    bugs,
    async run(input = null, workflowId = null) {
      const { signal } = new AbortController();
      const state = await engine.start(workflowId, input, { signal, isKept: false }).settled;
      if (state.output?.kind !== "chunks") return state;
      const items = await collectItems(new Chunks(state.output.chunks, null));
      return { ...engine.task(state.taskId)!, items };
    },
  };
}

/** The value a run gave. Fails with its error when it failed. */
export function valueOf(state: TaskState): unknown {
  expect(state.errorText).toBe("");
  expect(state.output?.kind).toBe("value");
  return state.output?.kind === "value" ? state.output.value : undefined;
}
