/**
 * What weir counts. A watcher that costs an exchange 0.04 µs and no memory, and a snapshot of all
 * of it for whoever asks.
 *
 * Own code instead of prom-client 15: that costs 0.65 µs for the same four records, 28 ms of the
 * start, and its state of several processes is merged by a cluster module that weir does not use.
 *
 * No label takes its value from a client or an upstream: surfaces, sources, outcomes and error
 * codes are words of our own, and an odd status becomes its class. A model is no label.
 *
 * Over 200 lines, as it is one table: what is recorded, and how each metric is called.
 *
 * @module
 */

import type { CacheResult, ExchangeFacts, Outcome, UpstreamFacts } from "../core/facts.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { BreakerState, Event } from "../core/events.ts";
import type { KeyRefusal } from "../core/keys.ts";
import type { FaultName } from "../core/fault_plan.ts";
import type { LimitedBy } from "../core/limits.ts";
import { Histogram } from "../lib/histogram.ts";
import { LATENCY_STAGES, LatencyCounts } from "./latency_counts.ts";
import type {
  Family,
  HistogramSeries,
  Labels,
  MergeRule,
  MetricsSnapshot,
  NumberSeries,
} from "./metrics_snapshot.ts";

/** Client connections of a process. */
export interface ConnectionReadings {
  readonly open: number;
  /** Taken since the start. */
  readonly accepted: number;
  /** Closed at once since the start, as there were as many as may be. */
  readonly refused: number;
}

/** What is looked up when somebody asks, instead of being counted. */
export interface Readings {
  readonly streamsOpen: number;
  readonly connections: ConnectionReadings;
  /** Turns on their way to their store, and how long the oldest of them has waited. */
  readonly outboxTurns: number;
  readonly outboxOldestMs: number;
  /** Turns that their store will never take, as they lie in the outbox. */
  readonly deadLetters: number;
  readonly residentBytes: number;
  /** Processor time this process has used, in user and kernel mode. */
  readonly cpuMs: number;
  /** Answers in the cache; undefined = there is none. */
  readonly cache?: { readonly entries: number; readonly bytes: number } | undefined;
  /** When this process started, in milliseconds since 1970. */
  readonly startedMs: number;
  readonly logLinesDropped: number;
  readonly spansExported: number;
  readonly spansDropped: number;
  /** Words about this build; values are texts of our own. */
  readonly build: Labels;
}

/** Upper ends of buckets, in seconds. */
const WAITS_S = [
  ...[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5],
  ...[1, 2.5, 5, 10, 30, 60, 120, 300],
];
const LATENESS_S = [
  ...[0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.05],
  ...[0.1, 0.25, 1, 5],
];
/** Upper ends of buckets, in tokens per second. */
const SPEEDS = [1, 2, 5, 10, 20, 30, 40, 50, 60, 80, 100, 150, 200, 300, 500, 1000, 2000, 5000];
const LOOP_DELAY_S = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5];

/**
 * Statuses that are told apart. Any other one counts as its class: an upstream may send all 500.
 */
const STATUSES: ReadonlySet<number> = new Set([
  ...[200, 201, 202, 204, 304],
  ...[400, 401, 402, 403, 404, 405, 408, 409, 413, 414, 415, 422, 429, 431, 499],
  ...[500, 502, 503, 504, 508, 529],
]);

const OUTCOMES: readonly Outcome[] = [
  "completed",
  "refused",
  "client_left",
  "upstream_failed",
  "timed_out",
  "shut_down",
  "failed",
];
const OUTCOME_NUMBERS = new Map(OUTCOMES.map((outcome, i) => [outcome, i]));

/** Sources told apart in a number below: `source` is at most so many different words. */
const SOURCES_MAX = 16;
const OTHER_SOURCE = "other";
const NO_SOURCE = "none";

/** What one surface has answered. */
class SurfaceCounts {
  /** By status, outcome and source in one number, so that counting makes no key. */
  readonly requests = new Map<number, number>();
  readonly errors = new Map<ErrorCode, number>();
  readonly firstByteMs = new Histogram();
  /** Made when needed: most surfaces have one of the two only. */
  streamMs: Histogram | undefined = undefined;
  wholeMs: Histogram | undefined = undefined;
  bodyBytes = 0;
}

interface TokenCounts {
  input: number;
  output: number;
}

