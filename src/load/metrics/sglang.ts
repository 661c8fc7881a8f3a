/**
 * SGLang's `bench_serving`: events with content (reasoning too, since PR sglang#23954); the end is
 * the last line, `[DONE]` included. Any answer of status 200 that came to its end is a success; where
 * no usage was told it takes the tokens that were asked for. Without streams (`--disable-stream`) it
 * writes the end of a chat for the time to its first token.
 *
 * @module
 */

import { isOnePiece, KIND, type RequestRecord, TOKENS } from "../record.ts";
import { lastEventMs, timesOf } from "./times.ts";
import {
  between,
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
  const [firstMs] = times;
  const e2eMs = lastEventMs(record, KIND.comment);
  const outputTokens = toldTokens(record) ?? known(record.tokensMax);
  return {
    isSuccess,
    // The length of what was asked, by its own count.
    promptTokens: known(record.promptTokens) ?? promptTokensOf(record),
    outputTokens,
    ttftMs: isOnePiece(record) && has(record, KIND.choice | TOKENS) ? e2eMs : firstMs,
    tpotMs: shared(between(firstMs, e2eMs), (outputTokens ?? 0) - 1),
    itlMs: gapsOf(times),
    e2eMs,
    more: { retokenized: ownTokens(record, count, KIND.text | KIND.reasoning) },
  };
}
