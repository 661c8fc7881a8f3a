/**
 * inference-perf: events with content, tokenized again; each token has the time of its event, so that
 * the gaps inside an event are 0. An answer of fewer than two such tokens has no time to its first one.
 * Times of tokens are of streams alone. The end is that of the body. A success came to its end, says no
 * error, and has content or a usage.
 *
 * @module
 */

import { KIND, type RequestRecord } from "../record.ts";
import { timesOf } from "./times.ts";
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
  tokensByEvent,
} from "./values.ts";

/** One request as inference-perf counts it. */
export function inferencePerfValues(record: RequestRecord, count: CountTokens): RequestValues {
  const delay = { schedule_delay: record.sentMs - record.dueMs };
  const times = timesOf(record, KIND.text);
  // Events that are no JSON are passed over.
  const isError = has(record, KIND.error) && !has(record, KIND.broken);
  const isSuccess = cameWhole(record) && !isError && has(record, KIND.text | KIND.usage);
  if (!isSuccess) return { isSuccess, promptTokens: known(record.promptTokens), more: delay };
  const tokens = tokensByEvent(record, count, KIND.text);
  const tokenTimes = times.flatMap((ms, i) => Array<number>(tokens[i]!).fill(ms));
  // The answer's tokens are those of its whole text, the gaps those of each event's.
  const eventTokens = tokens.reduce((sum, some) => sum + some, 0);
  const outputTokens = ownTokens(record, count, KIND.text) ?? eventTokens;
  const [firstMs] = tokenTimes;
  const tookMs = tokenTimes.length < 2 ? undefined : tokenTimes.at(-1)! - firstMs!;
  const e2eMs = known(record.endMs - record.sentMs);
  return {
    isSuccess,
    promptTokens: promptTokensOf(record),
    outputTokens,
    ttftMs: tookMs === undefined ? undefined : firstMs,
    tpotMs: shared(tookMs, outputTokens - 1),
    itlMs: gapsOf(tokenTimes),
    e2eMs,
    more: {
      ...delay,
      normalized_time_per_output_token: shared(e2eMs, outputTokens),
      told_tokens: known(record.usage?.completionTokens),
      told_prompt_tokens: known(record.usage?.promptTokens),
      cached_tokens: record.usage?.cachedTokens,
      event_tokens: eventTokens,
    },
  };
}
