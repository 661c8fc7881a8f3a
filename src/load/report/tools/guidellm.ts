/**
 * GuideLLM's `benchmarks.json`: every statistic for successful, incomplete and errored requests, and
 * for all of them.
 *
 * @module
 */

import type { GatheredRequest } from "../../metrics/gathered.ts";
import {
  concurrencyOf,
  type Distribution,
  distributionOf,
  rateOf,
  type Weighted,
} from "./guidellm_distribution.ts";
import { firstSentMs, type ToolJson, type ToolReport, type ToolRun } from "./tool.ts";

const GROUPS = ["successful", "incomplete", "errored", "total"] as const;
type Group = typeof GROUPS[number];
type ByGroup<T> = Readonly<Record<Group, T>>;
/** A metric's values of one request, and what they weigh. */
type Read = (one: GatheredRequest) => readonly Weighted[];

const one = (value: number | undefined, weight = 1): readonly Weighted[] =>
  value === undefined ? [] : [[value, weight]];

/** Those that are values of requests. Where a request has none, there is none. */
const METRICS: Readonly<Record<string, Read>> = {
  request_latency: ({ e2eMs }) => one(e2eMs === undefined ? undefined : e2eMs / 1000),
  request_streaming_iterations_count: ({ more }) => one(more?.["request_iterations"]),
  prompt_token_count: ({ promptTokens }) => one(promptTokens),
  output_token_count: ({ outputTokens }) => one(outputTokens),
  total_token_count: (request) => one(totalTokens(request)),
  time_to_first_token_ms: ({ ttftMs }) => one(ttftMs),
  time_to_first_output_token_ms: ({ more }) => one(more?.["time_to_first_output_token_ms"]),
  // A mean per token counts as often as there are tokens.
  time_per_output_token_ms: ({ tpotMs, outputTokens = 0 }) => one(tpotMs, outputTokens),
  inter_token_latency_ms: ({ itlMs, outputTokens = 1 }) => one(itlMs?.[0], outputTokens - 1),
  output_tokens_per_iteration: (request) =>
    outputMoments(request).map(([, tokens]): Weighted => [tokens, 1]),
  iter_tokens_per_iteration: (request) =>
    laterMoments(request).map(([, tokens]): Weighted => [tokens, 1]),
};

/** Those that are rates over time: of moments and how many tokens each had. */
const RATES: Readonly<Record<string, Read>> = {
  prompt_tokens_per_second: promptMoment,
  output_tokens_per_second: outputMoments,
  tokens_per_second: (request) => [...promptMoment(request), ...outputMoments(request)],
};

/** The report. */
export function guidellmReport(run: ToolRun): ToolReport {
  const { requests } = run.gathered;
  const groups: ByGroup<readonly GatheredRequest[]> = {
    successful: requests.filter(({ isSuccess }) => isSuccess),
    incomplete: requests.filter((one) => !one.isSuccess && isIncomplete(one)),
    errored: requests.filter((one) => !one.isSuccess && !isIncomplete(one)),
    total: requests,
  };
  const byGroup = <T>(make: (group: readonly GatheredRequest[]) => T): ByGroup<T> => ({
    successful: make(groups.successful),
    incomplete: make(groups.incomplete),
    errored: make(groups.errored),
    total: make(groups.total),
  });
  const from = requests.length === 0 ? 0 : firstSentMs(requests) / 1000;
  const to = requests.reduce((most, { endMs }) => Math.max(most, (endMs || 0) / 1000), from);
  const window = { from, to };
  const valued = (read: Read) => byGroup((group) => distributionOf(group.flatMap(read)));
  const metrics = {
    request_totals: byGroup((group) => group.length),
    requests_per_second: byGroup((group) =>
      rateOf(group.map(({ endMs }): Weighted => [endMs / 1000, 1]), window)
    ),
    request_concurrency: byGroup((group) =>
      concurrencyOf(group.map(({ sentMs, endMs }) => [sentMs / 1000, endMs / 1000]), window)
    ),
    ...mapped(METRICS, valued),
    ...mapped(RATES, (read) => byGroup((group) => rateOf(group.flatMap(read)))),
    text: { tokens: null, words: null, characters: null },
    image: { tokens: null, images: null, pixels: null, bytes: null },
    video: { tokens: null, frames: null, seconds: null, bytes: null },
    audio: { tokens: null, samples: null, seconds: null, bytes: null },
    tool_call: { tokens: null, mixed_tokens: null, count: null },
  };
  const startSeconds = run.startedAt.getTime() / 1000;
  const json = {
    benchmarks: [{
      type_: "generative_benchmark",
      start_time: startSeconds + from,
      end_time: startSeconds + to,
      duration: to - from,
      config: {
        backend: { target: run.url, model: run.model },
        strategy: strategyOf(run),
      },
      metrics,
    }],
  };
  return { json, lines: linesOf(run, groups, metrics) };
}

