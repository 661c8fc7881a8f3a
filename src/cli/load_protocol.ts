/**
 * What the processes of one load say to each other: a line of JSON each, over the worker's standard
 * input and output. A worker whose input ends has lost its parent, and ends.
 *
 * @module
 */

import type { KeptStream } from "../load/kept_streams.ts";
import type { GatheredParts } from "../load/metrics/gathered.ts";
import type { RawPlace } from "../load/report/raw.ts";
import type { Progress } from "../load/run.ts";
import type { Shard } from "../load/shape/shards.ts";
import type { Stage } from "../load/shape/stages.ts";
import type { SpreadBrief } from "../load/spread.ts";
import type { StageFacts } from "../load/stage_facts.ts";
import type { TallyFile } from "../load/tally.ts";
import { readShard } from "./load_values.ts";
import type { EndReason } from "./load_round.ts";

/** Set for a worker alone: which part of its parent's part it has, as `--shard` has it. */
export const LOAD_WORKER_VARIABLE = "WEIR_LOAD_WORKER";

/** What a parent says. */
export type ToWorker =
  | { readonly kind: "prepare"; readonly stage: Stage; readonly place: RawPlace }
  /** `atMs`: as `Date.now()` has it. */
  | { readonly kind: "start"; readonly atMs: number }
  | { readonly kind: "end"; readonly why: EndReason };

/** How far a worker is. */
export interface WorkerProgress extends Progress {
  readonly kind: "progress";
  readonly failed: number;
  readonly ttft: SpreadBrief;
}

/** What a worker says. */
export type FromWorker =
  | { readonly kind: "ready" }
  | { readonly kind: "prepared" }
  /** Lines of `--raw`, without the end of the last; null = there will be no more of them. */
  | { readonly kind: "raw"; readonly lines: string | null }
  | WorkerProgress
  /** Its round is over: the result comes next, which may take a while to be put together. */
  | { readonly kind: "over" }
  | {
    readonly kind: "result";
    readonly tally: TallyFile;
    readonly facts: StageFacts;
    readonly kept: readonly KeptStream[];
    readonly gathered: GatheredParts | null;
  };

/** Which part this process has as a worker; undefined = it is none. */
export function workerPart(): Shard | undefined {
  const text = process.env[LOAD_WORKER_VARIABLE];
  return text === undefined ? undefined : readShard(text, LOAD_WORKER_VARIABLE);
}

/**
 * The messages of a stream, one after the other, until it ends. `onBytes` hears of every piece, as long
 * messages come in many.
 */
export async function* messagesOf<T>(
  stream: ReadableStream<Uint8Array>,
  onBytes = () => {},
): AsyncGenerator<T> {
  const decoder = new TextDecoder();
  let pieces: string[] = [];
  for await (const bytes of stream) {
    onBytes();
    const lines = decoder.decode(bytes, { stream: true }).split("\n");
    const rest = lines.pop()!;
    for (const line of lines) {
      yield JSON.parse(pieces.join("") + line) as T;
      pieces = [];
    }
    pieces.push(rest);
  }
}
