import { describe, expect, test } from "bun:test";
import { Gathered } from "../../../src/load/metrics/gathered.ts";
import { modeOf, percentileOf, samplesOf } from "../../../src/load/metrics/statistics.ts";
import { KIND } from "../../../src/load/record.ts";
import {
  concurrencyOf,
  distributionOf,
  rateOf,
} from "../../../src/load/report/tools/guidellm_distribution.ts";
import type { ToolRun } from "../../../src/load/report/tools/tool.ts";
import { type ToolName, TOOLS } from "../../../src/load/report/tools/tools.ts";
import { recorded } from "../recorded.ts";

const { choice, role, text, finish, usage, done } = KIND;

/** The worked stream, sent at 0, and again a second later, and a request that was refused. */
const RECORDS = [0, 1000].map((startMs) =>
  recorded([
    [startMs + 100, choice | role],
    [startMs + 300, choice | text, "one"],
    [startMs + 320, choice | text, " two"],
    [startMs + 340, choice | text, " three four"],
    [startMs + 341, choice | finish],
    [startMs + 341.5, usage],
    [startMs + 342, done],
  ], { dueMs: startMs, usage: { promptTokens: 5, completionTokens: 4 } })
);
const REFUSED = recorded([], { dueMs: 500, endMs: 501, status: 503, outcome: "failed" });
REFUSED.failure = { phase: "head", status: 503, text: "full" };

function runOf(name: ToolName, records: readonly ReturnType<typeof recorded>[]): ToolRun {
  const words = (said: string) => said.split(" ").filter((word) => word !== "").length;
  const gathered = new Gathered(TOOLS[name].read, words);
  for (const record of records) gathered.observe(record);
  return {
    gathered,
    model: "m",
    url: "http://a/",
    seconds: 2,
    ratePerSecond: 1,
    burstiness: 1,
    concurrency: undefined,
    slo: { ttft: 250 },
    startedAt: new Date(0),
    isInterrupted: false,
  };
}

/** tool → path in its JSON → value */
const FIELDS: Readonly<Record<ToolName, readonly (readonly [string, unknown])[]>> = {
  vllm: [
    ["date", "19700101-000000"],
    ["num_prompts", 3],
    ["completed", 2],
    ["failed", 1],
    ["request_rate", 1],
    ["total_output_tokens", 8],
    ["output_throughput", 4],
    ["request_goodput", 1],
    ["mean_ttft_ms", 100],
    ["median_tpot_ms", 241 / 3],
    ["p99_e2el_ms", 341],
    ["mean_client_queue_time_ms", 0],
    ["mean_itl_ms", 241 / 4],
    ["max_output_tokens_per_s", 5],
    ["max_concurrent_requests", 1],
  ],
  sglang: [
    ["completed", 2],
    ["total_output_tokens", 8],
    ["total_output_tokens_retokenized", 8],
    ["mean_ttft_ms", 300],
    ["mean_tpot_ms", 14],
    ["p95_itl_ms", 20],
    ["max_output_tokens_per_s", 3],
    ["max_concurrent_requests", 1],
    ["mean_e2e_latency_ms", 342],
  ],
  aiperf: [
    ["request_count.avg", 2],
    ["error_request_count.avg", 1],
    ["error_summary.0.error_details.code", 503],
    ["time_to_first_token.p99", 300],
    ["request_latency.avg", 340],
    ["inter_token_latency.avg", 40 / 3],
    ["inter_chunk_latency.count", 4],
    ["good_request_fraction.avg", 0],
    ["output_sequence_length.sum", 8],
    ["good_request_count.avg", 0],
    ["total_osl.avg", 8],
  ],
  guidellm: [
    ["benchmarks.0.metrics.request_totals.successful", 2],
    ["benchmarks.0.metrics.request_totals.errored", 1],
    ["benchmarks.0.metrics.time_per_output_token_ms.successful.mean", 85],
    ["benchmarks.0.metrics.time_per_output_token_ms.successful.count", 8],
    ["benchmarks.0.metrics.inter_token_latency_ms.successful.median", 40 / 3],
    ["benchmarks.0.metrics.inter_token_latency_ms.successful.count", 6],
    ["benchmarks.0.metrics.request_latency.successful.max", 0.342],
    ["benchmarks.0.metrics.request_latency.errored.count", 0],
    ["benchmarks.0.metrics.request_concurrency.total.max", 1],
    ["benchmarks.0.metrics.output_tokens_per_second.successful.count", 8],
  ],
  "inference-perf": [
    ["load_summary.count", 3],
    ["benchmark_time_seconds", 1.342],
    ["load_summary.achieved_rate", 3],
    ["successes.count", 2],
    ["successes.latency.time_to_first_token.mean", 0.3],
    ["successes.latency.normalized_time_per_output_token.mean", 0.342 / 4],
    ["successes.latency.inter_token_latency.min", 0],
    ["successes.output_tokens.total", 8],
    ["successes.goodput_metrics.good_requests", 0],
    ["failures.by_label.503 - Service Unavailable.messages.0.message", "full"],
  ],
  llmperf: [
    ["results_num_requests_started", 3],
    ["results_number_errors", 1],
    ["results_error_code_frequency", "{503.0: 1}"],
    ["results_inter_token_latency_s_mean", 0.068],
    ["results_ttft_s_quantiles_p50", 0.3],
    ["results_end_to_end_latency_s_max", 0.342],
  ],
};

