/**
 * LLMPerf's summary: one flat object, seconds.
 *
 * @module
 */

import { percentileOf, samplesOf } from "../../metrics/statistics.ts";
import { successes, sumOf, type ToolReport, type ToolRun } from "./tool.ts";

const SHARES = [25, 50, 75, 90, 95, 99] as const;

/** The report. */
export function llmperfReport(run: ToolRun): ToolReport {
  const good = successes(run);
  const all = run.gathered.requests;
  const failed = all.filter(({ isSuccess }) => !isSuccess);
  const seconds = (ms: number | undefined) => ms === undefined ? undefined : ms / 1000;
  const metrics: Readonly<Record<string, readonly (number | undefined)[]>> = {
    inter_token_latency_s: good.map((one) => seconds(one.itlMs?.[0])),
    ttft_s: good.map((one) => seconds(one.ttftMs)),
    end_to_end_latency_s: good.map((one) => seconds(one.e2eMs)),
    request_output_throughput_token_per_s: good.map((one) =>
      one.more?.["request_output_throughput_token_per_s"]
    ),
    number_input_tokens: good.map((one) => one.promptTokens),
    number_output_tokens: good.map((one) => one.outputTokens),
  };
  // A column of numbers where some are missing has fractions; -1 is what has no status of its own.
  const fraction = good.length > 0 ? ".0" : "";
  const codes = new Map<string, number>();
  for (const { status } of failed) {
    const code = `${status === 0 || status === 200 ? -1 : status}${fraction}`;
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  const told = [...codes].sort((a, b) => b[1] - a[1]).map(([code, count]) => `${code}: ${count}`);
  const figures = Object.entries(metrics).flatMap(([name, values]) => {
    const samples = samplesOf(values);
    if (samples === undefined) return [];
    const quantiles = SHARES.map((share) =>
      [`results_${name}_quantiles_p${share}`, percentileOf(samples, share)] as const
    );
    return [
      ...quantiles,
      [`results_${name}_mean`, samples.mean] as const,
      [`results_${name}_min`, samples.min] as const,
      [`results_${name}_max`, samples.max] as const,
      // Of a sample, as pandas has it.
      [
        `results_${name}_stddev`,
        samples.count < 2 ? null : samples.std * Math.sqrt(samples.count / (samples.count - 1)),
      ] as const,
    ];
  });
  const json = {
    version: "2023-08-31",
    name: `${run.model}_summary`.replaceAll(/[^\w-]+/g, "-"),
    model: run.model,
    num_concurrent_requests: run.concurrency ?? null,
    ...Object.fromEntries(figures),
    results_num_requests_started: all.length,
    results_error_rate: all.length === 0 ? null : failed.length / all.length,
    results_number_errors: failed.length,
    // Python's own way of writing a dictionary down.
    results_error_code_frequency: `{${told.join(", ")}}`,
    results_num_completed_requests: good.length,
    ...(run.seconds > 0
      ? {
        results_mean_output_throughput_token_per_s: sumOf(metrics["number_output_tokens"]!) /
          run.seconds,
        results_num_completed_requests_per_min: (60 * good.length) / run.seconds,
      }
      : {}),
    timestamp: Math.round(run.startedAt.getTime() / 1000),
  };
  const lines = Object.entries(json).filter(([name]) => name.startsWith("results_"))
    .map(([name, value]) => `${name.slice("results_".length)} = ${JSON.stringify(value)}`);
  return { json, lines };
}
