/**
 * GuideLLM: iterations are events with content, reasoning or tool calls. "TPOT" is counted from the
 * start of the request, the time to the first token inside; "ITL" is one value for a request. An answer
 * that came to its end is a success unless it says an error; it need not say anything. One in one piece
 * has a start and an end, and no iterations.
 *
 * @module
 */

import { isOnePiece, KIND, type RequestRecord } from "../record.ts";
import { doneMs, timesOf } from "./times.ts";
import {
  between,
  cameWhole,
  type CountTokens,
  has,
  promptTokensOf,
  type RequestValues,
  shared,
  toldTokens,
} from "./values.ts";

/** One request as GuideLLM counts it. */
export function guidellmValues(record: RequestRecord, _count: CountTokens): RequestValues {
  const times = timesOf(record, KIND.text | KIND.reasoning | KIND.tool);
  const isSuccess = cameWhole(record) && !has(record, KIND.error);
  const outputTokens = toldTokens(record) ?? (times.length || undefined);
  const e2eMs = isSuccess ? doneMs(record) : undefined;
  const lastMs = times.at(-1);
  const [ttftMs] = times;
  const itlMs = shared(between(ttftMs, lastMs), (outputTokens ?? 0) - 1);
  const [ttfoMs] = timesOf(record, KIND.text | KIND.tool);
  return {
    isSuccess,
    promptTokens: promptTokensOf(record),
    outputTokens,
    ttftMs,
    tpotMs: shared(lastMs ?? e2eMs, outputTokens ?? 0),
    itlMs: itlMs === undefined ? undefined : [itlMs],
    e2eMs,
    more: {
      time_to_first_output_token_ms: ttfoMs,
      last_token_ms: lastMs,
      token_iterations: times.length,
      request_iterations: isOnePiece(record) ? 0 : record.events,
    },
  };
}
