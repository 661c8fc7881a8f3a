/**
 * The page: mounts every URL once, and knows how the whole is doing.
 *
 * @module
 */

import { Hono } from "hono";
import { type Answerers, defaultModel } from "./answerers.ts";
import type { Source } from "./core/answer.ts";
import type { Config } from "./config/config.ts";
import { type Engine, Exchange } from "./core/exchange.ts";
import type { Memory } from "./core/memory.ts";
import type { Workflows } from "./core/workflow.ts";
import { makeHandlers } from "./handlers.ts";
import { preflight } from "./ops/cors.ts";
import type { GateListener } from "./ops/gate.ts";
import { mergeReports, type ReportKind } from "./ops/gather.ts";
import { type Health, healthResponse } from "./ops/health.ts";
import type { MetricsSnapshot } from "./ops/metrics_snapshot.ts";
import { metricsResponse } from "./ops/metrics_text.ts";
import type { Observer } from "./ops/observer.ts";
import { makeParts, type World } from "./parts.ts";
import type { TokenCounter } from "./sources/tokens.ts";
import { jsonResponse } from "./dialects/detail/errors.ts";
import { errorResponse, keyError } from "./dialects/openai/errors.ts";
import { unserved } from "./surfaces/unserved.ts";
import { builtinDefinition, DEFAULT_MODEL } from "./workflows/builtin.ts";
import type { Definition } from "./workflows/definition.ts";

/** The part of Bun's server that a request can ask for. */
export interface Listener extends GateListener {
  /** Closes the connection of `request` after so much silence; 0 = never. */
  timeout(request: Request, seconds: number): void;
}

/** A whole weir without its port. */
export interface App {
  readonly fetch: (request: Request, listener?: Listener) => Response | Promise<Response>;
  /** What `ops.metrics_port` serves: /metrics and /health, open to whoever reaches that port. */
  readonly fetchOps: (request: Request) => Response | Promise<Response>;
  readonly observer: Observer;
  readonly engine: Engine;
  readonly source: Source;
  readonly answerers: Answerers;
  /** Every route that is mounted. */
  readonly routes: readonly { readonly method: string; readonly path: string }[];
  readonly tokens: TokenCounter;
  readonly memory: Memory;
  readonly workflows: Workflows;
  /** False: whoever reaches the port may ask. */
  readonly needsToken: boolean;
  /** Closes what is open: files, idle connections to upstreams. Nothing may be asked afterwards. */
  readonly close: () => void;
  /** What it tells of itself, as JSON carries it. */
  readonly report: (kind: ReportKind) => unknown;
  /** Health answers follow it: 200 only while it is "ok". */
  status: Health["status"];
}

/**
 * Makes every part and joins them. Nothing is looked up later. Without a `definition` there is the
 * built-in workflow.
 */
