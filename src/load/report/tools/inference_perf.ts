/**
 * inference-perf's `summary_lifecycle_metrics.json`. Seconds, not milliseconds.
 *
 * @module
 */

import type { GatheredRequest } from "../../metrics/gathered.ts";
import { percentileOf, samplesOf } from "../../metrics/statistics.ts";
import type { Slo } from "../../slo.ts";
import { firstSentMs, successes, sumOf, type ToolReport, type ToolRun } from "./tool.ts";

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
  const { requests } = run.gathered;
  const good = successes(run);
  const failures = requests.filter(({ isSuccess }) => !isSuccess);
  const tokens = sumOf(good.map((one) => one.outputTokens));
  const prompts = sumOf(good.map((one) => one.promptTokens));
  const seconds = secondsOf(requests);
  const sending = sendingSeconds(requests);
  const latency = {
    request_latency: inSeconds(good.map((one) => one.e2eMs)),
    normalized_time_per_output_token: inSeconds(
      good.map((one) => one.more?.["normalized_time_per_output_token"]),
    ),
    time_per_output_token: inSeconds(good.map((one) => one.tpotMs)),
    time_to_first_token: inSeconds(good.map((one) => one.ttftMs)),
    inter_token_latency: inSeconds(good.flatMap((one) => one.itlMs ?? [])),
  };
  const told = good.map((one) => one.more?.["told_tokens"] ?? one.outputTokens);
  const json = {
    benchmark_time_seconds: seconds,
    load_summary: {
      count: requests.length,
      schedule_delay: inSeconds(requests.map((one) => one.more?.["schedule_delay"])),
      send_duration: sending,
      requested_rate: run.ratePerSecond ?? null,
      achieved_rate: sending > 0 ? requests.length / sending : null,
      ...(run.concurrency === undefined ? {} : { concurrency: run.concurrency }),
    },
    successes: {
      count: good.length,
      latency,
      throughput: seconds > 0
        ? {
          input_tokens_per_sec: prompts / seconds,
          output_tokens_per_sec: tokens / seconds,
          total_tokens_per_sec: (prompts + tokens) / seconds,
          requests_per_sec: good.length / seconds,
        }
        : null,
      prompt_len: figuresOf(good.map((one) => one.promptTokens)),
      prompt_tokens: promptTokens(good),
      output_len: figuresOf(good.map((one) => one.outputTokens)),
      output_tokens: { total: sumOf(told), ...figuresOf(told) },
      token_count_mismatches:
        good.filter(({ more }) =>
          more?.["told_tokens"] !== undefined && more["told_tokens"] !== more["event_tokens"]
        ).length,
      // How many are counted by the client, for want of the server's count.
      client_fallback_requests: {
        prompt: good.filter(({ more }) => more?.["told_prompt_tokens"] === undefined).length,
        output: good.filter(({ more }) => more?.["told_tokens"] === undefined).length,
      },
      ...(run.slo === undefined || good.length === 0
        ? {}
        : { goodput_metrics: goodput(good, run.slo) }),
    },
    failures: {
      count: failures.length,
      request_latency: inSeconds(failures.map(({ sentMs, endMs }) => endMs - sentMs)),
      prompt_tokens: promptTokens(failures),
      by_label: byLabel(failures),
    },
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

/** From the first request that was sent to the end of the last; 0 = there is none. */
function secondsOf(requests: readonly GatheredRequest[]): number {
  const lastMs = requests.reduce((most, { endMs }) => Math.max(most, endMs || 0), 0);
  return requests.length === 0 ? 0 : (lastMs - firstSentMs(requests)) / 1000;
}

function sendingSeconds(requests: readonly GatheredRequest[]): number {
  const lastMs = requests.reduce((most, { sentMs }) => Math.max(most, sentMs), 0);
  return requests.length === 0 ? 0 : (lastMs - firstSentMs(requests)) / 1000;
}

function promptTokens(requests: readonly GatheredRequest[]) {
  const total = sumOf(requests.map((one) => one.promptTokens));
  const cached = sumOf(requests.map((one) => one.more?.["cached_tokens"]));
  return {
    total,
    cached,
    uncached: Math.max(0, total - cached),
    ...figuresOf(requests.map((one) => one.promptTokens)),
  };
}

/** Of the successes; what one of them has no value of, it misses. */
function goodput(good: readonly GatheredRequest[], slo: Slo) {
  const limits: readonly (readonly [
    string,
    number | undefined,
    (one: GatheredRequest) => number | undefined,
  ])[] = [
    ["ttft", slo.ttft, (one) => one.ttftMs],
    ["tpot", slo.tpot, (one) => one.tpotMs],
    ["itl", slo.itl, (one) => samplesOf(one.itlMs ?? [])?.mean],
    ["request_latency", slo.e2e, (one) => one.e2eMs],
  ];
  const set = limits.flatMap(([name, most, read]) =>
    most === undefined
      ? []
      : [[name, (one: GatheredRequest) => (read(one) ?? Infinity) <= most]] as const
  );
  const kept = good.filter((one) => set.every(([, keeps]) => keeps(one)));
  const seconds = secondsOf(good);
  const tokens = sumOf(kept.flatMap((one) => [one.promptTokens, one.outputTokens]));
  return {
    goodput_percentage: (100 * kept.length) / good.length,
    request_goodput: seconds > 0 ? kept.length / seconds : 0,
    token_goodput: seconds > 0 ? tokens / seconds : 0,
    good_requests: kept.length,
    total_requests: good.length,
    ...Object.fromEntries(
      set.map(([name, keeps]) => [
        `${name}_attainment_percentage`,
        (100 * good.filter(keeps).length) / good.length,
      ]),
    ),
  };
}

/** What its labels call a status. */
const STATUS_LABELS: Readonly<Record<number, string>> = {
  429: "Rate Limit",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

function labelOf({ status, phase, failure, outcome }: GatheredRequest): string {
  if (status !== 0 && status !== 200) return `${status} - ${STATUS_LABELS[status] ?? "other"}`;
  if (phase === "dns" || phase === "connect" || phase === "tls") return "Connection Error";
  return failure || outcome;
}

/** "504 - Gateway Timeout" → how many, and their messages. */
function byLabel(failures: readonly GatheredRequest[]) {
  const labels: Record<string, { count: number; messages: { message: string }[] }> = {};
  for (const one of failures) {
    const known = labels[labelOf(one)] ??= { count: 0, messages: [] };
    known.count++;
    if (one.failure !== "" && !known.messages.some(({ message }) => message === one.failure)) {
      known.messages.push({ message: one.failure });
    }
  }
  return labels;
}
