/**
 * vLLM's `vllm bench serve` (`lib/endpoint_request_func.py`): an event counts when `choices` is not
 * empty, whatever it says. A stream that broke off behind its first event is a success.
 *
 * @module
 */

import { KIND, type RequestRecord } from "../record.ts";
import { timesOf } from "./times.ts";
import {
  type CountTokens,
  gapsOf,
  ownTokens,
  promptTokensOf,
  type RequestValues,
  shared,
  toldTokens,
} from "./values.ts";

/** One request as vLLM counts it. */
export function vllmValues(record: RequestRecord, count: CountTokens): RequestValues {
  const times = timesOf(record, KIND.choice);
  const isSuccess = record.status === 200 && times.length > 0;
  const queueMs = record.sentMs - record.dueMs;
  if (!isSuccess) return { isSuccess };
  const [ttftMs] = times;
  const e2eMs = times.at(-1)!;
  const outputTokens = toldTokens(record) ?? ownTokens(record, count, KIND.text);
  return {
    isSuccess,
    promptTokens: promptTokensOf(record),
    outputTokens,
    ttftMs,
    tpotMs: shared(e2eMs - ttftMs!, (outputTokens ?? 0) - 1),
    itlMs: gapsOf(times),
    e2eMs,
    more: { client_queue_time: queueMs },
  };
}
