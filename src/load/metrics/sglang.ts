/**
 * SGLang's `bench_serving`: events with content (reasoning too, since PR sglang#23954); the end is
 * the last line, `[DONE]` included. Any answer of status 200 that came to its end is a success; where
 * no usage was told it takes the tokens that were asked for.
 *
 * @module
 */

import { KIND, type RequestRecord } from "../record.ts";
import { lastEventMs, timesOf } from "./times.ts";
import {
  cameWhole,
  type CountTokens,
  gapsOf,
  has,
  known,
  ownTokens,
  promptTokensOf,
  type RequestValues,
  shared,
  toldTokens,
} from "./values.ts";

/** One request as SGLang counts it. */
export function sglangValues(record: RequestRecord, count: CountTokens): RequestValues {
  const isSuccess = cameWhole(record) && record.events > 0 && !has(record, KIND.broken);
  if (!isSuccess) return { isSuccess };
  const times = timesOf(record, KIND.text | KIND.reasoning);
  const [ttftMs] = times;
  const e2eMs = lastEventMs(record, KIND.comment);
  const outputTokens = toldTokens(record) ?? known(record.tokensMax);
  const tookMs = e2eMs === undefined || ttftMs === undefined ? undefined : e2eMs - ttftMs;
  return {
    isSuccess,
    // The length of what was asked, by its own count.
    promptTokens: known(record.promptTokens) ?? promptTokensOf(record),
    outputTokens,
    ttftMs,
    tpotMs: shared(tookMs, (outputTokens ?? 0) - 1),
    itlMs: gapsOf(times),
    e2eMs,
    more: { retokenized: ownTokens(record, count, KIND.text | KIND.reasoning) },
  };
}
