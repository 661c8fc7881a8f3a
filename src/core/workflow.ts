/**
 * The nouns of workflows: what a surface may ask of them, and what a run gives.
 *
 * @module
 */

import type { AppError } from "./errors.ts";
import type { Payer } from "./exchange.ts";

/** How the chunks of a streamed output are written: bare text, or one JSON value per event. */
export type ChunkFormat = "text" | "json";

/** A file that came with a form, or out of a component: whole, in memory. */
export class Attachment {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
  /** "" = it has no name. */
  readonly filename: string;

  constructor(bytes: Uint8Array<ArrayBuffer>, contentType: string, filename: string) {
    this.bytes = bytes;
    this.contentType = contentType;
    this.filename = filename;
  }

  /** A file inside a JSON document is its bytes in Base64. */
  toJSON(): string {
    return Buffer.from(this.bytes).toString("base64");
  }
}

/** What a run ends in. */
export type RunOutput =
  | { readonly kind: "value"; readonly value: unknown }
  | { readonly kind: "file"; readonly file: Attachment }
  /**
   * Chunks at the reader's pace; null chunks are already left out. Ending the iterator early frees
   * the upstream; it throws an `AppError` when the upstream fails.
   */
  | {
    readonly kind: "chunks";
    readonly chunks: AsyncIterable<unknown>;
    readonly format: ChunkFormat;
  }
  /** Chunks that a task has kept, since nobody read them as they came. */
  | {
    readonly kind: "collected";
    readonly items: readonly unknown[];
    readonly format: ChunkFormat;
  };

/** Where a task is in its life. */
export type TaskStatus = "pending" | "processing" | "completed" | "failed" | "cancelled";

/** One run, as `GET /tasks/{id}` tells it. */
export interface TaskState {
  readonly taskId: string;
  readonly workflowId: string;
  readonly status: TaskStatus;
  /** Present once the run is complete, unless its chunks went straight to a client. */
  readonly output?: RunOutput;
  /** The sentence of the failure; "" = none. */
  readonly errorText: string;
}

/** A run that has begun. */
export interface Run {
  readonly taskId: string;
  /**
   * Settles when the run is over, or when its output begins to stream; `state` then says which.
   * Never rejects.
   */
  readonly settled: Promise<TaskState>;
}

/** One input or output of a workflow, for forms and documents. Absent keys have no value. */
export interface SchemaVariable {
  readonly name?: string;
  readonly type: string;
  readonly subtype?: string;
  readonly format?: string;
  readonly is_list?: true;
  readonly default?: unknown;
  /** It may be absent although it has no default that can be told. */
  readonly required?: false;
  /** From `@(description …)`. */
  readonly description?: string;
}

/** Several outputs that come `repeat_count` times. */
export interface SchemaGroup {
  readonly name?: string;
  readonly variables: readonly SchemaVariable[];
}

/** A workflow as `GET /workflows/{id}/schema` shows it. */
export interface WorkflowSchema {
  readonly workflow_id: string;
  readonly title?: string;
  readonly description?: string;
  readonly input: readonly SchemaVariable[];
  readonly output: readonly (SchemaVariable | SchemaGroup)[];
  readonly default?: true;
}

/** What a surface may ask. One per process. */
export interface Workflows {
  readonly schemas: readonly WorkflowSchema[];

  /**
   * The id of the workflow that `workflowId` asks for; null = the default one.
   *
   * @throws {AppError} `not_found`.
   */
  find(workflowId: string | null): string;

  /**
   * Checks that `input` is what the workflow with the id `workflowId` takes.
   *
   * @throws {AppError} `request_invalid`.
   */
  check(workflowId: string, input: unknown): void;

  /**
   * Starts a run of workflow `workflowId`; null = the default one. Aborting `signal` stops it and
   * everything it has called. `isKept`: nobody waits, so a streamed output is collected into the task.
   * `payer`: who has asked for it; absent = nobody who has shown a key.
   *
   * @throws {AppError} `not_found`, `too_many`, `shutting_down`.
   */
  start(
    workflowId: string | null,
    input: unknown,
    options: {
      readonly signal: AbortSignal;
      readonly isKept: boolean;
      readonly payer?: Payer;
    },
  ): Run;

  /** Stops every run that goes on: the server ends. */
  stop(reason: AppError): void;

  /** The state of a task; undefined = there is none, or it ended more than an hour ago. */
  task(taskId: string): TaskState | undefined;
}
