/**
 * How a dialect says an answer on the wire, one whole SSE event at a time, and how it reads one.
 *
 * @module
 */

import type { Fields } from "../lib/http1/fields.ts";
import type { DialectName, Step } from "./answer.ts";
import type { AppError } from "./errors.ts";
import type { Turn } from "./turn.ts";

/** Says one answer. Every text it gives is whole SSE events, or "" for nothing. */
export interface AnswerWriter {
  /**
   * What is said before the first step is there; absent = nothing. Where nobody calls it, the first
   * step brings it along.
   */
  open?(): string;
  /** What `step` is in this dialect; "" where it has no word for it. */
  step(step: Step): string;
  /** The end mark: what follows the last step. */
  close(): string;
}

/** Reads one answer of an upstream. Pure: bytes in, steps out. */
export interface AnswerReader {
  /** True once the end mark went by: nothing that follows is read, and nobody waits for it. */
  readonly isDone: boolean;
  /** True when the last piece was part of the answer, and no mere comment. */
  readonly hasRead: boolean;
  /**
   * The steps that `bytes` complete. What failed behind them is thrown by the call after, which may
   * bring no bytes: no step is lost to an error that came with it.
   *
   * @throws {AppError} `upstream_broken` when it is no answer, or tells of a failure.
   */
  feed(bytes: Uint8Array): readonly Step[];
  /**
   * The steps that only the end of the body completes.
   *
   * @throws {AppError} `upstream_broken` when the answer was not finished.
   */
  end(): readonly Step[];
}

/** How much of an answer is read, in bytes whose content encoding is undone. */
export interface AnswerLimits {
  /** Where the config has them: "llm". */
  readonly section: string;
  /** One event of a stream with its lines, or an answer that is no stream. */
  readonly event_max_bytes: number;
  /** All of an answer. */
  readonly answer_max_bytes: number;
}

/** What a reader of answers looks at of it. */
export type EventLimits = Pick<AnswerLimits, "section" | "event_max_bytes">;

/** A dialect that an upstream speaks. */
export interface UpstreamDialect {
  readonly name: DialectName;
  /** Where turns are posted, below the base URL. */
  readonly path: string;
  /** The body that asks for `turn`. `asksUsage` = it asks for the usage of the stream, too. */
  writeRequest(turn: Turn, asksUsage: boolean): string;
  /** A reader for the answer whose head has `fields`. How long all of it is, is looked at before. */
  readAnswer(fields: Pick<Fields, "get">, limits: EventLimits): AnswerReader;
  /** What an answer with an error's `status` says; `body` may be anything. */
  readError(status: number, body: string): AppError;
}

/** One event of JSON: `data: …\n\n`. */
export function dataEvent(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

/** The end mark of most dialects. */
export const DONE_EVENT = "data: [DONE]\n\n";

/** An SSE comment: clients ignore it, proxies see a living connection. */
export const COMMENT_EVENT = ": keep-alive\n\n";
