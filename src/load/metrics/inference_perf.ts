/**
 * inference-perf: events with content, tokenized again; each token has the time of its event, so that
 * the gaps inside an event are 0. The end is the end of the response.
 *
 * @module
 */

import { KIND, type RequestRecord } from "../record.ts";
import { lastEventMs, timesOf } from "./times.ts";
import {
  type CountTokens,
  gapsOf,
  promptTokensOf,
  type RequestValues,
  shared,
  tokensByEvent,
} from "./values.ts";

/** One request as inference-perf counts it. */
export function inferencePerfValues(record: RequestRecord, count: CountTokens): RequestValues {
  const isSuccess = record.outcome === "completed";
  if (!isSuccess) return { isSuccess, more: { schedule_delay: record.sentMs - record.dueMs } };
  const times = timesOf(record, KIND.text);
  const tokens = tokensByEvent(record, count, KIND.text);
  const tokenTimes = times.flatMap((ms, i) => Array<number>(tokens[i]!).fill(ms));
  const outputTokens = tokenTimes.length;
  const [ttftMs] = times;
  const lastMs = times.at(-1);
  const e2eMs = lastEventMs(record, KIND.comment) ?? record.endMs - record.sentMs;
  return {
    isSuccess,
    promptTokens: promptTokensOf(record),
    outputTokens,
    ttftMs,
    tpotMs: shared(lastMs === undefined ? undefined : lastMs - ttftMs!, outputTokens - 1),
    itlMs: gapsOf(tokenTimes),
    e2eMs,
    more: {
      normalized_time_per_output_token: shared(e2eMs, outputTokens),
      schedule_delay: record.sentMs - record.dueMs,
    },
  };
}