/** What answers have cost in all. */
class UsageTotals {
  cached = 0;
  reasoning = 0;
  /** Answers whose tokens are an estimate. */
  estimated = 0;
  nanos = 0;
  /** Answers with tokens and without a price. */
  unpriced = 0;

  /** Takes an answer whose tokens are known. */
  record({ cachedTokens, reasoningTokens, tokensAreEstimated, costNanos }: ExchangeFacts): void {
    if (cachedTokens > 0) this.cached += cachedTokens;
    if (reasoningTokens > 0) this.reasoning += reasoningTokens;
    if (tokensAreEstimated) this.estimated++;
    if (costNanos >= 0) this.nanos += costNanos;
    else this.unpriced++;
  }
}

const STAGES = ["headers", "first_chunk", "total"] as const;

/** Everything one process counts. */
export class Metrics {
  /** How late paced frames left, in milliseconds. */
  readonly latenessMs = new Histogram();
  /** How late the event loop runs its timers, in milliseconds. */
  readonly loopDelayMs = new Histogram();
  readonly #surfaces = new Map<string, SurfaceCounts>();
  readonly #sources: string[] = [OTHER_SOURCE, NO_SOURCE];
  readonly #tokens = new Map<string, TokenCounts>();
  readonly #usage = new UsageTotals();
  readonly #stages = new Map(STAGES.map((stage) => [stage, new Histogram()]));
  readonly #upstreamErrors = new Map<ErrorCode, number>();
  /** By what has turned them away. */
  readonly #limited = new Map<LimitedBy, number>();
  /** By what their key lacks. */
  readonly #refused = new Map<KeyRefusal, number>();
  readonly #faults = new Map<FaultName, number>();
  readonly #cached = new Map<CacheResult, number>();
  /** By the name of the upstream; without those that have never opened. */
  readonly #breakers = new Map<string, BreakerState>();
  /** undefined = it has never been told of. */
  #isSharedAway: boolean | undefined = undefined;
  readonly #counts = new Map<string, number>();
  readonly #read: () => Readings;
  /** Made when needed: most weirs draw nothing. */
  #latency: LatencyCounts | undefined = undefined;

  /** `read` is called for each snapshot. */
  constructor(read: () => Readings) {
    this.#read = read;
  }

  /** Takes an event: the watcher. */
  record(event: Event): void {
    switch (event.kind) {
      case "exchange_ended":
        return this.#exchangeEnded(event.exchange);
      case "upstream_ended":
        return this.#upstreamEnded(event.call);
      case "limited":
        return void this.#limited.set(event.by, (this.#limited.get(event.by) ?? 0) + 1);
      case "key_refused":
        return void this.#refused.set(event.by, (this.#refused.get(event.by) ?? 0) + 1);
      case "cache_asked":
        return void this.#cached.set(event.result, (this.#cached.get(event.result) ?? 0) + 1);
      case "usage_lost":
      case "objects_lost":
      case "turns_pruned":
        return this.#count(event.kind, event.count);
      case "breaker_turned":
        return void this.#breakers.set(event.upstream, event.state);
      case "shared_failed":
      case "shared_recovered":
        this.#isSharedAway = event.kind === "shared_failed";
        return this.#count(event.kind, 1);
      case "fault_happened":
        return void this.#faults.set(event.fault, (this.#faults.get(event.fault) ?? 0) + 1);
      default:
        this.#count(event.kind, 1);
    }
  }

