/**
 * Tasks: what is known of each run, kept for an hour after it is over and never without a limit.
 *
 * @module
 */

import type { RunOutput, TaskState } from "../core/workflow.ts";
import { sizeOf } from "./chunks.ts";

/** How long a finished task can be asked for. */
export const TASK_KEPT_MS = 3_600_000;
/** Finished tasks kept; the oldest goes first. */
export const TASKS_KEPT_MAX = 1000;
/** Bytes of all outputs kept; the oldest goes first. */
export const TASKS_BYTES_MAX = 64 * 1024 * 1024;

/** A finished task. */
interface Kept {
  readonly state: TaskState;
  readonly endedMs: number;
  readonly bytes: number;
}

/** Every task of one process. The clock is an argument: milliseconds that never go back. */
export class Tasks {
  readonly #clock: () => number;
  readonly #open = new Map<string, TaskState>();
  /** In the order they ended. */
  readonly #kept = new Map<string, Kept>();
  #keptBytes = 0;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Tasks that are not over. */
  get openCount(): number {
    return this.#open.size;
  }

  get keptCount(): number {
    return this.#kept.size;
  }

  /** Notes the state of a task that goes on. */
  set(state: TaskState): void {
    this.#open.set(state.taskId, state);
  }

  /** Notes the last state of a task. */
  end(state: TaskState): void {
    this.#open.delete(state.taskId);
    const bytes = state.output === undefined ? 0 : bytesOf(state.output);
    this.#kept.set(state.taskId, { state, endedMs: this.#clock(), bytes });
    this.#keptBytes += bytes;
    this.#prune();
  }

  get(taskId: string): TaskState | undefined {
    this.#prune();
    return this.#open.get(taskId) ?? this.#kept.get(taskId)?.state;
  }

  #prune(): void {
    const oldestMs = this.#clock() - TASK_KEPT_MS;
    for (const [taskId, { endedMs, bytes }] of this.#kept) {
      const isOver = endedMs < oldestMs || this.#kept.size > TASKS_KEPT_MAX ||
        this.#keptBytes > TASKS_BYTES_MAX;
      if (!isOver) return;
      this.#kept.delete(taskId);
      this.#keptBytes -= bytes;
    }
  }
}

function bytesOf(output: RunOutput): number {
  switch (output.kind) {
    case "value":
      return sizeOf(output.value);
    case "file":
      return output.file.bytes.length;
    case "collected":
      return sizeOf(output.items);
    case "chunks":
      return 0;
  }
}
