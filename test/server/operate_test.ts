import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { parseMetrics } from "../ops/prometheus_parser.ts";
import { freePort } from "./free_port.ts";
import { launch, rawExchange, rawPost, REPOSITORY, TEST_MS_MAX, waitFor } from "./launch.ts";
import { CHAT, DONE, EVENT, type Proxied, proxied, whole } from "./proxied.ts";
import { act, response } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const USAGE = 'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":11}}\n\n';
const ASK = { model: "gpt-4o", messages: [{ role: "user", content: "hello" }] };

async function metricsOf(url: string) {
  const answer = await fetch(`${url}/metrics`);
  expect(answer.status).toBe(200);
  const text = await answer.text();
  const families = parseMetrics(text);
  /** The sum of all series of `name` that have these labels. */
  const value = (name: string, labels: Record<string, string> = {}) => {
    let sum = 0;
    for (const { samples } of families.values()) {
      for (const sample of samples) {
        const fits = Object.entries(labels).every(([key, word]) => sample.labels[key] === word);
        if (sample.name === name && fits) sum += sample.value;
      }
    }
    return sum;
  };
  return { text, families, value };
}

describe("/metrics of a proxy", () => {
  let proxy: Proxied;
  beforeAll(async () => {
    proxy = await proxied({ set: { "llm.retries": 1 } });
    proxy.play(() => whole(EVENT, USAGE, DONE));
    await proxy.chat();
    const asked = proxy.upstream.requests.length;
    proxy.play(({ index }) =>
      index === asked ? [act.send(response("", {}, "500 No"))] : whole(EVENT)
    );
    await proxy.chat();
    proxy.play(() => [act.send(response("{}", {}, "418 Teapot"))]);
    await proxy.chat();
    await waitFor(async () => (await proxy.weir.health())["streams_open"] === 0);
  });
  afterAll(() => proxy.stop());

  test("tells stages, tokens, retries and unfinished streams", async () => {
    const { value } = await metricsOf(proxy.weir.url);
    for (const stage of ["headers", "first_chunk", "total"]) {
      expect(value("weir_upstream_seconds_count", { stage })).toBe(3);
    }
    expect(value("weir_tokens_total", { source: "proxy", direction: "in" })).toBe(7);
    expect(value("weir_tokens_total", { source: "proxy", direction: "out" })).toBe(11);
    expect(value("weir_upstream_retries_total")).toBe(1);
    expect(value("weir_upstream_unfinished_total")).toBe(1);
    expect(value("weir_requests_total", { status: "200", source: "proxy" })).toBe(2);
    expect(value("weir_requests_total", { status: "4xx" })).toBe(1);
    expect(value("weir_request_duration_seconds_count", { stream: "true" })).toBe(2);
  });

  test("has every metric that the Grafana dashboard shows, with its labels", async () => {
    const { families } = await metricsOf(proxy.weir.url);
    const dashboard = JSON.parse(
      readFileSync(join(REPOSITORY, "src/deploy/grafana.json"), "utf8"),
    ) as { readonly panels: { readonly targets?: { readonly expr: string }[] }[] };
    const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets).map((t) => t.expr);
    const names = new Set(expressions.join(" ").match(/\bweir_[a-z_]+/g));
    expect(names.size).toBeGreaterThan(20);
    for (const name of names) {
      const base = name.replace(/_(bucket|sum|count)$/, "");
      const family = families.get(name) ?? families.get(base);
      expect(family, `the dashboard's ${name}`).toBeDefined();
      if (family !== families.get(name)) expect(family!.type).toBe("histogram");
    }
    const labels = new Set(
      [...families.values()].flatMap(({ samples }) =>
        samples.flatMap((sample) => Object.keys(sample.labels))
      ),
    );
    for (const [, list] of expressions.join("\n").matchAll(/ by \(([^)]*)\)/g)) {
      for (const label of list!.split(", ")) expect([...labels, "code", "by"]).toContain(label);
    }
  });
});

