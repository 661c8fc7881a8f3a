/**
 * The tools whose definitions and reports a load can have.
 *
 * @module
 */

import { aiperfValues } from "../../metrics/aiperf.ts";
import { guidellmValues } from "../../metrics/guidellm.ts";
import { inferencePerfValues } from "../../metrics/inference_perf.ts";
import { llmperfValues } from "../../metrics/llmperf.ts";
import { sglangValues } from "../../metrics/sglang.ts";
import type { CountTokens, RequestValues } from "../../metrics/values.ts";
import { vllmValues } from "../../metrics/vllm.ts";
import type { RequestRecord } from "../../record.ts";
import { aiperfReport } from "./aiperf.ts";
import { guidellmReport, guidellmTogether } from "./guidellm.ts";
import { inferencePerfReport } from "./inference_perf.ts";
import { llmperfReport } from "./llmperf.ts";
import { sglangReport } from "./sglang.ts";
import type { ToolJson, ToolReport, ToolRun } from "./tool.ts";
import { vllmReport } from "./vllm.ts";

/** A tool: what it makes of a request, and of a run. */
export interface Tool {
  readonly read: (record: RequestRecord, count: CountTokens) => RequestValues;
  readonly report: (run: ToolRun) => ToolReport;
  /** One JSON of several stages; undefined: the tool writes one for each. */
  readonly together?: (stages: readonly ToolJson[]) => ToolJson;
}

/** By the name that `--as` takes. */
export const TOOLS = {
  vllm: { read: vllmValues, report: vllmReport },
  sglang: { read: sglangValues, report: sglangReport },
  aiperf: { read: aiperfValues, report: aiperfReport },
  guidellm: { read: guidellmValues, report: guidellmReport, together: guidellmTogether },
  "inference-perf": { read: inferencePerfValues, report: inferencePerfReport },
  llmperf: { read: llmperfValues, report: llmperfReport },
} as const satisfies Readonly<Record<string, Tool>>;

/** The name of a tool. */
export type ToolName = keyof typeof TOOLS;
