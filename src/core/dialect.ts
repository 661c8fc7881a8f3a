/**
 * How a surface says an answer on the wire, one whole SSE event at a time.
 *
 * @module
 */

import type { EndReason, Usage } from "./answer.ts";
import type { AppError } from "./errors.ts";

/** A wire dialect for one answer. Every text it gives is whole SSE events, or "" for nothing. */
export interface Dialect {
  /** What comes before the first text: a role event, or "". */
  open(): string;
  /** One piece of the answer's text. */
  text(text: string): string;
  /** The end of the answer, its usage and its end mark: everything after the last text. */
  end(reason: EndReason, usage?: Usage): string;
  /** A failure in the middle of the stream. No end mark follows unless this text has it. */
  error(error: AppError): string;
}

/** One event of JSON: `data: …\n\n`. */
export function dataEvent(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

/** The end mark of most dialects. */
export const DONE_EVENT = "data: [DONE]\n\n";

/** An SSE comment: clients ignore it, proxies see a living connection. */
export const COMMENT_EVENT = ": keep-alive\n\n";