  #count(kind: Event["kind"], by: number): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + by);
  }

  #exchangeEnded(exchange: ExchangeFacts): void {
    const { surface, status, outcome, source, durationMs, error } = exchange;
    let counts = this.#surfaces.get(surface);
    if (counts === undefined) this.#surfaces.set(surface, counts = new SurfaceCounts());
    const key = (status * OUTCOMES.length + OUTCOME_NUMBERS.get(outcome!)!) * SOURCES_MAX +
      this.#sourceNumber(source);
    counts.requests.set(key, (counts.requests.get(key) ?? 0) + 1);
    if (error !== undefined) {
      counts.errors.set(error.code, (counts.errors.get(error.code) ?? 0) + 1);
    }
    if (exchange.firstByteMs >= 0) counts.firstByteMs.record(exchange.firstByteMs);
    if (exchange.isStream) (counts.streamMs ??= new Histogram()).record(durationMs);
    else (counts.wholeMs ??= new Histogram()).record(durationMs);
    counts.bodyBytes += exchange.bodyBytes;
    if (exchange.drawn !== undefined) {
      (this.#latency ??= new LatencyCounts()).record(exchange, exchange.drawn);
    }
    if (exchange.completionTokens >= 0) this.#usage.record(exchange);
    // An upstream's tokens are counted when it has told them, which may be later.
    const isOwnCount = exchange.upstream === undefined || exchange.tokensAreEstimated;
    if (isOwnCount && exchange.completionTokens >= 0) {
      this.#countTokens(source, exchange.promptTokens, exchange.completionTokens);
    }
  }

  #upstreamEnded(call: UpstreamFacts): void {
    const record = (stage: typeof STAGES[number], ms: number) => {
      if (ms >= 0) this.#stages.get(stage)!.record(ms);
    };
    record("headers", call.headersMs);
    record("first_chunk", call.firstChunkMs);
    record("total", call.durationMs);
    const { errorCode } = call;
    if (errorCode !== undefined) {
      this.#upstreamErrors.set(errorCode, (this.#upstreamErrors.get(errorCode) ?? 0) + 1);
    }
    if (call.completionTokens >= 0) {
      this.#countTokens(call.exchange.source, call.promptTokens, call.completionTokens);
    }
  }

  #countTokens(source: string, input: number, output: number): void {
    const name = this.#sources[this.#sourceNumber(source)]!;
    let counts = this.#tokens.get(name);
    if (counts === undefined) this.#tokens.set(name, counts = { input: 0, output: 0 });
    counts.input += Math.max(0, input);
    counts.output += output;
  }

  #sourceNumber(source: string): number {
    const known = this.#sources.indexOf(source === "" ? NO_SOURCE : source);
    if (known >= 0) return known;
    return this.#sources.length < SOURCES_MAX ? this.#sources.push(source) - 1 : 0;
  }

  /** All of it as plain data. */
  snapshot(): MetricsSnapshot {
    const readings = this.#read();
    const surfaces = [...this.#surfaces];
    return [
      counter("weir_requests_total", "Requests answered.", this.#requestSeries()),
      counter(
        "weir_errors_total",
        "Requests that ended with an error, by its code.",
        surfaces.flatMap(([surface, { errors }]) =>
          [...errors].map(([code, value]) => ({ labels: { surface, code }, value }))
        ),
      ),
      histogram(
        "weir_first_byte_seconds",
        "Time from a request to the first byte of its answer's body.",
        surfaces.map(([surface, { firstByteMs }]) => seconds({ surface }, firstByteMs, WAITS_S)),
      ),
      histogram(
        "weir_request_duration_seconds",
        "Time from a request to the end of its answer; stream tells event streams from the rest.",
        surfaces.flatMap(([surface, { streamMs, wholeMs }]) => [
          ...(streamMs ? [seconds({ surface, stream: "true" }, streamMs, WAITS_S)] : []),
          ...(wholeMs ? [seconds({ surface, stream: "false" }, wholeMs, WAITS_S)] : []),
        ]),
      ),
      counter(
        "weir_response_body_bytes_total",
        "Bytes of answers' bodies.",
        surfaces.map(([surface, { bodyBytes }]) => ({ labels: { surface }, value: bodyBytes })),
      ),
      gauge(
        "weir_connections_open",
        "Client connections, idle ones with them.",
        "sum",
        readings.connections.open,
      ),
      counter("weir_connections_total", "Client connections that were taken.", [
        { labels: {}, value: readings.connections.accepted },
      ]),
      counter(
        "weir_connections_refused_total",
        "Client connections that were closed at once, as the process has no files for more.",
        [{ labels: {}, value: readings.connections.refused }],
      ),
      gauge("weir_streams_open", "Answers being written now.", "sum", readings.streamsOpen),
      histogram(
        "weir_frame_lateness_seconds",
        "How much later than due each paced frame was written.",
        [seconds({}, this.latenessMs, LATENESS_S)],
      ),
      counter(
        "weir_tokens_total",
        "Tokens of prompts (in) and answers (out), where the source told them, else as weir counts them.",
        [...this.#tokens].flatMap(([source, { input, output }]) => [
          { labels: { source, direction: "in" }, value: input },
          { labels: { source, direction: "out" }, value: output },
        ]),
      ),
      ...usageFamilies(this.#usage),
      histogram(
        "weir_upstream_seconds",
        "Time an upstream took to each stage: headers and first_chunk since the last " +
          "try began, total since the first.",
        [...this.#stages].map(([stage, stageMs]) => seconds({ stage }, stageMs, WAITS_S)),
      ),
      counter(
        "weir_upstream_errors_total",
        "Calls to an upstream that failed, by the code of the error.",
        [...this.#upstreamErrors].map(([code, value]) => ({ labels: { code }, value })),
      ),
      {
        kind: "gauge",
        name: "weir_upstream_breaker_open",
        help:
          "1 while the circuit breaker of an upstream is not closed; of several processes, how many.",
        merge: "sum",
        series: [...this.#breakers].map(([upstream, state]) => ({
          labels: { upstream },
          value: state === "closed" ? 0 : 1,
        })),
      },
      {
        kind: "gauge",
        name: "weir_shared_away",
        help: "1 while what several weirs share cannot be had; of several processes, how many.",
        merge: "sum",
        series: this.#isSharedAway === undefined
          ? []
          : [{ labels: {}, value: this.#isSharedAway ? 1 : 0 }],
      },
      counter(
        "weir_limited_total",
        "Requests that a limit of mock.limits has turned away, by what was reached.",
        [...this.#limited].map(([by, value]) => ({ labels: { by }, value })),
      ),
      counter(
        "weir_key_refused_total",
        "Requests that a key has not let in, by what it lacks.",
        [...this.#refused].map(([by, value]) => ({ labels: { by }, value })),
      ),
      ...cacheFamilies(this.#cached, readings.cache),
      ...latencyFamilies(this.#latency),
      counter(
        "weir_faults_total",
        "Faults on purpose that have happened, by their names.",
        [...this.#faults].map(([fault, value]) => ({ labels: { fault }, value })),
      ),
      ...this.#eventCounters(),
      ...readingFamilies(readings),
      histogram("weir_event_loop_delay_seconds", "How late the event loop ran a timer.", [
        seconds({}, this.loopDelayMs, LOOP_DELAY_S),
      ]),
    ];
  }

  #requestSeries(): readonly NumberSeries[] {
    // Several odd statuses may share one class.
    const series = new Map<string, { readonly labels: Labels; value: number }>();
    for (const [surface, { requests }] of this.#surfaces) {
      for (const [key, value] of requests) {
        const source = this.#sources[key % SOURCES_MAX]!;
        const rest = Math.floor(key / SOURCES_MAX);
        const outcome = OUTCOMES[rest % OUTCOMES.length]!;
        const status = statusLabel(Math.floor(rest / OUTCOMES.length));
        const id = `${surface} ${status} ${outcome} ${source}`;
        const known = series.get(id);
        if (known !== undefined) known.value += value;
        else series.set(id, { labels: { surface, status, outcome, source }, value });
      }
    }
    return [...series.values()];
  }

  #eventCounters(): readonly Family[] {
    return Object.entries(EVENT_COUNTERS).map(([kind, [name, help]]) =>
      counter(name, help, [{ labels: {}, value: this.#counts.get(kind) ?? 0 }])
    );
  }
}

/** What the cache did; none = there is none. */
function cacheFamilies(
  asked: ReadonlyMap<CacheResult, number>,
  cache: Readings["cache"],
): readonly Family[] {
  if (cache === undefined) return [];
  return [
    counter(
      "weir_cache_requests_total",
      "Requests to routes with a cache: hit, miss, joined to one under way, or bypass.",
      CACHE_RESULTS.map((result) => ({ labels: { result }, value: asked.get(result) ?? 0 })),
    ),
    gauge("weir_cache_entries", "Answers in the caches.", "sum", cache.entries),
    gauge(
      "weir_cache_bytes",
      "Memory of answers in the caches, and on their way into them.",
      "sum",
      cache.bytes,
    ),
  ];
}

const CACHE_RESULTS: readonly CacheResult[] = ["hit", "miss", "joined", "bypass"];

/** What latency profiles have drawn; none = nobody has drawn anything. */
function latencyFamilies(counts: LatencyCounts | undefined): readonly Family[] {
  if (counts === undefined) return [];
  const { firstTokenMs, tokensPerS, queueMs, slow, cachedTokens } = counts;
  return [
    histogram(
      "weir_latency_first_token_seconds",
      "Time to the first token that is shown: as a profile drew it without load, and as streams had it.",
      LATENCY_STAGES.map((stage) => seconds({ stage }, firstTokenMs[stage], WAITS_S)),
    ),
    histogram(
      "weir_latency_tokens_per_second",
      "Speed of answers: as a latency profile drew it without load and pauses, and as streams had it.",
      LATENCY_STAGES.map((stage) => ({
        labels: { stage },
        bounds: SPEEDS,
        counts: SPEEDS.map((bound) => tokensPerS[stage].countUpTo(bound)),
        count: tokensPerS[stage].count,
        sum: tokensPerS[stage].sum,
      })),
    ),
    histogram("weir_latency_queue_seconds", "Time that prompts waited for the step scheduler.", [
      seconds({}, queueMs, WAITS_S),
    ]),
    counter("weir_latency_slow_total", "Answers in the slow mode of a latency profile.", [
      { labels: {}, value: slow },
    ]),
    counter(
      "weir_prompt_cached_tokens_total",
      "Tokens of prompts that the mock's prompt cache had.",
      [{ labels: {}, value: cachedTokens }],
    ),
  ];
}

/**
 * Events that are only counted: kind → metric. The type asks for a row here with each new event.
 */
const EVENT_COUNTERS: Readonly<
  Record<
    Exclude<Event["kind"], UncountedKind>,
    readonly [name: string, help: string]
  >
> = {
  upstream_retried: ["weir_upstream_retries_total", "Calls to an upstream that were tried again."],
  answer_hedged: [
    "weir_answers_hedged_total",
    "Answers for which a second upstream was asked, as the first was silent.",
  ],
  retry_forgone: [
    "weir_upstream_retries_forgone_total",
    "Calls to an upstream that were not tried again, as too many are already.",
  ],
  answer_moved: [
    "weir_answers_moved_total",
    "Answers that failed before their first byte, and were asked for elsewhere.",
  ],
  limit_reached: [
    "weir_limits_reached_total",
    "Requests and streams that a limit ended; weir_errors_total tells which.",
  ],
  upstream_unfinished: [
    "weir_upstream_unfinished_total",
    "Streams of an upstream that ended without their end mark.",
  ],
  memory_write_failed: [
    "weir_memory_write_failures_total",
    "Times the file of the memory stopped to take writes.",
  ],
  memory_file_vanished: [
    "weir_memory_files_vanished_total",
    "Times a file of the memory was removed or replaced while weir ran.",
  ],
  delivery_retried: [
    "weir_outbox_retries_total",
    "Turns that their store did not take, and that are sent again.",
  ],
  turn_dead: ["weir_outbox_dead_turns_total", "Turns that their store will never take."],
  store_failed: [
    "weir_store_failures_total",
    "Times the store could not be asked.",
  ],
  shared_failed: [
    "weir_shared_failures_total",
    "Times what several weirs share could not be had: limits held on each machine.",
  ],
  usage_unsafe: [
    "weir_usage_unsafe_total",
    "Times usage had to be kept where it would be lost with the process.",
  ],
  usage_lost: ["weir_usage_lost_total", "Requests whose usage is not kept."],
  objects_unsafe: [
    "weir_objects_unsafe_total",
    "Times objects had to be kept where they would be lost with the process.",
  ],
  objects_lost: ["weir_objects_lost_total", "Objects that were to be kept, and are not."],
  turns_pruned: ["weir_turns_pruned_total", "Turns forgotten as they were too old."],
  prune_failed: ["weir_prune_failures_total", "Times what is old could not be forgotten."],
  tape_replayed: ["weir_tape_replays_total", "Requests that a tape answered."],
  tape_missed: ["weir_tape_misses_total", "Requests that there was no tape for."],
  tape_recorded: ["weir_tapes_recorded_total", "Exchanges with an upstream that were recorded."],
  tape_abandoned: [
    "weir_tapes_abandoned_total",
    "Exchanges that were not recorded, as they cannot be: the log says why.",
  ],
  tape_lost: ["weir_tapes_lost_total", "Exchanges that the folder of tapes has not taken."],
  tape_write_failed: [
    "weir_tape_write_failures_total",
    "Times the folder of tapes stopped to take them.",
  ],
  tape_unreadable: ["weir_tapes_unreadable_total", "Files of tapes that cannot be read."],
  bug: ["weir_bugs_total", "Failures inside weir that are bugs: the log has their stacks."],
};

/** What is counted otherwise, or only worth a line in the log. */
type UncountedKind =
  | "breaker_turned"
  | "cache_asked"
  | "exchange_ended"
  | "upstream_ended"
  | "limited"
  | "key_refused"
  | "store_recovered"
  | "shared_recovered"
  | "fault_happened"
  | "memory_write_recovered"
  | "tape_write_recovered"
  | "trace_export_failed"
  | "trace_export_recovered";

function readingFamilies(readings: Readings): readonly Family[] {
  const total = (name: string, help: string, value: number) =>
    counter(name, help, [{ labels: {}, value }]);
  return [
    // Workers share one outbox, so each of them sees all of it.
    gauge(
      "weir_outbox_turns",
      "Turns on their way to their store.",
      "max",
      readings.outboxTurns,
    ),
    gauge(
      "weir_outbox_oldest_age_seconds",
      "How long the oldest of these turns has waited.",
      "max",
      readings.outboxOldestMs / 1000,
    ),
    gauge(
      "weir_outbox_dead_letters",
      "Turns in the outbox that their store will never take.",
      "max",
      readings.deadLetters,
    ),
    total(
      "weir_log_lines_dropped_total",
      "Lines of the log that were lost as nobody took them.",
      readings.logLinesDropped,
    ),
    total(
      "weir_trace_spans_exported_total",
      "Spans that the collector of traces took.",
      readings.spansExported,
    ),
    total(
      "weir_trace_spans_dropped_total",
      "Spans that were lost as the collector of traces did not take them.",
      readings.spansDropped,
    ),
    gauge("weir_workers", "Processes that answer.", "sum", 1),
    gauge("weir_resident_memory_bytes", "Memory in use (RSS).", "sum", readings.residentBytes),
    total("weir_cpu_seconds_total", "Processor time used.", readings.cpuMs / 1000),
    gauge(
      "weir_start_time_seconds",
      "When it started, in seconds since 1970: the uptime is time() minus this.",
      "min",
      readings.startedMs / 1000,
    ),
    {
      kind: "gauge",
      name: "weir_build_info",
      help: "Always 1; the labels tell what runs.",
      merge: "max",
      series: [{ labels: readings.build, value: 1 }],
    },
  ];
}

function statusLabel(status: number): string {
  if (STATUSES.has(status)) return String(status);
  return status === 0 ? "none" : `${Math.floor(status / 100)}xx`;
}

function counter(name: string, help: string, series: readonly NumberSeries[]): Family {
  return { kind: "counter", name, help, series };
}

function gauge(name: string, help: string, merge: MergeRule, value: number): Family {
  return { kind: "gauge", name, help, merge, series: [{ labels: {}, value }] };
}

function histogram(name: string, help: string, series: readonly HistogramSeries[]): Family {
  return { kind: "histogram", name, help, series };
}

/** A histogram of milliseconds in seconds. A bucket's end is sharp to 0.8 %. */
function seconds(
  labels: Labels,
  valuesMs: Histogram,
  bounds: readonly number[],
): HistogramSeries {
  return {
    labels,
    bounds,
    counts: bounds.map((bound) => valuesMs.countUpTo(bound * 1000)),
    count: valuesMs.count,
    sum: valuesMs.sum / 1000,
  };
}

function usageFamilies({ cached, reasoning, estimated, nanos, unpriced }: UsageTotals): Family[] {
  return [
    total("weir_tokens_cached_total", "Tokens of prompts that came out of a cache.", cached),
    total(
      "weir_tokens_reasoning_total",
      "Tokens of answers that were spent on reasoning.",
      reasoning,
    ),
    total("weir_usage_estimated_total", "Answers whose tokens are an estimate.", estimated),
    total(
      "weir_cost_usd_total",
      "US dollars that answers have cost whose price is known.",
      nanos / 1e9,
    ),
    total(
      "weir_cost_unknown_total",
      "Answers with tokens of which nobody knows the cost.",
      unpriced,
    ),
  ];
}

function total(name: string, help: string, value: number): Family {
  return counter(name, help, [{ labels: {}, value }]);
}
