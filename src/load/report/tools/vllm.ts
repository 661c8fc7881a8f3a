/**
 * The report of vLLM's `vllm bench serve`.
 *
 * @module
 */

import type { GatheredRequest } from "../../metrics/gathered.ts";
import { percentileOf, type Samples, samplesOf } from "../../metrics/statistics.ts";
import {
  pair,
  peakOutput,
  ruled,
  successes,
  sumOf,
  type ToolReport,
  type ToolRun,
} from "./tool.ts";

/** Of `--metric-percentiles`: what it shows unless told otherwise. */
const PERCENTILES = [99] as const;

type Metric = readonly [key: string, title: string, short: string, samples: Samples | undefined];

/** The report. */
export function vllmReport(run: ToolRun): ToolReport {
  const { gathered, seconds, slo } = run;
  const good = successes(run);
  const outputTokens = sumOf(good.map((one) => one.outputTokens));
  const inputTokens = sumOf(good.map((one) => one.promptTokens));
  const failed = gathered.requests.length - good.length;
  const [peak, atOnce] = [peakOutput(good), peakAtOnce(good)];
  const metrics: readonly Metric[] = [
    ["ttft", "Time to First Token", "TTFT", samplesOf(good.map((one) => one.ttftMs))],
    [
      "tpot",
      "Time per Output Token (excl. 1st token)",
      "TPOT",
      samplesOf(good.map((one) => one.tpotMs)),
    ],
    ["itl", "Inter-token Latency", "ITL", samplesOf(good.flatMap((one) => one.itlMs ?? []))],
    ["e2el", "End-to-end Latency", "E2EL", samplesOf(good.map((one) => one.e2eMs))],
    [
      "client_queue_time",
      "Client-side Queueing",
      "Client Queue Time",
      samplesOf(good.map((one) => one.more?.["client_queue_time"])),
    ],
  ];
  const goodput = slo === undefined
    ? undefined
    : good.filter((one) => holds(one, slo)).length / seconds;
  const json = {
    date: stamp(run.startedAt),
    endpoint_type: "openai-chat",
    backend: "openai-chat",
    label: null,
    model_id: run.model,
    tokenizer_id: run.model,
    num_prompts: gathered.requests.length,
    request_rate: run.ratePerSecond ?? "inf",
    burstiness: run.burstiness,
    max_concurrency: run.concurrency ?? null,
    duration: seconds,
    completed: good.length,
    failed,
    total_input_tokens: inputTokens,
    total_output_tokens: outputTokens,
    request_throughput: good.length / seconds,
    request_goodput: goodput ?? null,
    output_throughput: outputTokens / seconds,
    total_token_throughput: (inputTokens + outputTokens) / seconds,
    max_output_tokens_per_s: peak,
    max_concurrent_requests: atOnce,
    // Seconds of audio that were heard in each second.
    rtfx: 0,
    ...Object.fromEntries(metrics.flatMap(([key, , , samples]) => figures(key, samples))),
  };
  const lines = [
    ruled(" Serving Benchmark Result ", "="),
    pair("Successful requests:", good.length, 0),
    pair("Failed requests:", failed, 0),
    ...(run.concurrency === undefined
      ? []
      : [pair("Maximum request concurrency:", run.concurrency, 0)]),
    ...(run.ratePerSecond === undefined
      ? []
      : [pair("Request rate configured (RPS):", run.ratePerSecond)]),
    pair("Benchmark duration (s):", seconds),
    pair("Total input tokens:", inputTokens, 0),
    pair("Total generated tokens:", outputTokens, 0),
    pair("Request throughput (req/s):", json.request_throughput),
    ...(goodput === undefined ? [] : [pair("Request goodput (req/s):", goodput)]),
    pair("Output token throughput (tok/s):", json.output_throughput),
    pair("Peak output token throughput (tok/s):", peak),
    pair("Peak concurrent requests:", atOnce, 0),
    pair("Total token throughput (tok/s):", json.total_token_throughput),
    ...metrics.flatMap(([key, title, short, samples]) =>
      // Shown where something may have had to wait.
      key === "client_queue_time" && run.concurrency === undefined
        ? []
        : section(title, short, samples)
    ),
    "=".repeat(50),
  ];
  return { json, lines };
}

/** The most requests under way at once, of those that were successes. */
function peakAtOnce(good: readonly GatheredRequest[]): number {
  const steps = good.flatMap(({ sentMs, e2eMs }): readonly (readonly [number, number])[] => [
    [sentMs, 1],
    [sentMs + (e2eMs ?? 0), -1],
  ]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let [now, most] = [0, 0];
  for (const [, step] of steps) {
    now += step;
    most = Math.max(most, now);
  }
  return most;
}

function figures(key: string, samples: Samples | undefined): readonly [string, number][] {
  if (samples === undefined) return [];
  return [
    [`mean_${key}_ms`, samples.mean],
    [`median_${key}_ms`, percentileOf(samples, 50)],
    [`std_${key}_ms`, samples.std],
    ...PERCENTILES.map((share): [string, number] => [
      `p${share}_${key}_ms`,
      percentileOf(samples, share),
    ]),
  ];
}

function section(title: string, short: string, samples: Samples | undefined): readonly string[] {
  if (samples === undefined) return [];
  return [
    ruled(title, "-"),
    pair(`Mean ${short} (ms):`, samples.mean),
    pair(`Median ${short} (ms):`, percentileOf(samples, 50)),
    ...PERCENTILES.map((share) => pair(`P${share} ${short} (ms):`, percentileOf(samples, share))),
  ];
}

function holds(one: GatheredRequest, { ttft, tpot, e2e }: NonNullable<ToolRun["slo"]>): boolean {
  const within = (value: number | undefined, most: number | undefined) =>
    value === undefined || most === undefined || value <= most;
  return within(one.ttftMs, ttft) && within(one.tpotMs, tpot) && within(one.e2eMs, e2e);
}

/** "20261128-214500" */
function stamp(date: Date): string {
  return date.toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
}
