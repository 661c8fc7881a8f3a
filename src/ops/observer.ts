/**
 * Everything an operator sees, as one watcher: the log, the metrics, the traces.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import { type Watch, watchAll } from "../core/events.ts";
import type { Engine } from "../core/exchange.ts";
import type { Wheel } from "../lib/wheel.ts";
import { logWatcher } from "./log.ts";
import { LogBuffer, type WriteLog } from "./log_buffer.ts";
import { jsonLines, prettyLines, redactor } from "./log_line.ts";
import { LoopDelay } from "./loop_delay.ts";
import { Metrics, type Readings } from "./metrics.ts";
import type { Labels } from "./metrics_snapshot.ts";
import { type OtlpOptions, OtlpSender } from "./otlp.ts";
import { Tracer } from "./trace.ts";

/** What the process tells about itself. */
export interface ProcessFacts {
  readonly pid: number;
  /** Milliseconds since 1970. */
  readonly startedMs: number;
  /** Memory in use (RSS). */
  readonly residentBytes: () => number;
  /** Processor time used, in user and kernel mode. */
  readonly cpuMs: () => number;
  /** Words about this build: "version" and the like. */
  readonly build: () => Labels;
  readonly hostName: string;
  /** Where the log goes: a terminal gets lines for people, in colours where it wants them. */
  readonly isLogTerminal: boolean;
  readonly isLogColoured: boolean;
  readonly writeLog: WriteLog;
}

/** What an observer needs. */
export interface ObserverOptions {
  readonly ops: Config["ops"];
  readonly server: Pick<Config["server"], "host" | "port">;
  readonly version: string;
  /** Texts that no line may show. */
  readonly secrets: readonly string[];
  readonly wheel: Wheel;
  readonly clock: () => number;
  readonly wallMs: () => number;
  readonly random: () => number;
  readonly randomBytes: (target: Uint8Array<ArrayBuffer>) => void;
  readonly fetch: OtlpOptions["fetch"];
  readonly process: ProcessFacts;
  /** What the other parts of weir are asked for when somebody wants the metrics. */
  readonly read: () => Pick<
    Readings,
    "streamsOpen" | "connections" | "outboxTurns" | "outboxOldestMs" | "deadLetters" | "cache"
  >;
}

/** The joined watchers, and what the end of a run asks of them. */
export interface Observer {
  readonly watch: Watch;
  /** For the engine; undefined when nobody collects traces. */
  readonly startTrace: Engine["startTrace"];
  readonly metrics: Metrics;
  /** Begins to watch the event loop. Without it, no timer runs. */
  start(): void;
  /** Sends and writes what waits, for `limitMs` at the most. */
  close(limitMs: number): Promise<void>;
  /** Lines that nobody has written yet, for a process that ends at once. */
  takeLog(): string;
}

/** Makes an observer. What the config switches off is not made. */
export function makeObserver(options: ObserverOptions): Observer {
  const { ops, wheel, clock, wallMs, process } = options;
  const redact = redactor(options.secrets);
  const isPretty = ops.log_format === "pretty" ||
    (ops.log_format === "auto" && process.isLogTerminal);
  const format = isPretty
    ? prettyLines(wallMs, redact, process.isLogColoured)
    : jsonLines(wallMs, redact);
  const buffer = new LogBuffer(
    wheel,
    process.writeLog,
    (lines) => format.note("log_lines_dropped", "warn", { lines }),
  );
  const log = logWatcher(ops.log, format, buffer);

  const sender = ops.otlp_endpoint === "" ? undefined : new OtlpSender({
    endpoint: ops.otlp_endpoint,
    headers: ops.otlp_headers,
    version: options.version,
    resource: {
      "service.name": "weir",
      "service.version": options.version,
      "service.instance.id": `${process.hostName}:${process.pid}`,
      "host.name": process.hostName,
      "process.pid": process.pid,
    },
    wheel,
    // What the sender tells is for the log and the counters, and never a span.
    watch: (event) => {
      metrics.record(event);
      log?.(event);
    },
    random: options.random,
    wallMs,
    fetch: options.fetch,
  });
  const tracer = sender && new Tracer({
    sender,
    sampleRatio: ops.otlp_sample_ratio,
    ...options.server,
    random: options.random,
    randomBytes: options.randomBytes,
    clock,
    wallMs,
  });

  const metrics: Metrics = new Metrics(() => ({
    ...options.read(),
    residentBytes: process.residentBytes(),
    cpuMs: process.cpuMs(),
    startedMs: process.startedMs,
    build: process.build(),
    logLinesDropped: buffer.dropped,
    spansExported: sender?.exported ?? 0,
    spansDropped: sender?.dropped ?? 0,
  }));
  const loopDelay = new LoopDelay(wheel, metrics.loopDelayMs);

  const watchers: Watch[] = [(event) => metrics.record(event)];
  if (log !== undefined) watchers.push(log);
  if (tracer !== undefined) watchers.push((event) => tracer.record(event));
  return {
    watch: watchAll(watchers),
    startTrace: tracer && ((fields) => tracer.start(fields)),
    metrics,
    start: () => loopDelay.start(),
    async close(limitMs) {
      loopDelay.stop();
      const late = wheel.until(wheel.nowMs + limitMs);
      await Promise.race([Promise.all([sender?.flush(limitMs), buffer.flushed()]), late]);
    },
    takeLog: () => buffer.take(),
  };
}
