/**
 * AIPerf's `profile_export_aiperf.json`.
 *
 * @module
 */

import { percentileOf, type Samples, samplesOf } from "../../metrics/statistics.ts";
import type { Slo } from "../../slo.ts";
import type { GatheredRequest } from "../../metrics/gathered.ts";
import { successes, sumOf, type ToolReport, type ToolRun } from "./tool.ts";

const SHARES = [1, 5, 10, 25, 50, 75, 90, 95, 99] as const;
/** What a request is told that its client ended. */
const CANCELLED = { code: 499, type: "RequestCancellationError", message: "" } as const;

/** The report. */
export function aiperfReport(run: ToolRun): ToolReport {
  const good = successes(run);
  const all = run.gathered.requests;
  const lastMs = Math.max(...good.map((one) => one.sentMs + (one.e2eMs ?? 0)));
  const firstMs = Math.min(...all.map((one) => one.sentMs));
  const seconds = (lastMs - firstMs) / 1000;
  const tokens = sumOf(good.map((one) => one.outputTokens));
  const more = (name: string) => samplesOf(good.map((one) => one.more?.[name]));
  const metrics: readonly (readonly [string, string, Samples | undefined])[] = [
    ["time_to_first_token", "ms", samplesOf(good.map((one) => one.ttftMs))],
    ["time_to_second_token", "ms", more("time_to_second_token")],
    ["time_to_first_output_token", "ms", more("time_to_first_output_token")],
    ["request_latency", "ms", samplesOf(good.map((one) => one.e2eMs))],
    ["inter_token_latency", "ms", samplesOf(good.flatMap((one) => one.itlMs ?? []))],
    ["inter_chunk_latency", "ms", samplesOf(run.gathered.interChunkMs)],
    [
      "output_token_throughput_per_user",
      "tokens/sec/user",
      more("output_token_throughput_per_user"),
    ],
    ["e2e_output_token_throughput", "tokens/sec", more("e2e_output_token_throughput")],
    ["output_sequence_length", "tokens", samplesOf(good.map((one) => one.outputTokens))],
    ["input_sequence_length", "tokens", samplesOf(good.map((one) => one.promptTokens))],
  ];
  const errors = all.filter(({ isSuccess }) => !isSuccess);
  const totals: readonly (readonly [string, string, number])[] = [
    ["request_count", "requests", good.length],
    ["error_request_count", "requests", errors.length],
    ...(seconds > 0
      ? [
        ["request_throughput", "requests/sec", good.length / seconds],
        ["output_token_throughput", "tokens/sec", tokens / seconds],
        ["benchmark_duration", "sec", seconds],
      ] as const
      : []),
    ...(run.slo === undefined || all.length === 0 ? [] : [
      [
        "good_request_fraction",
        "ratio",
        good.filter((one) => holds(one, run.slo!)).length / all.length,
      ] as const,
    ]),
  ];
  const endedAt = new Date(run.startedAt.getTime() + 1000 * run.seconds);
  const json = {
    schema_version: "1.5",
    start_time: run.startedAt.toISOString(),
    end_time: endedAt.toISOString(),
    was_cancelled: run.isInterrupted,
    input_config: {
      endpoint: { url: run.url, model_names: [run.model] },
      loadgen: { concurrency: run.concurrency ?? null, request_rate: run.ratePerSecond ?? null },
    },
    error_summary: summaryOf(errors),
    ...Object.fromEntries(
      metrics.flatMap(([name, unit, samples]) =>
        samples === undefined ? [] : [[name, { unit, ...figures(samples) }]]
      ),
    ),
    ...Object.fromEntries(totals.map(([name, unit, avg]) => [name, { unit, avg }])),
  };
  const columns = ["avg", "min", "max", "p99", "p90", "p50", "std"] as const;
  const lines = [
    `${"Metric".padEnd(34)}${columns.map((name) => name.padStart(10)).join("")}`,
    ...metrics.flatMap(([name, unit, samples]) => {
      if (samples === undefined) return [];
      const found = figures(samples) as Readonly<Record<string, number>>;
      const cells = columns.map((column) => found[column]!.toFixed(2).padStart(10));
      return [`${`${name} (${unit})`.padEnd(48)}${cells.join("")}`];
    }),
    ...totals.map(([name, unit, value]) =>
      `${`${name} (${unit})`.padEnd(48)}${value.toFixed(2).padStart(10)}`
    ),
  ];
  return { json, lines };
}

function figures(samples: Samples) {
  return {
    avg: samples.mean,
    min: samples.min,
    max: samples.max,
    ...Object.fromEntries(SHARES.map((share) => [`p${share}`, percentileOf(samples, share)])),
    std: samples.std,
    count: samples.count,
    sum: samples.sum,
  };
}

function summaryOf(errors: readonly GatheredRequest[]) {
  const found = new Map<string, { error_details: unknown; count: number }>();
  for (const { outcome, status, failure } of errors) {
    const details = outcome === "failed"
      ? { code: status === 0 ? null : status, type: "RequestError", message: failure }
      : CANCELLED;
    const key = JSON.stringify(details);
    const known = found.get(key);
    if (known === undefined) found.set(key, { error_details: details, count: 1 });
    else known.count++;
  }
  return [...found.values()];
}

function holds(one: GatheredRequest, { ttft, itl, tpot, e2e }: Slo): boolean {
  const within = (value: number | undefined, most: number | undefined) =>
    value === undefined || most === undefined || value <= most;
  return within(one.ttftMs, ttft) && within(one.itlMs?.[0], itl ?? tpot) && within(one.e2eMs, e2e);
}