export function makeApp(
  config: Config,
  world: World,
  definition: Definition = builtinDefinition(config.llm.model_id || DEFAULT_MODEL),
): App {
  const parts = makeParts(config, world, definition);
  const { engine, gate, observer, stamps, tokens, answerers, memory, workflows, authorize } = parts;
  const { source } = answerers.main;
  const secrets = world.tokens.map(({ token }) => token);
  const startMs = world.clock();
  const model = defaultModel(config);
  const handlers = makeHandlers(config, world, parts, definition.controller.basePath);

  const hono = new Hono<{ Bindings: Partial<Listener> }>();
  // One handler per method, never `all`: a second one that matches the hot POST would send it
  // through Hono's chain of middleware, three promises more and 8 % of its requests per second.
  hono.options("*", (c) => preflight(c.req.raw)); // before whatever takes all methods
  hono.post("/v1/chat/completions", (c) => handlers.v1Chat(c.req.raw));
  hono.post("/v1/response", (c) => handlers.response(c.req.raw));
  // A weir that asks a memory server is none itself: it would only pass the questions on.
  if (memory.name !== "http") {
    hono.post("/memory/apply", (c) => handlers.remember.apply(c.req.raw));
    hono.post("/memory/upload", (c) => handlers.remember.upload(c.req.raw));
    hono.post("/memory/messages", (c) => handlers.remember.messages(c.req.raw));
    hono.post("/memory/query", (c) => handlers.remember.query(c.req.raw));
    hono.delete("/memory/delete", (c) => handlers.remember.delete(c.req.raw));
  }
  hono.get("/v1/models", (c) => handlers.listModels(c.req.raw, undefined));
  hono.get("/v1/models/:id{.+}", (c) => handlers.listModels(c.req.raw, c.req.param("id")));
  hono.post("/api/chat", (c) => handlers.contentChat(c.req.raw));
  hono.on(["GET", "POST"], "/token", (c) => handlers.giveToken(c.req.raw));
  hono.on(["GET", "POST"], "/event", (c) => handlers.timedEvents(c.req.raw));
  hono.post("/chat", (c) => handlers.tokenChat(c.req.raw));
  hono.on(["GET", "POST", "PUT", "PATCH", "DELETE"], "/conv", (c) => handlers.converse(c.req.raw));
  hono.get("/", (c) => onPage(c.req.raw));
  hono.get("/ui/*", (c) => onPage(c.req.raw));
  hono.get("/openapi.json", handlers.pages.document);
  hono.get("/docs", handlers.pages.page);
  hono.get("/docs/:file", (c) => handlers.pages.file(c.req.param("file")));
  hono.get("/redoc", handlers.pages.redoc);
  if (config.ops.metrics_port === 0) hono.get("/metrics", (c) => publicMetrics(c.req.raw));
  hono.get("/health", async (c) => {
    return healthResponse(await wholeHealth(), c.req.header("accept") ?? null);
  });
  for (const base of new Set(["/api", definition.controller.basePath])) {
    hono.post(
      `${base}/workflows/runs`,
      (c) => handlers.runWorkflow(c.req.raw, patience(c.req.raw, c.env)),
    );
    // `/workflows/:id/schema` beside a fixed `/workflows/runs` would cost every URL Hono's fast
    // router: it cannot tell the two apart.
    hono.all(
      `${base}/workflows/*`,
      (c) => handlers.showWorkflows(c.req.raw, c.req.path.slice(base.length)),
    );
    hono.all(`${base}/tasks/*`, (c) => handlers.showTask(c.req.raw, c.req.path.slice(base.length)));
    if (base !== "") hono.get(`${base}/health`, () => shortHealth());
  }
  const routes = hono.routes.filter(({ method }) => method !== "OPTIONS")
    .map(({ method, path }) => ({ method, path }));
  const refuse = unserved({ engine, stamps, routes });
  hono.notFound((c) => refuse(c.req.raw, c.req.path));

  /** What Bun calls for each request. */
  function receive(request: Request, listener?: Listener): Response | Promise<Response> {
    const error = gate.check(request, listener);
    const response = error === undefined
      ? (isHotChat(request) ? handlers.v1Chat(request) : hono.fetch(request, listener))
      : refuse(request, new URL(request.url).pathname, error);
    return app.status === "draining" ? closing(response) : response;
  }

  /** Lets a connection be silent for as long as a run takes that nobody may hear of before its end. */
  function patience(
    request: Request,
    listener: Partial<Listener>,
  ): (isPatient: boolean) => void {
    return (isPatient) => listener.timeout?.(request, isPatient ? 0 : idleTimeoutS(config));
  }

  function shortHealth(): Response {
    const isReady = app.status === "ok";
    return jsonResponse({ status: isReady ? "ok" : app.status }, isReady ? 200 : 503);
  }

  async function onPage(request: Request): Promise<Response> {
    return await handlers.page(request) ?? refuse(request, new URL(request.url).pathname);
  }

  function publicMetrics(request: Request): Response | Promise<Response> {
    const verdict = authorize(request.headers);
    if (verdict === "ok") return allMetrics();
    const exchange = new Exchange(engine, "metrics", request);
    exchange.requestId = `req_${stamps.hex(32)}`;
    const error = exchange.refuse(keyError(verdict, request.headers, secrets));
    return errorResponse(error, exchange.requestId);
  }

  async function allMetrics(): Promise<Response> {
    const { reports } = await world.gather?.("metrics") ??
      { reports: [observer.metrics.snapshot()] };
    return metricsResponse(mergeReports("metrics", reports) as MetricsSnapshot);
  }

  async function fetchOps(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/metrics" && request.method === "GET") return await allMetrics();
    if (pathname === "/health") {
      return healthResponse(await wholeHealth(), request.headers.get("accept"));
    }
    return new Response("Only /metrics and /health are on this port\n", { status: 404 });
  }

  function health(): Health {
    return {
      status: app.status,
      version: world.version,
      uptime_s: Math.floor((world.clock() - startMs) / 1000),
      source: source.name,
      streams_open: engine.streams.size,
      openai_sdk_version: world.openaiSdkVersion,
      api_key_configured: config.llm.api_key !== "",
      model,
    };
  }

  /** The health of every process together. */
  async function wholeHealth(): Promise<Health> {
    if (world.gather === undefined) return health();
    const { reports, silent } = await world.gather("health");
    if (reports.length === 0) return health();
    return {
      ...mergeReports("health", reports) as Health,
      ...(reports.length + silent.length > 1 ? { workers: reports.length } : {}),
      ...(silent.length > 0 ? { workers_silent: silent.join(", ") } : {}),
    };
  }

  function report(kind: ReportKind): unknown {
    return kind === "health" ? health() : observer.metrics.snapshot();
  }

  const app: App = {
    fetch: receive,
    fetchOps,
    observer,
    engine,
    source,
    answerers,
    routes,
    tokens,
    memory,
    workflows,
    needsToken: world.tokens.length > 0,
    close() {
      parts.conversations.close();
      answerers.close();
    },
    report,
    status: "starting",
  };
  return app;
}

const HOT_PATH = "/v1/chat/completions";

/**
 * Is it the hot POST, without a query? It goes past Hono, whose routing and context are 9 % of a
 * whole mock answer; in whatever other form it comes, Hono knows the way.
 */
function isHotChat({ url, method }: Request): boolean {
  // The first "/" behind "https://" begins the path.
  return url.endsWith(HOT_PATH) && url.indexOf("/", 8) === url.length - HOT_PATH.length &&
    method === "POST";
}

/** The longest silence on a connection, in the whole seconds that Bun takes. */
export function idleTimeoutS({ server }: Config): number {
  return Math.ceil(server.idle_timeout_ms / 1000);
}

/** `response`, after which the connection closes: the next request finds another process. */
async function closing(response: Response | Promise<Response>): Promise<Response> {
  const last = await response;
  last.headers.set("connection", "close");
  return last;
}
