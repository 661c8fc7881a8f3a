/**
 * LLMPerf: "inter-token latency" is the mean over all data events of the time to the first token and
 * all gaps together, the first included. Tokens by its own tokenizer. It asks for no usage, and would
 * fail at the event that has one: that event is passed over here. It knows streams alone: an answer in
 * one piece, at which it would fail, has its end and its tokens here.
 *
 * @module
 */

import { KIND, type RequestRecord } from "../record.ts";
import { timesOf } from "./times.ts";
import {
  cameWhole,
  type CountTokens,
  has,
  known,
  ownTokens,
  promptTokensOf,
  type RequestValues,
  shared,
} from "./values.ts";

/** One request as LLMPerf counts it. */
export function llmperfValues(record: RequestRecord, count: CountTokens): RequestValues {
  const isSuccess = cameWhole(record) && !has(record, KIND.error);
  if (!isSuccess) return { isSuccess };
  const times = timesOf(record, KIND.text);
  const events = timesOf(record, KIND.choice).length;
  const [ttftMs] = times;
  const e2eMs = known(record.endMs - record.sentMs);
  const outputTokens = ownTokens(record, count, KIND.text);
  // The first token's time and all gaps add up to the time of the last one.
  const itlMs = shared(times.at(-1), events);
  return {
    isSuccess,
    promptTokens: promptTokensOf(record),
    outputTokens,
    ttftMs,
    itlMs: itlMs === undefined ? undefined : [itlMs],
    e2eMs,
    more: {
      request_output_throughput_token_per_s: outputTokens === undefined || e2eMs === undefined
        ? undefined
        : shared(1000 * outputTokens, e2eMs),
    },
  };
}
