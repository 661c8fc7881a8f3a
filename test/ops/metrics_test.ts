import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import { type Engine, Exchange } from "../../src/core/exchange.ts";
import { Stamps } from "../../src/core/stamp.ts";
import { UpstreamCall } from "../../src/core/upstream_call.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { LoopDelay } from "../../src/ops/loop_delay.ts";
import { Metrics, type Readings } from "../../src/ops/metrics.ts";
import {
  countersOf,
  mergeSnapshots,
  type MetricsSnapshot,
} from "../../src/ops/metrics_snapshot.ts";
import { METRICS_HEADERS, metricsText } from "../../src/ops/metrics_text.ts";
import { metrics } from "../../src/surfaces/admin/metrics.ts";
import { DriverRig, settle } from "../core/driver_rig.ts";
import { parseMetrics } from "./prometheus_parser.ts";

const READINGS: Readings = {
  streamsOpen: 3,
  connections: { open: 7, accepted: 11, refused: 2 },
  outboxTurns: 5,
  outboxOldestMs: 1500,
  deadLetters: 3,
  residentBytes: 1e8,
  cpuMs: 250,
  startedMs: 1_700_000_000_000,
  logLinesDropped: 0,
  spansExported: 0,
  spansDropped: 0,
  build: { version: "1.2.3" },
};

/** Metrics that watch an engine whose clock the test moves. */
function counting(readings: Partial<Readings> = {}) {
  const clock = { nowMs: 0 };
  const metrics = new Metrics(() => ({ ...READINGS, ...readings }));
  const engine: Engine = {
    wheel: new Wheel(() => clock.nowMs, () => {}),
    streams: new Set(),
    watch: (event) => metrics.record(event),
    keepaliveMs: 0,
    writeTimeoutMs: 60_000,
  };
  const ask = (surface = "test") => new Exchange(engine, surface, { method: "GET" });
  /** The value of one series; undefined = there is none. */
  const value = (name: string, labels: Record<string, string> = {}) => {
    const families = parseMetrics(metricsText(metrics.snapshot()));
    for (const { samples } of families.values()) {
      for (const sample of samples) {
        if (sample.name === name && Bun.deepEquals(sample.labels, labels)) return sample.value;
      }
    }
    return undefined;
  };
  return { clock, metrics, engine, ask, value };
}

