/**
 * AIPerf: from the first to the last response with content; reasoning and tool calls count. Tokens by
 * the client's own tokenizer. "ITL" is one value for a request, "ICL" is each gap. An answer that came
 * to its end with some content is a success, without an end mark or with an error inside it. Times to
 * tokens and between them are of streams alone (`STREAMING_TOKENS_ONLY`).
 *
 * @module
 */

import { KIND, type RequestRecord } from "../record.ts";
import { lastMsOf, timesOf } from "./times.ts";
import {
  between,
  cameWhole,
  type CountTokens,
  gapsOf,
  has,
  isOtherAnswer,
  otherValues,
  ownTokens,
  promptTokensOf,
  type RequestValues,
  shared,
  toldTokens,
} from "./values.ts";

const SPOKEN = KIND.text | KIND.tool;

/** One request as AIPerf counts it. `icl`: see `interChunkMs`. */
export function aiperfValues(record: RequestRecord, count: CountTokens): RequestValues {
  if (isOtherAnswer(record)) return otherValues(record);
  const times = timesOf(record, SPOKEN | KIND.reasoning);
  const isSuccess = cameWhole(record) && has(record, SPOKEN | KIND.reasoning);
  if (!isSuccess) return { isSuccess };
  const [ttftMs, secondMs] = times;
  const e2eMs = lastMsOf(record, SPOKEN | KIND.reasoning);
  const spoken = ownTokens(record, count, SPOKEN);
  const thought = ownTokens(record, count, KIND.reasoning);
  const outputTokens = spoken === undefined || thought === undefined
    ? toldTokens(record)
    : spoken + thought;
  const itlMs = shared(between(ttftMs, e2eMs), (outputTokens ?? 0) - 1);
  const [ttfoMs] = timesOf(record, SPOKEN);
  return {
    isSuccess,
    promptTokens: promptTokensOf(record),
    outputTokens,
    ttftMs,
    itlMs: itlMs === undefined ? undefined : [itlMs],
    e2eMs,
    more: {
      time_to_first_output_token: ttfoMs,
      time_to_second_token: between(ttftMs, secondMs),
      output_token_throughput_per_user: itlMs === undefined ? undefined : shared(1000, itlMs),
      e2e_output_token_throughput: outputTokens === undefined || e2eMs === undefined
        ? undefined
        : shared(1000 * outputTokens, e2eMs),
      output_token_count: spoken,
      reasoning_token_count: thought === 0 ? undefined : thought,
    },
  };
}

/** Every gap between two responses with content. */
export function interChunkMs(record: RequestRecord): readonly number[] {
  return gapsOf(timesOf(record, SPOKEN | KIND.reasoning));
}