describe("/metrics", () => {
  test("shows how late paced frames left; the end of the run says it again", async () => {
    const weir = await launch({ set: { "mock.delay_ms": 2, "ops.log": "off" } });
    await rawExchange(weir.port, rawPost("/v1/chat/completions", { ...ASK, stream: true }));
    const { value } = await metricsOf(weir.url);
    const count = value("weir_frame_lateness_seconds_count");
    expect(count).toBeGreaterThanOrEqual(3);
    expect(value("weir_first_byte_seconds_count", { surface: "v1_chat_completions" })).toBe(1);
    weir.kill("SIGTERM");
    expect(await weir.exited).toBe(0);
    expect(weir.errors()).toMatch(
      new RegExp(`weir: ${count} paced frames left late by [\\d.]+ ms \\(p50\\)`),
    );
    await weir.stop();
  });

  test("shows no model, no key and no path that a client chose", async () => {
    const weir = await launch();
    const body = JSON.stringify({ ...ASK, model: "model-of-mine" });
    const headers = {
      authorization: "Bearer sk-client-secret",
      "content-type": "application/json",
    };
    await (await fetch(`${weir.url}/v1/chat/completions`, { method: "POST", body, headers }))
      .text();
    await (await fetch(`${weir.url}/path-of-mine?key=query-secret`, { headers })).text();
    const { text } = await metricsOf(weir.url);
    expect(text).not.toMatch(/of-mine|secret/);
    await weir.stop();
  });

  test("asks for auth.token on the public port, when there is one", async () => {
    const weir = await launch({ set: { "auth.token": "own-token" } });
    expect((await fetch(`${weir.url}/metrics`)).status).toBe(401);
    const headers = { authorization: "Bearer own-token" };
    expect((await fetch(`${weir.url}/metrics`, { headers })).status).toBe(200);
    await weir.stop();
  });

  test("ops.metrics_port keeps it off the public port, and needs no token there", async () => {
    const port = freePort();
    const weir = await launch({ set: { "ops.metrics_port": port, "auth.token": "own-token" } });
    const headers = { authorization: "Bearer own-token" };
    expect((await fetch(`${weir.url}/metrics`, { headers })).status).toBe(404);
    const { value } = await metricsOf(`http://127.0.0.1:${port}`);
    expect(value("weir_workers")).toBe(1);
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${port}/v1/models`, { headers })).status).toBe(404);
    // Paths mean there what they mean on the other port.
    for (
      const [path, status] of [["/%6detrics", 200], ["/a/../metrics", 404], ["//metrics", 404]]
    ) {
      const text = `GET ${path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n`;
      expect([path, await rawExchange(port, text)]).toEqual([
        path,
        expect.stringContaining(`HTTP/1.1 ${status} `),
      ]);
    }
    await weir.stop();
  });
});

interface JsonSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, unknown> }[];
  readonly status: { readonly code?: number };
}

/** A collector of traces that the test plays. */
function collector() {
  const spans: JsonSpan[] = [];
  const posts: { readonly headers: Headers; readonly path: string }[] = [];
  const state = { status: 200 };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      posts.push({ headers: request.headers, path: new URL(request.url).pathname });
      // deno-lint-ignore no-explicit-any
      const body = await request.json() as any;
      if (state.status !== 200) return new Response("", { status: state.status });
      for (const { scopeSpans } of body.resourceSpans) {
        for (const scope of scopeSpans) spans.push(...scope.spans);
      }
      return Response.json({});
    },
  });
  return {
    spans,
    posts,
    state,
    url: `http://127.0.0.1:${server.port}`,
    stop: () => server.stop(true),
  };
}

function attributesOf({ attributes }: JsonSpan): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}

describe("traces", () => {
  const TRACE = "0af7651916cd43dd8448eb211c80319c";
  const CALLER = "b7ad6b7169203331";

  test("a proxied request is two spans in the caller's trace, and the upstream is told", async () => {
    const otlp = collector();
    const proxy = await proxied({
      set: { "ops.otlp_headers": "{x-api-key: collector-secret}" },
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: `${otlp.url}/` },
    });
    proxy.play(() => whole(EVENT, USAGE, DONE));
    await proxy.chat(CHAT, [`Traceparent: 00-${TRACE}-${CALLER}-01`, "Tracestate: vendor=1"]);
    await proxy.chat(CHAT, [`Traceparent: 00-${TRACE}-${CALLER}-00`]);
    proxy.weir.kill("SIGTERM");
    await proxy.weir.exited;
    expect(otlp.posts[0]!.path).toBe("/v1/traces");
    expect(otlp.posts[0]!.headers.get("x-api-key")).toBe("collector-secret");
    expect(otlp.spans).toHaveLength(2); // the second request's caller keeps nothing
    const server = otlp.spans.find(({ kind }) => kind === 2)!;
    const client = otlp.spans.find(({ kind }) => kind === 3)!;
    expect(server).toMatchObject({ traceId: TRACE, parentSpanId: CALLER, status: {} });
    expect(client).toMatchObject({ traceId: TRACE, parentSpanId: server.spanId });
    expect(client.name).toBe("chat gpt-4o");
    expect(attributesOf(client)).toMatchObject({
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "openai",
      "gen_ai.request.model": "gpt-4o",
      "gen_ai.usage.input_tokens": "7",
      "gen_ai.usage.output_tokens": "11",
      "http.response.status_code": "200",
      "server.address": "127.0.0.1",
      "server.port": String(proxy.upstream.port),
    });
    expect(attributesOf(server)).toMatchObject({
      "http.request.method": "POST",
      "http.response.status_code": "200",
      "weir.outcome": "completed",
    });
    expect(Object.keys(attributesOf(server)).filter((key) => key.startsWith("gen_ai."))).toEqual(
      [],
    );
    expect(BigInt(server.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(server.startTimeUnixNano));
    expect(Math.abs(Number(server.startTimeUnixNano) / 1e6 - Date.now())).toBeLessThan(60_000);
    const [first, second] = proxy.upstream.requests.map(({ head }) => head.toString());
    expect(first).toMatch(new RegExp(`traceparent: 00-${TRACE}-${client.spanId}-01`, "i"));
    expect(first).toMatch(/tracestate: vendor=1/i);
    expect(second).toMatch(new RegExp(`traceparent: 00-${TRACE}-[0-9a-f]{16}-00`, "i"));
    expect(second).not.toContain(CALLER);
    await proxy.stop();
    otlp.stop();
  });

  test("the mock is one span, and a failing request says its error", async () => {
    const otlp = collector();
    const weir = await launch({ set: { "ops.otlp_endpoint": otlp.url } });
    const ask = (body: unknown) => rawExchange(weir.port, rawPost("/v1/chat/completions", body));
    await ask(ASK);
    await ask({ model: "gpt-4o" });
    weir.kill("SIGTERM");
    await weir.exited;
    const [good, bad] = otlp.spans;
    expect(attributesOf(good!)).toMatchObject({
      "gen_ai.provider.name": "weir",
      "gen_ai.request.model": "gpt-4o",
      "gen_ai.usage.output_tokens": "4",
    });
    expect(good).not.toHaveProperty("parentSpanId");
    expect(attributesOf(bad!)["error.type"]).toBe("param_missing");
    await weir.stop();
    otlp.stop();
  });

  test("a collector that is down delays nobody, is tried again, and is told of once", async () => {
    const otlp = collector();
    otlp.state.status = 503;
    const weir = await launch({ set: { "ops.otlp_endpoint": otlp.url } });
    await rawExchange(weir.port, rawPost("/v1/chat/completions", ASK));
    await waitFor(() => otlp.posts.length >= 2, "a second try");
    expect(weir.errors().match(/trace_export_failed/g)).toHaveLength(1);
    otlp.state.status = 200;
    await waitFor(() => otlp.spans.length === 1, "the span");
    await waitFor(() => weir.errors().includes("trace_export_recovered"), "its line");
    const { value } = await metricsOf(weir.url);
    expect(value("weir_trace_spans_exported_total")).toBe(1);
    expect(value("weir_trace_spans_dropped_total")).toBe(0);
    await weir.stop();
    otlp.stop();
  });

  test("without a collector, a caller's trace passes to the upstream untouched", async () => {
    const proxy = await proxied();
    await proxy.chat(CHAT, [`Traceparent: 00-${TRACE}-${CALLER}-01`]);
    const head = proxy.upstream.requests[0]!.head.toString();
    expect(head).toMatch(new RegExp(`traceparent: 00-${TRACE}-${CALLER}-01`, "i"));
    await proxy.stop();
  });
});

describe("the log", () => {
  const SECRETS = /SECRET|你好/;

  test("holds no secret, no prompt and no query, wherever a client puts them", async () => {
    const proxy = await proxied({
      set: {
        "ops.log": "requests",
        "llm.api_key": "sk-UPSTREAM-SECRET",
        "llm.headers": '{x-team-key: "TEAM-SECRET-1"}',
      },
    });
    const quoting = JSON.stringify({ error: { message: "bad key sk-UPSTREAM-SECRET 你好" } });
    const fields = [
      "Authorization: Bearer sk-CLIENT-SECRET",
      "Cookie: a=SECRET",
      "X-Secret: SECRET",
    ];
    const prompts =
      '{"messages":[{"role":"user","content":"SECRET 你好"}],"model":"sk-SECRET-model"}';
    proxy.play(() => [act.send(response(quoting, {}, "401 No"))]);
    await proxy.chat(prompts, fields);
    proxy.play(() => [act.send("HTTP/1.1 200 OK\r\nSECRET 你好\r\n\r\n"), act.end]);
    await proxy.chat(prompts, fields);
    await (await fetch(`${proxy.weir.url}/sk-SECRET-path?token=SECRET`)).text();
    await rawExchange(
      proxy.weir.port,
      rawPost("/v1/chat/completions?key=SECRET", "{SECRET", fields),
    );
    proxy.weir.kill("SIGTERM");
    await proxy.weir.exited;
    const lines = proxy.weir.errors().split("\n").filter((line) => line.startsWith("{"));
    expect(lines.length).toBeGreaterThanOrEqual(4);
    for (const line of lines) expect(() => JSON.parse(line)).not.toThrow();
    expect(proxy.weir.errors() + proxy.weir.output()).not.toMatch(SECRETS);
    await proxy.stop();
  });

  test("ops.log_prompts: true shows the beginning of prompts, of the mock and of the proxy", async () => {
    const set = { "ops.log": "requests", "ops.log_prompts": "true" };
    const [mock, proxy] = [await launch({ set }), await proxied({ set })];
    const asking = { ...ASK, messages: [{ role: "user", content: `你好 ${"x".repeat(600)}` }] };
    await rawExchange(mock.port, rawPost("/v1/chat/completions", asking));
    await proxy.chat();
    for (const weir of [mock, proxy.weir]) {
      weir.kill("SIGTERM");
      await weir.exited;
    }
    const promptOf = (text: string) => JSON.parse(text.split("\n")[0]!).prompt as string;
    expect(promptOf(mock.errors())).toBe(`你好 ${"x".repeat(497)}…`);
    expect(promptOf(proxy.weir.errors())).toBe("你好 🌊");
    await mock.stop();
    await proxy.stop();
  });

  test("names the client and its token on every surface that asks for one", async () => {
    const weir = await launch({
      set: { "ops.log": "requests", "server.trusted_proxies": "[127.0.0.1]" },
      files: {
        "config.yaml": [
          "auth:",
          "  tokens: [{name: blue, token: blue-SECRET}, {name: green, token: green-SECRET}]",
        ].join("\n"),
      },
    });
    const body = JSON.stringify({
      query: "a",
      session_id: "s",
      content: "a",
      ...ASK,
    });
    const requests = [
      ...["v1/chat/completions", "v1/response", "api/chat", "api/workflows/runs", "chat", "conv"],
      ...["apply", "upload", "messages", "query"].map((word) => `memory/${word}`),
    ].map((path) => [path, { method: "POST", body }] as const);
    const all: readonly (readonly [string, RequestInit])[] = [
      ...requests,
      ["memory/delete", { method: "DELETE", body }],
      ...["v1/models", "api/workflows", "api/tasks/none"].map((path) => [path, {}] as const),
    ];
    for (const [i, [path, init]] of all.entries()) {
      const answer = await fetch(`${weir.url}/${path}`, {
        ...init,
        headers: {
          "authorization": `Bearer ${i % 2 === 0 ? "blue" : "green"}-SECRET`,
          "content-type": "application/json",
          "chat-type": "conversation",
          "x-forwarded-for": `203.0.113.${i}`,
        },
      });
      await answer.text();
    }
    const lines = await waitFor(() => {
      const found = weir.errors().split("\n").filter((line) => line.includes('"request"'));
      return found.length === all.length && found;
    });
    const told = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
      .map(({ client, token }) => ({ client, token }));
    expect(told).toEqual(all.map((_, i) => ({
      client: `203.0.113.${i}`,
      token: i % 2 === 0 ? "blue" : "green",
    })));
    expect(weir.errors()).not.toMatch(SECRETS);
    await weir.stop();
  });

  test("names the client that is turned away", async () => {
    const weir = await launch({
      set: { "ops.log": "requests", "ops.log_format": "pretty", "server.url_max_bytes": 100 },
    });
    await (await fetch(`${weir.url}/v1/models?${"a".repeat(100)}`)).text();
    await waitFor(() => weir.errors().includes("414 refused"), "the line");
    expect(weir.errors()).toContain("  127.0.0.1  ");
    await weir.stop();
  });

  test("ops.log_format: pretty is text for people, with the same content", async () => {
    const weir = await launch({ set: { "ops.log": "requests", "ops.log_format": "pretty" } });
    await rawExchange(weir.port, rawPost("/v1/chat/completions", ASK));
    await waitFor(() => weir.errors().includes("completed"), "the line");
    expect(weir.errors()).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} {2}200 completed {2}POST v1_chat_completions {2}[\d.]+ ms .* "gpt-4o" {2}mock/,
    );
    await weir.stop();
  });
});
