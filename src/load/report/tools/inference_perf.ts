/**
 * inference-perf's `summary_lifecycle_metrics.json`. Seconds, not milliseconds.
 *
 * @module
 */

import type { GatheredRequest } from "../../metrics/gathered.ts";
import { percentileOf, samplesOf } from "../../metrics/statistics.ts";
import { successes, sumOf, type ToolReport, type ToolRun } from "./tool.ts";

const SHARES: readonly (readonly [name: string, share: number])[] = [
  ["p0.1", 0.1],
  ["p1", 1],
  ["p5", 5],
  ["p10", 10],
  ["p25", 25],
  ["median", 50],
  ["p75", 75],
  ["p90", 90],
  ["p95", 95],
  ["p99", 99],
  ["p99.9", 99.9],
];

/** The report. */
export function inferencePerfReport(run: ToolRun): ToolReport {
  const good = successes(run);
  const failures = run.gathered.requests.filter(({ isSuccess }) => !isSuccess);
  const tokens = sumOf(good.map((one) => one.outputTokens));
  const prompts = sumOf(good.map((one) => one.promptTokens));
  const { seconds, sendingSeconds, gathered } = run;
  const throughput = seconds > 0
    ? {
      input_tokens_per_sec: prompts / seconds,
      output_tokens_per_sec: tokens / seconds,
      total_tokens_per_sec: (prompts + tokens) / seconds,
      requests_per_sec: good.length / seconds,
    }
    : null;
  const latency = {
    request_latency: inSeconds(good.map((one) => one.e2eMs)),
    normalized_time_per_output_token: inSeconds(
      good.map((one) => one.more?.["normalized_time_per_output_token"]),
    ),
    time_per_output_token: inSeconds(good.map((one) => one.tpotMs)),
    time_to_first_token: inSeconds(good.map((one) => one.ttftMs)),
    inter_token_latency: inSeconds(good.flatMap((one) => one.itlMs ?? [])),
  };
  const json = {
    load_summary: {
      count: gathered.requests.length,
      schedule_delay: inSeconds(gathered.requests.map((one) => one.more?.["schedule_delay"])),
      send_duration: sendingSeconds,
      requested_rate: run.ratePerSecond ?? null,
      achieved_rate: sendingSeconds > 0 ? gathered.requests.length / sendingSeconds : null,
    },
    successes: {
      count: good.length,
      latency,
      throughput,
      prompt_len: figuresOf(good.map((one) => one.promptTokens)),
      output_len: figuresOf(good.map((one) => one.outputTokens)),
    },
    failures: { count: failures.length, by_label: byLabel(failures) },
  };
  const lines = [
    `${good.length} successes, ${failures.length} failures`,
    ...Object.entries(latency).flatMap(([name, figures]) =>
      figures === null ? [] : [
        `${name.padEnd(36)} mean ${figures["mean"]!.toFixed(4)} s, median ` +
        `${figures["median"]!.toFixed(4)}, p99 ${figures["p99"]!.toFixed(4)}`,
      ]
    ),
  ];
  return { json, lines };
}

type Figures = Readonly<Record<string, number>>;

function inSeconds(ms: readonly (number | undefined)[]): Figures | null {
  return figuresOf(ms.map((value) => value === undefined ? undefined : value / 1000));
}

function figuresOf(values: readonly (number | undefined)[]): Figures | null {
  const samples = samplesOf(values.filter((value) => !Number.isNaN(value)));
  if (samples === undefined) return null;
  return {
    mean: samples.mean,
    min: samples.min,
    ...Object.fromEntries(SHARES.map(([name, share]) => [name, percentileOf(samples, share)])),
    max: samples.max,
  };
}

/** "504 - Gateway Timeout" → how many, and their messages. */
function byLabel(failures: readonly GatheredRequest[]) {
  const labels: Record<string, { count: number; messages: string[] }> = {};
  for (const { status, failure, outcome } of failures) {
    const label = status === 0 ? failure || outcome : `${status} - ${failure}`;
    const known = labels[label] ??= { count: 0, messages: [] };
    known.count++;
    if (failure !== "" && !known.messages.includes(failure)) known.messages.push(failure);
  }
  return labels;
}
