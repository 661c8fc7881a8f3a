/**
 * The report of SGLang's `bench_serving`.
 *
 * @module
 */

import { percentileOf, type Samples, samplesOf } from "../../metrics/statistics.ts";
import { pair, ruled, successes, sumOf, type ToolReport, type ToolRun } from "./tool.ts";

type Metric = readonly [
  key: string,
  title: string,
  short: string,
  samples: Samples | undefined,
  shares: readonly number[],
];

/** The report. */
export function sglangReport(run: ToolRun): ToolReport {
  const { seconds } = run;
  const good = successes(run);
  const input = sumOf(good.map((one) => one.promptTokens));
  const output = sumOf(good.map((one) => one.outputTokens));
  const retokenized = sumOf(good.map((one) => one.more?.["retokenized"]));
  const busyMs = sumOf(good.map((one) => one.e2eMs));
  const metrics: readonly Metric[] = [
    [
      "e2e_latency",
      "End-to-End Latency",
      "E2E Latency",
      samplesOf(good.map((one) => one.e2eMs)),
      [90, 99],
    ],
    ["ttft", "Time to First Token", "TTFT", samplesOf(good.map((one) => one.ttftMs)), [99]],
    [
      "tpot",
      "Time per Output Token (excl. 1st token)",
      "TPOT",
      samplesOf(good.map((one) => one.tpotMs)),
      [99],
    ],
    [
      "itl",
      "Inter-Token Latency",
      "ITL",
      samplesOf(good.flatMap((one) => one.itlMs ?? [])),
      [95, 99],
    ],
  ];
  const json = {
    backend: "sglang-oai-chat",
    dataset_name: "weir",
    request_rate: run.ratePerSecond ?? "inf",
    max_concurrency: run.concurrency ?? null,
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
    ...Object.fromEntries(
      metrics.flatMap(([key, , , samples, shares]) =>
        samples === undefined ? [] : [
          [`mean_${key}_ms`, samples.mean],
          [`median_${key}_ms`, percentileOf(samples, 50)],
          [`std_${key}_ms`, samples.std],
          ...shares.map((share) => [`p${share}_${key}_ms`, percentileOf(samples, share)] as const),
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
    pair("Total token throughput (tok/s):", json.total_throughput),
    pair("Concurrency:", json.concurrency),
    ...metrics.flatMap(([key, title, short, samples, shares]) =>
      samples === undefined ? [] : [
        ruled(title, "-"),
        pair(`Mean ${short} (ms):`, samples.mean),
        pair(`Median ${short} (ms):`, percentileOf(samples, 50)),
        ...shares.map((share) => pair(`P${share} ${short} (ms):`, percentileOf(samples, share))),
        ...(key === "itl" ? [pair(`Max ${short} (ms):`, samples.max)] : []),
      ]
    ),
    "=".repeat(50),
  ];
  return { json, lines };
}