function at(json: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>(
    (value, key) => (value as Readonly<Record<string, unknown>> | null)?.[key],
    json,
  );
}

describe("reports of tools", () => {
  for (const [name, fields] of Object.entries(FIELDS) as [ToolName, typeof FIELDS[ToolName]][]) {
    test(`${name} has its fields by its definitions`, () => {
      const { json, lines } = TOOLS[name].report(runOf(name, [...RECORDS, REFUSED]));
      for (const [path, value] of fields) {
        const found = at(json, path);
        if (typeof value === "number") expect(found, path).toBeCloseTo(value, 9);
        else expect(found, path).toBe(value as string);
      }
      expect(lines.join("\n")).not.toMatch(/NaN|undefined|Infinity/);
    });

    test(`${name} has nothing of a request that never went out`, () => {
      const never = recorded([], { sentMs: NaN, endMs: 2000, status: 0, outcome: "unfinished" });
      const { json } = TOOLS[name].report(runOf(name, [...RECORDS, REFUSED, never]));
      expect(json).toEqual(TOOLS[name].report(runOf(name, [...RECORDS, REFUSED])).json);
    });

    test(`${name} has no rate of a run that was ended before anything was measured`, () => {
      const { lines } = TOOLS[name].report({ ...runOf(name, []), seconds: 0 });
      expect(lines.join("\n")).not.toMatch(/NaN|undefined|Infinity/);
    });

    test(`${name} says nothing of times where nothing was completed`, () => {
      const { json, lines } = TOOLS[name].report(runOf(name, [REFUSED]));
      expect(JSON.stringify(json)).not.toMatch(/"(?:mean_|results_)?ttft[^"]*":0/);
      expect(lines.join("\n")).not.toMatch(/NaN|undefined|Infinity/);
    });
  }
});

describe("rounds", () => {
  test("follow each other: what ran in one was not under way in the other", () => {
    const gathered = new Gathered(TOOLS.vllm.read, () => 1);
    for (let round = 0; round < 2; round++) {
      gathered.nextRound();
      gathered.observe(RECORDS[0]!);
    }
    const { json } = TOOLS.vllm.report({ ...runOf("vllm", []), gathered });
    expect(json).toMatchObject({ completed: 2, max_concurrent_requests: 1 });
    expect(gathered.requests.map(({ sentMs }) => sentMs)).toEqual([0, 342]);
  });
});

describe("GuideLLM's distributions", () => {
  test("several stages are benchmarks of one file", () => {
    const { report, together } = TOOLS.guidellm;
    const { json } = report(runOf("guidellm", RECORDS));
    const both = together([json, json])["benchmarks"] as readonly object[];
    expect(both.map((one) => Object.keys(one).includes("metrics"))).toEqual([true, true]);
  });

  test("a percentile is a value, and values have weights", () => {
    const { mean, median, percentiles, count } = distributionOf([[10, 1], [20, 3], [40, 1]]);
    expect([mean, median, percentiles["p75"], percentiles["p90"], count]).toEqual([
      22,
      20,
      20,
      40,
      5,
    ]);
  });

  test("rates are weighed by how long they were held, and of what is at once there is one", () => {
    const { mean, count } = rateOf([[1, 1], [1.00005, 1], [2, 1], [3, 1]]);
    expect(count).toBe(4);
    expect(mean).toBeCloseTo(4 / 2, 12);
  });

  test("how many were under way, by how long", () => {
    const { mean, max, count } = concurrencyOf([[0, 4], [1, 3]], { from: 0, to: 4 });
    expect([mean, max, count]).toEqual([1.5, 2, 2]);
  });

  test("of nothing it is zeros, and its count says so", () => {
    expect(distributionOf([])).toMatchObject({ count: 0, mean: 0, percentiles: { p50: 0 } });
  });
});

describe("statistics", () => {
  test("are numpy's", () => {
    const samples = samplesOf([4, undefined, 1, 3, 2])!;
    expect(samples).toMatchObject({ count: 4, sum: 10, mean: 2.5, min: 1, max: 4 });
    expect(samples.std).toBeCloseTo(Math.sqrt(1.25), 12);
    expect([0, 25, 50, 99, 100].map((share) => percentileOf(samples, share))).toEqual([
      1,
      1.75,
      2.5,
      3.9699999999999998,
      4,
    ]);
    expect(modeOf(samplesOf([3, 1, 3, 2])!)).toBe(3);
    expect(samplesOf([undefined])).toBeUndefined();
  });
});