describe("Metrics", () => {
  test("counts requests by surface, status, outcome and source", () => {
    const { ask, value } = counting();
    for (let i = 0; i < 3; i++) {
      const exchange = ask();
      exchange.source = "mock";
      exchange.complete(200, 10);
    }
    ask("other").refuse(new AppError("auth_wrong", "no"));
    const labels = { surface: "test", status: "200", outcome: "completed", source: "mock" };
    expect(value("weir_requests_total", labels)).toBe(3);
    const refused = { surface: "other", status: "401", outcome: "refused", source: "none" };
    expect(value("weir_requests_total", refused)).toBe(1);
    expect(value("weir_errors_total", { surface: "other", code: "auth_wrong" })).toBe(1);
    expect(value("weir_response_body_bytes_total", { surface: "test" })).toBe(30);
  });

  for (
    const [status, label] of [[200, "200"], [429, "429"], [418, "4xx"], [299, "2xx"], [0, "none"]]
  ) {
    test(`calls the status ${status} "${label}"`, () => {
      const { ask, value } = counting();
      ask().complete(status as number, 0);
      const labels = { surface: "test", status: `${label}`, outcome: "completed", source: "none" };
      expect(value("weir_requests_total", labels)).toBe(1);
    });
  }

  test("adds odd statuses of one class up in one series", () => {
    const { ask, value } = counting();
    ask().complete(418, 0);
    ask().complete(451, 0);
    const labels = { surface: "test", status: "4xx", outcome: "completed", source: "none" };
    expect(value("weir_requests_total", labels)).toBe(2);
  });

  test("keeps the number of sources within bounds, whoever names them", () => {
    const { ask, metrics } = counting();
    for (let i = 0; i < 100; i++) {
      const exchange = ask();
      exchange.source = `source ${i}`;
      exchange.complete(200, 0);
    }
    const family = metrics.snapshot().find(({ name }) => name === "weir_requests_total")!;
    expect(family.series.length).toBeLessThanOrEqual(16);
  });

  test("measures the first byte and the duration, streams apart from the rest", () => {
    const { ask, clock, value } = counting();
    const stream = ask();
    stream.isStream = true;
    clock.nowMs = 30;
    stream.begin(200);
    clock.nowMs = 2000;
    stream.end("client_left");
    ask().complete(200, 0);
    const surface = "test";
    expect(value("weir_first_byte_seconds_count", { surface })).toBe(2);
    expect(value("weir_first_byte_seconds_sum", { surface })).toBeCloseTo(0.03);
    expect(value("weir_request_duration_seconds_sum", { surface, stream: "true" })).toBe(2);
    expect(value("weir_request_duration_seconds_count", { surface, stream: "false" })).toBe(1);
    const bucket = (le: string) =>
      value("weir_request_duration_seconds_bucket", { surface, stream: "true", le });
    expect([bucket("1"), bucket("2.5")]).toEqual([0, 1]);
  });

  test("measures an upstream by stage, from the last try, and in all", () => {
    const { ask, clock, value } = counting();
    const call = new UpstreamCall(ask(), "api.example:443");
    call.attempt();
    clock.nowMs = 100;
    call.attempt();
    clock.nowMs = 110;
    call.head(200);
    clock.nowMs = 150;
    call.chunk();
    clock.nowMs = 400;
    call.chunk();
    call.end();
    call.end(new AppError("upstream_timeout", "too late to count"));
    const sum = (stage: string) => value("weir_upstream_seconds_sum", { stage });
    expect([sum("headers"), sum("first_chunk"), sum("total")]).toEqual([0.01, 0.05, 0.4]);
    expect(value("weir_upstream_errors_total", { code: "upstream_timeout" })).toBeUndefined();
  });

  test("counts an upstream's tokens once, also when they come after the client has left", () => {
    const { ask, value } = counting();
    const exchange = ask();
    exchange.source = "proxy";
    const call = new UpstreamCall(exchange, "api.example:443");
    exchange.end("client_left");
    call.usage({ promptTokens: 7, completionTokens: 11 });
    call.end();
    expect(value("weir_tokens_total", { source: "proxy", direction: "in" })).toBe(7);
    expect(value("weir_tokens_total", { source: "proxy", direction: "out" })).toBe(11);
  });

  test("a call that weir gave up is no failure of the upstream; one that broke is", () => {
    const { ask, value } = counting();
    new UpstreamCall(ask(), "h:1").end(new AppError("unavailable", "The client left"));
    new UpstreamCall(ask(), "h:1").end(new Error("reset"));
    expect(value("weir_upstream_errors_total", { code: "unavailable" })).toBeUndefined();
    expect(value("weir_upstream_errors_total", { code: "upstream_broken" })).toBe(1);
  });

  test("counts events", () => {
    const { engine, value } = counting();
    engine.watch({ kind: "upstream_retried", attempt: 1, delayMs: 5, cause: "status 500" });
    engine.watch({ kind: "turns_pruned", count: 12 });
    expect(value("weir_upstream_retries_total")).toBe(1);
    expect(value("weir_turns_pruned_total")).toBe(12);
    expect(value("weir_bugs_total")).toBe(0);
  });

  test("shows what is looked up, in base units", () => {
    const { value } = counting();
    expect(value("weir_streams_open")).toBe(3);
    expect(value("weir_outbox_turns")).toBe(5);
    expect(value("weir_outbox_dead_letters")).toBe(3);
    expect(value("weir_outbox_oldest_age_seconds")).toBe(1.5);
    expect(value("weir_cpu_seconds_total")).toBe(0.25);
    expect(value("weir_start_time_seconds")).toBe(1_700_000_000);
    expect(value("weir_build_info", { version: "1.2.3" })).toBe(1);
  });
});

