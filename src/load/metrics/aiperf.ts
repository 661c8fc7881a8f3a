/**
 * AIPerf: from the first to the last response with content; reasoning counts. Tokens by the client's
 * own tokenizer. "ITL" is one value for a request, "ICL" is each gap.
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

/** One request as AIPerf counts it. `icl`: see `interChunkMs`. */
export function aiperfValues(record: RequestRecord, count: CountTokens): RequestValues {
  const times = timesOf(record, KIND.text | KIND.reasoning | KIND.tool);
  const isSuccess = record.outcome === "completed" && times.length > 0;
  if (!isSuccess) return { isSuccess };
  const ttftMs = times[0]!;
  const e2eMs = times.at(-1)!;
  const outputTokens = ownTokens(record, count) ?? toldTokens(record);
  const itlMs = shared(e2eMs - ttftMs, (outputTokens ?? 0) - 1);
  const [ttfoMs] = timesOf(record, KIND.text | KIND.tool);
  return {
    isSuccess,
    promptTokens: promptTokensOf(record),
    outputTokens,
    ttftMs,
    itlMs: itlMs === undefined ? undefined : [itlMs],
    e2eMs,
    more: {
      time_to_first_output_token: ttfoMs,
      time_to_second_token: times.length < 2 ? undefined : times[1]! - ttftMs,
      output_token_throughput_per_user: itlMs === undefined ? undefined : shared(1000, itlMs),
      e2e_output_token_throughput: outputTokens === undefined
        ? undefined
        : shared(1000 * outputTokens, e2eMs),
    },
  };
}

/** Every gap between two responses with content. */
export function interChunkMs(record: RequestRecord): readonly number[] {
  return gapsOf(timesOf(record, KIND.text | KIND.reasoning | KIND.tool));
}