/** Its file has a benchmark for each rate or number of streams. */
export function guidellmTogether(stages: readonly ToolJson[]): ToolJson {
  return { benchmarks: stages.flatMap(({ benchmarks }) => benchmarks) };
}

function mapped<T>(reads: Readonly<Record<string, Read>>, make: (read: Read) => T) {
  return Object.fromEntries(Object.entries(reads).map(([name, read]) => [name, make(read)]));
}

function isIncomplete({ outcome }: GatheredRequest): boolean {
  return outcome === "unfinished" || outcome === "left";
}

function strategyOf({ ratePerSecond, concurrency, burstiness }: ToolRun) {
  if (ratePerSecond === undefined) return { type_: "concurrent", streams: concurrency };
  return { type_: burstiness === Infinity ? "constant" : "poisson", rate: ratePerSecond };
}

function totalTokens({ promptTokens, outputTokens }: GatheredRequest): number | undefined {
  return promptTokens === undefined && outputTokens === undefined
    ? undefined
    : (promptTokens ?? 0) + (outputTokens ?? 0);
}

/** The prompt is taken in when its first token is there, else at the end. Seconds. */
function promptMoment({ sentMs, endMs, ttftMs, promptTokens = 0 }: GatheredRequest) {
  return one(promptTokens).map(([tokens]): Weighted => [
    (ttftMs === undefined ? endMs : sentMs + ttftMs) / 1000,
    tokens,
  ]);
}

/** The first token, and what is left of them evenly over the iterations behind it. */
function outputMoments(request: GatheredRequest): readonly Weighted[] {
  const { sentMs, endMs, ttftMs, outputTokens, more } = request;
  const lastMs = more?.["last_token_ms"];
  if (ttftMs === undefined || lastMs === undefined || (more?.["token_iterations"] ?? 0) <= 1) {
    return [[(lastMs === undefined ? endMs : sentMs + lastMs) / 1000, outputTokens ?? 0]];
  }
  return [[(sentMs + ttftMs) / 1000, outputTokens ? 1 : 0], ...laterMoments(request)];
}

function laterMoments({ sentMs, ttftMs, outputTokens = 0, more }: GatheredRequest) {
  const iterations = more?.["token_iterations"] ?? 0;
  const lastMs = more?.["last_token_ms"];
  if (ttftMs === undefined || lastMs === undefined || outputTokens <= 1 || iterations <= 1) {
    return [];
  }
  const [gaps, tokens] = [iterations - 1, (outputTokens - 1) / (iterations - 1)];
  return Array.from({ length: gaps }, (_, i): Weighted => [
    (sentMs + ttftMs + ((lastMs - ttftMs) * (i + 1)) / gaps) / 1000,
    tokens,
  ]);
}

type Statistic = "mean" | "median" | "p95";
type Column = readonly [group: string, unit: string, metric: string];

