/**
 * GuideLLM: iterations are events with content, reasoning or tool calls. "TPOT" is counted from the
 * start of the request, the time to the first token inside; "ITL" is one value for a request.
 *
 * @module
 */

import { KIND, type RequestRecord } from "../record.ts";
import { lastEventMs, timesOf } from "./times.ts";
import {
  type CountTokens,
  promptTokensOf,
  type RequestValues,
  shared,
  toldTokens,
} from "./values.ts";

/** One request as GuideLLM counts it. */
export function guidellmValues(record: RequestRecord, _count: CountTokens): RequestValues {
  const times = timesOf(record, KIND.text | KIND.reasoning | KIND.tool);
  const isSuccess = record.outcome === "completed" && times.length > 0;
  const outputTokens = toldTokens(record) ?? times.length;
  const lastMs = times.at(-1);
  const [ttftMs] = times;
  const itlMs = shared(lastMs === undefined ? undefined : lastMs - ttftMs!, outputTokens - 1);
  const [ttfoMs] = timesOf(record, KIND.text | KIND.tool);
  return {
    isSuccess,
    promptTokens: promptTokensOf(record),
    outputTokens,
    ttftMs,
    tpotMs: shared(lastMs, outputTokens),
    itlMs: itlMs === undefined ? undefined : [itlMs],
    e2eMs: lastEventMs(record, KIND.comment),
    more: { time_to_first_output_token_ms: ttfoMs },
  };
}
