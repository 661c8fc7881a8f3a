/**
 * AIPerf's `profile_export_aiperf.json`.
 *
 * @module
 */

import { percentileOf, type Samples, samplesOf } from "../../metrics/statistics.ts";
import type { Slo } from "../../slo.ts";
import type { GatheredRequest } from "../../metrics/gathered.ts";
import { firstSentMs, successes, sumOf, type ToolReport, type ToolRun } from "./tool.ts";

const SHARES = [1, 5, 10, 25, 50, 75, 90, 95, 99] as const;
/** What a request is told that its client ended. */
const CANCELLED = { code: 499, type: "RequestCancellationError", message: "" } as const;

/** A metric of requests. */
type Metric = readonly [title: string, tag: string, unit: string, samples: Samples | undefined];
/** A metric of the run. */
type Total = readonly [title: string, tag: string, unit: string, value: number];

/** The report. */
export function aiperfReport(run: ToolRun): ToolReport {
  const good = successes(run);
  const all = run.gathered.requests;
  const lastMs = good.reduce((most, one) => Math.max(most, one.sentMs + (one.e2eMs ?? 0)), 0);
  const seconds = good.length === 0 ? 0 : (lastMs - firstSentMs(all)) / 1000;
  const tokens = sumOf(good.map((one) => one.outputTokens));
  const prompts = sumOf(good.map((one) => one.promptTokens));
  const more = (name: string) => samplesOf(good.map((one) => one.more?.[name]));
  const metrics: readonly Metric[] = [
    ["Time to First Token", "time_to_first_token", "ms", samplesOf(good.map((one) => one.ttftMs))],
    ["Time to Second Token", "time_to_second_token", "ms", more("time_to_second_token")],
    [
      "Time to First Output Token",
      "time_to_first_output_token",
      "ms",
      more("time_to_first_output_token"),
    ],
    ["Request Latency", "request_latency", "ms", samplesOf(good.map((one) => one.e2eMs))],
    [
      "Inter Token Latency",
      "inter_token_latency",
      "ms",
      samplesOf(good.flatMap((one) => one.itlMs ?? [])),
    ],
    ["Inter Chunk Latency", "inter_chunk_latency", "ms", samplesOf(run.gathered.interChunkMs)],
    [
      "Output Token Throughput Per User",
      "output_token_throughput_per_user",
      "tokens/sec/user",
      more("output_token_throughput_per_user"),
    ],
    [
      "E2E Output Token Throughput",
      "e2e_output_token_throughput",
      "tokens/sec/user",
      more("e2e_output_token_throughput"),
    ],
    [
      "Output Sequence Length",
      "output_sequence_length",
      "tokens",
      samplesOf(good.map((one) => one.outputTokens)),
    ],
    [
      "Input Sequence Length",
      "input_sequence_length",
      "tokens",
      samplesOf(good.map((one) => one.promptTokens)),
    ],
    ["Output Token Count", "output_token_count", "tokens", more("output_token_count")],
    ["Reasoning Token Count", "reasoning_token_count", "tokens", more("reasoning_token_count")],
  ];
  const errors = all.filter(({ isSuccess }) => !isSuccess);
  const { slo } = run;
  const kept = slo === undefined ? [] : good.filter((one) => holds(one, slo));
  const rates: readonly Total[] = seconds > 0
    ? [
      ["Output Token Throughput", "output_token_throughput", "tokens/sec", tokens / seconds],
      [
        "Total Token Throughput",
        "total_token_throughput",
        "tokens/sec",
        (prompts + tokens) / seconds,
      ],
      ["Request Throughput", "request_throughput", "requests/sec", good.length / seconds],
      ...(slo === undefined
        ? []
        : [["Goodput", "goodput", "requests/sec", kept.length / seconds] as const]),
      ["Benchmark Duration", "benchmark_duration", "sec", seconds],
    ]
    : [];
  const totals: readonly Total[] = [
    ...rates,
    ["Request Count", "request_count", "requests", good.length],
    ["Error Request Count", "error_request_count", "requests", errors.length],
    ["Total Input Sequence Length", "total_isl", "tokens", prompts],
    ["Total Output Sequence Length", "total_osl", "tokens", tokens],
    ...(slo === undefined || all.length === 0 ? [] : [
      ["Good Request Count", "good_request_count", "requests", kept.length] as const,
      [
        "Good Request Fraction",
        "good_request_fraction",
        "ratio",
        kept.length / all.length,
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
      metrics.flatMap(([, tag, unit, samples]) =>
        samples === undefined ? [] : [[tag, { unit, ...figures(samples) }]]
      ),
    ),
    ...Object.fromEntries(totals.map(([, tag, unit, avg]) => [tag, { unit, avg }])),
    // Sums that its table does not show.
    ...Object.fromEntries(
      (["output", "reasoning"] as const).flatMap((kind) => {
        const samples = more(`${kind}_token_count`);
        return samples === undefined
          ? []
          : [[`total_${kind}_tokens`, { unit: "tokens", avg: samples.sum }]];
      }),
    ),
  };
  return { json, lines: linesOf(metrics, totals) };
}

const COLUMNS = ["avg", "min", "max", "p99", "p90", "p50", "std"] as const;
const TITLE = "NVIDIA AIPerf | LLM Metrics";

function linesOf(metrics: readonly Metric[], totals: readonly Total[]): readonly string[] {
  const number = (value: number) =>
    value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const rows = [
    ...metrics.flatMap(([title, , unit, samples]) => {
      if (samples === undefined) return [];
      const found = figures(samples) as Readonly<Record<string, number>>;
      return [[`${title} (${unit})`, ...COLUMNS.map((column) => number(found[column]!))]];
    }),
    ...totals.map(([title, , unit, value]) => [
      `${title} (${unit})`,
      number(value),
      ...COLUMNS.slice(1).map(() => "N/A"),
    ]),
  ];
  const heads = ["Metric", ...COLUMNS];
  const widths = heads.map((head, i) =>
    Math.max(head.length, ...rows.map((row) => row[i]!.length))
  );
  const line = (cells: readonly string[], mark: string) =>
    `${mark}${cells.map((cell, i) => ` ${cell.padStart(widths[i]!)} `).join(mark)}${mark}`;
  const rule = ([left, fill, middle, right]: readonly [string, string, string, string]) =>
    `${left}${widths.map((width) => fill.repeat(width + 2)).join(middle)}${right}`;
  const top = rule(["┏", "━", "┳", "┓"]);
  return [
    `${" ".repeat(Math.floor((top.length - TITLE.length) / 2))}${TITLE}`,
    top,
    line(heads, "┃"),
    rule(["┡", "━", "╇", "┩"]),
    ...rows.map((row) => line(row, "│")),
    rule(["└", "─", "┴", "┘"]),
  ];
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