/** Title → which requests, which statistics of each metric, and the metrics. */
const TABLES: readonly (readonly [
  title: string,
  group: Group,
  statistics: readonly Statistic[],
  columns: readonly Column[],
])[] = [
  ["Request Latency Statistics (Completed Requests)", "successful", ["median", "p95"], [
    ["Request Latency", "Sec", "request_latency"],
    ["TTFT", "ms", "time_to_first_token_ms"],
    ["ITL", "ms", "inter_token_latency_ms"],
    ["TPOT", "ms", "time_per_output_token_ms"],
  ]],
  ["Request Token Statistics (Completed Requests)", "successful", ["median", "p95"], [
    ["Input Tok", "Per Req", "prompt_token_count"],
    ["Output Tok", "Per Req", "output_token_count"],
    ["Total Tok", "Per Req", "total_token_count"],
    ["Stream Iter", "Per Req", "request_streaming_iterations_count"],
    ["Output Tok", "Per Stream Iter", "output_tokens_per_iteration"],
  ]],
  ["Server Throughput Statistics (All Requests)", "total", ["median", "mean"], [
    ["Requests", "Concurrency", "request_concurrency"],
    ["Requests", "Per Sec", "requests_per_second"],
    ["Input Tokens", "Per Sec", "prompt_tokens_per_second"],
    ["Output Tokens", "Per Sec", "output_tokens_per_second"],
    ["Total Tokens", "Per Sec", "tokens_per_second"],
  ]],
];

const STATISTICS: Readonly<Record<Statistic, readonly [string, (from: Distribution) => number]>> = {
  mean: ["Mean", ({ mean }) => mean],
  median: ["Mdn", ({ median }) => median],
  p95: ["p95", ({ percentiles }) => percentiles["p95"]!],
};

function linesOf(
  run: ToolRun,
  groups: ByGroup<readonly GatheredRequest[]>,
  metrics: Readonly<Record<string, unknown>>,
): readonly string[] {
  const { successful, incomplete, errored } = groups;
  const found = metrics as Readonly<Record<string, ByGroup<Distribution>>>;
  const strategy = strategyOf(run).type_;
  return [
    `Requests: ${successful.length} completed, ${incomplete.length} incomplete, ` +
    `${errored.length} errored`,
    ...TABLES.flatMap(([title, group, statistics, columns]) => {
      const cellsOf = ([, , metric]: Column) =>
        statistics.map((name) => {
          const distribution = found[metric]![group];
          const [, read] = STATISTICS[name];
          return distribution.count === 0 ? "-" : read(distribution).toFixed(1);
        });
      const heads = statistics.map((name) => STATISTICS[name][0]);
      return ["", title, ...tableOf(strategy, heads, columns, columns.map(cellsOf))];
    }),
  ];
}

/** A table whose columns are pairs, each pair under a name and a unit. */
function tableOf(
  strategy: string,
  heads: readonly string[],
  columns: readonly Column[],
  cells: readonly (readonly string[])[],
): readonly string[] {
  const first = Math.max("Benchmark".length, strategy.length);
  const widths = columns.map(([group, unit], i) => {
    const [a, b] = cells[i]!.map((cell, at) => Math.max(cell.length, heads[at]!.length));
    return [a!, Math.max(b!, Math.max(group.length, unit.length) - a! - 2)] as const;
  });
  const wide = (label: string, texts: readonly string[]) =>
    `| ${label.padEnd(first)} ${
      texts.map((text, i) => `| ${text.padEnd(widths[i]![0] + widths[i]![1] + 2)} |`).join("")
    }|`;
  const narrow = (label: string, rows: readonly (readonly string[])[]) =>
    `| ${label.padEnd(first)} ${
      rows.map((row, i) => row.map((text, at) => `| ${text.padEnd(widths[i]![at]!)} `).join(""))
        .join("")
    }|`;
  const rule = (mark: string) =>
    `|${[first, ...widths.flat()].map((width) => mark.repeat(width + 2)).join("|")}|`;
  return [
    rule("="),
    wide("Benchmark", columns.map(([group]) => group)),
    wide("Strategy", columns.map(([, unit]) => unit)),
    narrow("", columns.map(() => heads)),
    rule("-"),
    narrow(strategy, cells),
    rule("="),
  ];
}