describe("metricsText()", () => {
  test("escapes help texts and label values as the format asks", () => {
    const help = 'a \\ and a\nnew line and a "quote"';
    const where = 'C:\\x\n"你好 🌊"';
    const text = metricsText([
      { kind: "counter", name: "x_total", help, series: [{ labels: { where }, value: 1e21 }] },
    ]);
    const family = parseMetrics(text).get("x_total")!;
    expect(family.help).toBe(help);
    expect(family.samples).toEqual([{ name: "x_total", labels: { where }, value: 1e21 }]);
  });

  test("is served with the content type of the format, and never kept", async () => {
    const rig = new DriverRig();
    const surface = metrics({
      authorize: () => "ok",
      secrets: [],
      stamps: new Stamps(() => 0, (target) => target.fill(0)),
      read: () => Promise.resolve("x_total 1\n"),
      headers: METRICS_HEADERS,
    });
    const { writer } = rig.ask(surface.answer, surface);
    await settle();
    expect(writer.text).toBe("x_total 1\n");
    expect(writer.headers!.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(writer.headers!.get("cache-control")).toBe("no-store");
  });
});

describe("mergeSnapshots()", () => {
  const worker = (requests: number, readings: Partial<Readings>) => {
    const { ask, metrics } = counting(readings);
    for (let i = 0; i < requests; i++) ask().complete(200, 10);
    metrics.latenessMs.record(requests);
    // As another process would send it.
    return JSON.parse(JSON.stringify(metrics.snapshot())) as MetricsSnapshot;
  };
  const first = worker(2, { startedMs: 1000, outboxTurns: 5 });
  const second = worker(5, { startedMs: 3000, outboxTurns: 4 });
  const merged = parseMetrics(metricsText(mergeSnapshots([first, second])));
  const number = (name: string) => merged.get(name)!.samples[0]!.value;

  test("adds counters and histograms up", () => {
    expect(number("weir_requests_total")).toBe(7);
    const lateness = merged.get("weir_frame_lateness_seconds")!.samples;
    expect(lateness.find(({ name }) => name.endsWith("_count"))!.value).toBe(2);
    expect(lateness.find(({ name }) => name.endsWith("_sum"))!.value).toBeCloseTo(0.007);
    expect(lateness.find(({ labels }) => labels["le"] === "0.003")!.value).toBe(1);
  });

  for (
    const [name, value] of [
      ["weir_workers", 2],
      ["weir_streams_open", 6],
      ["weir_resident_memory_bytes", 2e8],
      ["weir_outbox_turns", 5],
      ["weir_start_time_seconds", 1],
      ["weir_build_info", 1],
    ] as const
  ) {
    test(`joins the gauge ${name} by its rule`, () => expect(number(name)).toBe(value));
  }

  test("gives the same whatever the order, and for one process what that one says", () => {
    const texts = [mergeSnapshots([first, second]), mergeSnapshots([second, first])].map((all) =>
      metricsText(all).split("\n").sort().join("\n")
    );
    expect(texts[0]).toBe(texts[1]!);
    expect(mergeSnapshots([first])).toEqual(first);
    expect(mergeSnapshots([])).toEqual([]);
  });

  test("keeps to the buckets that both versions of weir have", () => {
    const lateness = (bounds: number[], counts: number[]): MetricsSnapshot => [{
      kind: "histogram",
      name: "x_seconds",
      help: "x",
      series: [{ labels: {}, bounds, counts, count: 9, sum: 1 }],
    }];
    const [family] = mergeSnapshots([
      lateness([1, 2, 5], [1, 2, 3]),
      lateness([2, 5, 9], [4, 5, 6]),
    ]);
    expect(family!.series[0]).toMatchObject({ bounds: [2, 5], counts: [6, 8], count: 18 });
  });

  test("countersOf() is what the dead leave: no counter falls when they are merged in", () => {
    const alive = parseMetrics(metricsText(mergeSnapshots([second, countersOf(first)])));
    expect(alive.get("weir_requests_total")!.samples[0]!.value).toBe(7);
    expect(alive.get("weir_workers")!.samples[0]!.value).toBe(1);
  });
});

test("LoopDelay records how late the loop runs, and a stall with every look it prevented", () => {
  const { clock, engine, metrics } = counting();
  const watch = new LoopDelay(engine.wheel, metrics.loopDelayMs);
  watch.start();
  clock.nowMs = 100;
  engine.wheel.turn();
  expect(metrics.loopDelayMs.max).toBe(0);
  clock.nowMs = 550;
  engine.wheel.turn();
  expect(metrics.loopDelayMs.max).toBe(350);
  expect(metrics.loopDelayMs.count).toBe(4); // 0, then 350, 250, 150 at 100 ms
  watch.stop();
  expect(engine.wheel.waiting).toBe(0);
});
