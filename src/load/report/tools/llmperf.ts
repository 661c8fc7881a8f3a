/**
 * LLMPerf's summary: one flat object, seconds.
 *
 * @module
 */

import { percentileOf, type Samples, samplesOf } from "../../metrics/statistics.ts";
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
  const tokens = sumOf(metrics["number_output_tokens"]!);
  const codes = new Map<string, number>();
  for (const { status } of failed) {
    const code = `${status === 0 || status === 200 ? -1 : status}${fraction}`;
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  const told = [...codes].sort((a, b) => b[1] - a[1]).map(([code, count]) => `${code}: ${count}`);
  const figures = Object.entries(metrics).flatMap(([name, values]) => {
    const samples = samplesOf(values);
    return samples === undefined ? [] : [[name, figuresOf(samples)] as const];
  });
  const json = {
    version: "2023-08-31",
    name: `${run.model}_summary`.replaceAll(/[^\w-]+/g, "-"),
    model: run.model,
    num_concurrent_requests: run.concurrency ?? null,
    ...Object.fromEntries(
      figures.flatMap(([name, found]) =>
        found.map(([key, value]) => [
          `results_${name}_${key.startsWith("p") ? "quantiles_" : ""}${key}`,
          value,
        ])
      ),
    ),
    results_num_requests_started: all.length,
    results_error_rate: all.length === 0 ? null : failed.length / all.length,
    results_number_errors: failed.length,
    // Python's own way of writing a dictionary down.
    results_error_code_frequency: `{${told.join(", ")}}`,
    results_num_completed_requests: good.length,
    ...(run.seconds > 0
      ? {
        results_mean_output_throughput_token_per_s: tokens / run.seconds,
        results_num_completed_requests_per_min: (60 * good.length) / run.seconds,
      }
      : {}),
    timestamp: Math.round(run.startedAt.getTime() / 1000),
  };
  const number = (value: number | null) => value === null ? "nan" : String(value);
  const lines = [
    ...figures.flatMap(([name, found]) => [
      name,
      ...found.map(([key, value]) => `    ${key} = ${number(value)}`),
    ]),
    `Number Of Errored Requests: ${failed.length}`,
    ...(failed.length === 0 ? [] : ["Error Code Frequency", json.results_error_code_frequency]),
    ...(run.seconds > 0 ? [`Overall Output Throughput: ${tokens / run.seconds}`] : []),
    `Number Of Completed Requests: ${good.length}`,
    ...(run.seconds > 0
      ? [`Completed Requests Per Minute: ${(60 * good.length) / run.seconds}`]
      : []),
  ];
  return { json, lines };
}

/** Quantiles, and the rest as pandas has it: the deviation is that of a sample. */
function figuresOf(samples: Samples): readonly (readonly [string, number | null])[] {
  const { mean, min, max, count, std } = samples;
  return [
    ...SHARES.map((share) => [`p${share}`, percentileOf(samples, share)] as const),
    ["mean", mean],
    ["min", min],
    ["max", max],
    ["stddev", count < 2 ? null : std * Math.sqrt(count / (count - 1))],
  ];
}
