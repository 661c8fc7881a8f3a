/**
 * vLLM's `vllm bench serve` (`lib/endpoint_request_func.py`): an event counts when `choices` is not
 * empty, whatever it says. An answer that came to its end is a success, with an error inside it or
 * without an end mark. It asks chats for nothing but streams, and would fail at an answer in one piece:
 * that has its end and its tokens here, as those of its other requests (`_run_pooling_request`).
 *
 * @module
 */

import { isOnePiece, KIND, type RequestRecord } from "../record.ts";
import { lastMsOf, timesOf } from "./times.ts";
import {
  between,
  cameWhole,
  type CountTokens,
  gapsOf,
  has,
  isOtherAnswer,
  known,
  otherValues,
  ownTokens,
  promptTokensOf,
  type RequestValues,
  shared,
  toldTokens,
} from "./values.ts";

/** One request as vLLM counts it. */
export function vllmValues(record: RequestRecord, count: CountTokens): RequestValues {
  if (isOtherAnswer(record)) return otherValues(record);
  const times = timesOf(record, KIND.choice);
  const isSuccess = cameWhole(record) && !has(record, KIND.broken) && has(record, KIND.choice);
  if (!isSuccess) return { isSuccess };
  const [ttftMs] = times;
  const e2eMs = lastMsOf(record, KIND.choice);
  // It reads the usage of an event without choices alone, and takes a 0 for none.
  const isTold = isOnePiece(record) || hasUsageApart(record);
  const outputTokens = (isTold ? toldTokens(record) : undefined) ||
    ownTokens(record, count, KIND.text);
  return {
    isSuccess,
    promptTokens: isTold ? promptTokensOf(record) : known(record.promptTokens),
    outputTokens,
    ttftMs,
    tpotMs: shared(between(ttftMs, e2eMs), (outputTokens ?? 0) - 1),
    itlMs: gapsOf(times),
    e2eMs,
    more: { client_queue_time: record.sentMs - record.dueMs },
  };
}

function hasUsageApart(record: RequestRecord): boolean {
  for (let i = 0; i < record.events; i++) {
    if ((record.eventKinds[i]! & (KIND.usage | KIND.choice)) === KIND.usage) return true;
  }
  return false;
}
