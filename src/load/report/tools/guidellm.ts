/**
 * GuideLLM's `benchmarks.json`: every statistic for successful, incomplete and errored requests, and
 * for all of them.
 *
 * @module
 */

import type { GatheredRequest } from "../../metrics/gathered.ts";
import { modeOf, percentileOf, samplesOf } from "../../metrics/statistics.ts";
import { type ToolReport, type ToolRun } from "./tool.ts";

const SHARES = {
  p001: 0.1,
  p01: 1,
  p05: 5,
  p10: 10,
  p25: 25,
  p50: 50,
  p75: 75,
  p90: 90,
  p95: 95,
  p99: 99,
  p999: 99.9,
} as const;

type Group = "successful" | "incomplete" | "errored" | "total";
type Read = (one: GatheredRequest) => readonly (number | undefined)[];

const METRICS: readonly (readonly [name: string, read: Read])[] = [
  ["request_latency", (one) => [one.e2eMs === undefined ? undefined : one.e2eMs / 1000]],
  ["prompt_token_count", (one) => [one.promptTokens]],
  ["output_token_count", (one) => [one.outputTokens]],
  ["time_to_first_token_ms", (one) => [one.ttftMs]],
  ["time_to_first_output_token_ms", (one) => [one.more?.["time_to_first_output_token_ms"]]],
  ["time_per_output_token_ms", (one) => [one.tpotMs]],
  ["inter_token_latency_ms", (one) => one.itlMs ?? []],
  [
    "output_tokens_per_second",
    (one) => [
      one.e2eMs === undefined || one.outputTokens === undefined || one.e2eMs === 0
        ? undefined
        : (1000 * one.outputTokens) / one.e2eMs,
    ],
  ],
];

/** The report. */
export function guidellmReport(run: ToolRun): ToolReport {
  const { requests } = run.gathered;
  const groups: Readonly<Record<Group, readonly GatheredRequest[]>> = {
    successful: requests.filter((one) => one.outcome === "completed" && one.isSuccess),
    incomplete: requests.filter(({ outcome }) => outcome === "unfinished" || outcome === "left"),
    errored: requests.filter((one) =>
      one.outcome === "failed" || (one.outcome === "completed" && !one.isSuccess)
    ),
    total: requests,
  };
  const byGroup = <T>(make: (group: readonly GatheredRequest[]) => T) =>
    Object.fromEntries(Object.entries(groups).map(([name, group]) => [name, make(group)]));
  const metrics = {
    request_totals: byGroup((group) => group.length),
    ...Object.fromEntries(METRICS.map(([name, read]) => [
      name,
      byGroup((group) => summaryOf(group.flatMap(read))),
    ])),
  };
  const perSecond = byGroup((group) => run.seconds > 0 ? group.length / run.seconds : null);
  const json = {
    benchmarks: [{
      type_: "generative_benchmark",
      start_time: run.startedAt.getTime() / 1000,
      end_time: run.startedAt.getTime() / 1000 + run.seconds,
      duration: run.seconds,
      config: {
        backend: { target: run.url, model: run.model },
        strategy: run.ratePerSecond === undefined
          ? { type_: "concurrent", streams: run.concurrency }
          : {
            type_: run.burstiness === Infinity ? "constant" : "poisson",
            rate: run.ratePerSecond,
          },
      },
      metrics: { ...metrics, requests_per_second: perSecond },
    }],
  };
  const rows = METRICS.flatMap(([name, read]) => {
    const samples = samplesOf(groups.successful.flatMap(read));
    if (samples === undefined) return [];
    const cells = [50, 95].map((share) => percentileOf(samples, share).toFixed(2).padStart(12));
    return [`${name.padEnd(34)}${cells.join("")}`];
  });
  const { successful, incomplete, errored, total } = groups;
  const lines = [
    `Requests: ${successful.length} successful, ${incomplete.length} incomplete, ` +
    `${errored.length} errored, ${total.length} in all`,
    `${"".padEnd(34)}${["Mdn", "p95"].map((name) => name.padStart(12)).join("")}`,
    ...rows,
  ];
  return { json, lines };
}

function summaryOf(values: readonly (number | undefined)[]) {
  const samples = samplesOf(values);
  if (samples === undefined) return null;
  return {
    mean: samples.mean,
    median: percentileOf(samples, 50),
    mode: modeOf(samples),
    variance: samples.std ** 2,
    std_dev: samples.std,
    min: samples.min,
    max: samples.max,
    count: samples.count,
    total_sum: samples.sum,
    percentiles: Object.fromEntries(
      Object.entries(SHARES).map(([name, share]) => [name, percentileOf(samples, share)]),
    ),
  };
}
