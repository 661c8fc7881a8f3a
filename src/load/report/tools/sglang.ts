/**
 * The report of SGLang's `bench_serving`.
 *
 * @module
 */

import { percentileOf, type Samples, samplesOf } from "../../metrics/statistics.ts";
import type { GatheredRequest } from "../../metrics/gathered.ts";
import {
  firstSentMs,
  pair,
  peakOutput,
  ruled,
  successes,
  sumOf,
  type ToolReport,
  type ToolRun,
} from "./tool.ts";

const SHARES = [90, 95, 99] as const;

type Metric = readonly [
  key: string,
  title: string,
  short: string,
  samples: Samples | undefined,
];

/** The report. */
export function sglangReport(run: ToolRun): ToolReport {
  const { seconds } = run;
  const good = successes(run);
  const input = sumOf(good.map((one) => one.promptTokens));
  const output = sumOf(good.map((one) => one.outputTokens));
  const retokenized = sumOf(good.map((one) => one.more?.["retokenized"]));
  const busyMs = sumOf(good.map((one) => one.e2eMs));
  const [peak, atOnce] = [peakOutput(good), mostInSecond(good)];
  const metrics: readonly Metric[] = [
    [
      "e2e_latency",
      "End-to-End Latency",
      "E2E Latency",
      samplesOf(good.map((one) => one.e2eMs)),
    ],
    ["ttft", "Time to First Token", "TTFT", samplesOf(good.map((one) => one.ttftMs))],
    [
      "tpot",
      "Time per Output Token (excl. 1st token)",
      "TPOT",
      samplesOf(good.map((one) => one.tpotMs)),
    ],
    [
      "itl",
      "Inter-Token Latency",
      "ITL",
      samplesOf(good.flatMap((one) => one.itlMs ?? [])),
    ],
  ];
  const json = {
    tag: null,
    backend: "sglang-oai-chat",
    dataset_name: "weir",
    request_rate: run.ratePerSecond ?? "inf",
    max_concurrency: run.concurrency ?? null,
    sharegpt_output_len: null,
    random_input_len: null,
    random_output_len: null,
    random_range_ratio: null,
    server_info: null,
    duration: seconds,
    completed: good.length,
    total_input_tokens: input,
    total_output_tokens: output,
    total_output_tokens_retokenized: retokenized,
    request_throughput: good.length / seconds,
    input_throughput: input / seconds,
    output_throughput: output / seconds,
    total_throughput: (input + output) / seconds,
    concurrency: busyMs / 1000 / seconds,
    accept_length: null,
    max_output_tokens_per_s: peak,
    max_concurrent_requests: atOnce,
    ...Object.fromEntries(
      metrics.flatMap(([key, , , samples]) =>
        samples === undefined ? [] : [
          [`mean_${key}_ms`, samples.mean],
          [`median_${key}_ms`, percentileOf(samples, 50)],
          [`std_${key}_ms`, samples.std],
          ...SHARES.map((share) => [`p${share}_${key}_ms`, percentileOf(samples, share)] as const),
        ]
      ),
    ),
  };
  const lines = [
    ruled(" Serving Benchmark Result ", "="),
    pair("Backend:", json.backend),
    pair("Traffic request rate:", String(json.request_rate)),
    pair("Max request concurrency:", String(run.concurrency ?? "not set")),
    pair("Successful requests:", good.length, 0),
    pair("Benchmark duration (s):", seconds),
    pair("Total input tokens:", input, 0),
    pair("Total generated tokens:", output, 0),
    pair("Total generated tokens (retokenized):", retokenized, 0),
    pair("Request throughput (req/s):", json.request_throughput),
    pair("Input token throughput (tok/s):", json.input_throughput),
    pair("Output token throughput (tok/s):", json.output_throughput),
    pair("Peak output token throughput (tok/s):", peak),
    pair("Peak concurrent requests:", atOnce, 0),
    pair("Total token throughput (tok/s):", json.total_throughput),
    pair("Concurrency:", json.concurrency),
    ...metrics.flatMap(([key, title, short, samples]) =>
      samples === undefined ? [] : [
        ruled(title, "-"),
        pair(`Mean ${short} (ms):`, samples.mean),
        pair(`Median ${short} (ms):`, percentileOf(samples, 50)),
        ...SHARES.map((share) => pair(`P${share} ${short} (ms):`, percentileOf(samples, share))),
        ...(key === "itl" ? [pair(`Max ${short} (ms):`, samples.max)] : []),
      ]
    ),
    "=".repeat(50),
  ];
  return { json, lines };
}

/** The most requests that one second had something of, the seconds counted from the first request. */
function mostInSecond(good: readonly GatheredRequest[]): number {
  const firstMs = firstSentMs(good);
  const seconds = new Map<number, number>();
  for (const { sentMs, e2eMs = 0 } of good) {
    const last = Math.floor((sentMs + e2eMs - firstMs) / 1000);
    for (let second = Math.floor((sentMs - firstMs) / 1000); second <= last; second++) {
      seconds.set(second, (seconds.get(second) ?? 0) + 1);
    }
  }
  return seconds.values().reduce((most, count) => Math.max(most, count), 0);
}
