/**
 * The page: makes every part from the config, and mounts every URL once.
 *
 * @module
 */

import { Hono } from "hono";
import { type Answerers, defaultModel, makeAnswerers } from "./answerers.ts";
import type { Source } from "./core/answer.ts";
import type { Config } from "./core/config.ts";
import { secretsOf } from "./core/config_describe.ts";
import { watchAll } from "./core/events.ts";
import { type Engine, Exchange, type OpenStream } from "./core/exchange.ts";
import type { Memory } from "./core/memory.ts";
import { Stamps } from "./core/stamp.ts";
import { compilePrompt, DEFAULT_TEMPLATE } from "./core/system_prompt.ts";
import type { Workflows } from "./core/workflow.ts";
import { timerAlarm, Wheel } from "./lib/wheel.ts";
import { openConversations } from "./memory/conversations.ts";
import { openMemory } from "./memory/open.ts";
import { bearerAuth, type BearerToken } from "./ops/auth.ts";
import { clientAddress } from "./ops/client_address.ts";
import { preflight } from "./ops/cors.ts";
import { Gate, type GateListener } from "./ops/gate.ts";
import { type Gather, mergeReports, type ReportKind } from "./ops/gather.ts";
import { type Health, healthResponse } from "./ops/health.ts";
import type { MetricsSnapshot } from "./ops/metrics_snapshot.ts";
import { metricsResponse } from "./ops/metrics_text.ts";
import { makeObserver, type Observer, type ProcessFacts } from "./ops/observer.ts";
import { servePage } from "./ops/page.ts";
import { makeToken, tokenAuth } from "./ops/token.ts";
import { TokenCounter } from "./sources/tokens.ts";
import { routedFetch } from "./sources/transport.ts";
import { apiChat } from "./surfaces/api_chat.ts";
import { tasks } from "./surfaces/api_tasks.ts";
import { workflowSchemas } from "./surfaces/api_workflows.ts";
import { workflowRuns } from "./surfaces/api_workflows_runs.ts";
import { BodyLimits } from "./surfaces/body.ts";
import { chat } from "./surfaces/chat.ts";
import { conv } from "./surfaces/conv.ts";
import { ownConv } from "./surfaces/conv_own.ts";
import { passedConv } from "./surfaces/conv_passed.ts";
import { jsonResponse } from "./surfaces/detail_errors.ts";
import { docs } from "./surfaces/docs.ts";
import { event } from "./surfaces/event.ts";
import { memoryServer } from "./surfaces/memory.ts";
import { errorResponse, keyError } from "./surfaces/openai_errors.ts";
import { openapiRoutes } from "./surfaces/openapi_routes.ts";
import { token } from "./surfaces/token.ts";
import { unserved } from "./surfaces/unserved.ts";
import { chatCompletions, v1Door } from "./surfaces/v1_chat_completions.ts";
import { models } from "./surfaces/v1_models.ts";
import { v1Response } from "./surfaces/v1_response.ts";
import { builtinDefinition, DEFAULT_MODEL } from "./workflows/builtin.ts";
import type { Definition } from "./workflows/definition.ts";
import { type RunNote, WorkflowEngine } from "./workflows/engine.ts";
import { askSource } from "./workflows/llm.ts";

/** What the app takes from the process it runs in. A test gives its own. */
export interface World {
  readonly version: string;
  readonly openaiSdkVersion: string;
  /** Milliseconds that never go back. */
  readonly clock: () => number;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  readonly randomBytes: (target: Uint8Array<ArrayBuffer>) => void;
  readonly process: ProcessFacts;
  /** PEM text of `llm.ca_file`; "" = none. */
  readonly ca: string;
  /** The text of `memory.system_prompt_file`; "" = none. */
  readonly systemPrompt: string;
  /** The folder that relative paths count from. */
  readonly folder: string;
  /** An id that no other process will make. */
  readonly uuid: () => string;
  /** Told what happens to each run of a workflow. */
  readonly noteRun?: (note: RunNote) => void;
  /** The tokens that open the door; none = it is open. */
  readonly tokens: readonly BearerToken[];
  /** Asks every process of this weir, this one with them. Absent: there is only this app. */
  readonly gather?: Gather;
}

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
  const wheel = new Wheel(world.clock, timerAlarm());
  const streams = new Set<OpenStream>();
  const gate = new Gate(config.server, {
    streams,
    addressOf: clientAddress(config.server.trusted_proxies),
    wantsAddresses: config.ops.log === "requests",
  });
  const observer = makeObserver({
    ...world,
    ...config,
    wheel,
    secrets: secretsOf(config),
    fetch: routedFetch({ proxy: "", ca: world.ca }),
    read() {
      const { turns = 0, oldestAtMs = world.wallMs() } = memory.backlog?.() ?? {};
      const outboxOldestMs = Math.max(0, world.wallMs() - oldestAtMs);
      return { streamsOpen: streams.size, outboxTurns: turns, outboxOldestMs };
    },
  });
  const { metrics } = observer;
  const recordLateness = (lateMs: number) => metrics.latenessMs.record(lateMs);
  const engine: Engine = {
    wheel,
    streams,
    watch: gate.countsClients ? watchAll([observer.watch, gate.watch]) : observer.watch,
    keepaliveMs: config.server.keepalive_ms,
    writeTimeoutMs: config.server.write_timeout_ms,
    ...(gate.knowsClients ? { admit: gate.admit } : {}),
    startTrace: observer.startTrace,
  };
  const stamps = new Stamps(world.wallMs, world.randomBytes);
  const tokens = new TokenCounter(config.mock.count_bytes_max);
  const answerers = makeAnswerers(config, world, tokens, wheel);
  const { source } = answerers.main;
  const memory: Memory = makeMemory(config, world, engine, tokens);
  const secrets = world.tokens.map(({ token }) => token);
  const authorize = bearerAuth(world.tokens);
  const { secret_key } = config.auth;
  const admit = tokenAuth({
    secretKey: secret_key,
    tokens: world.tokens,
    wallMs: world.wallMs,
  });
  const startMs = world.clock();
  const model = defaultModel(config);

  const bodyLimits = new BodyLimits(wheel, config.server);
  const shared = { engine, source, stamps, authorize, secrets };
  const streaming = { engine, stamps, bodyLimits, recordLateness };
  const openai = {
    ...streaming,
    persona: config.mock.persona,
    validate: config.mock.validate,
    processingMs: config.mock.first_token_ms,
  };
  const v1Chat = chatCompletions({ ...openai, source, door: v1Door(authorize, secrets) });
  const contentChat = apiChat({
    ...streaming,
    authorize,
    source: answerers.apiChat.source,
    defaultModel: model,
  });
  const response = v1Response({
    ...shared,
    source: answerers.response.source,
    memory,
    recordLateness,
    bodyLimits,
    model: config.llm.model_id || (config.mock.models[0] ?? ""),
    onDisconnect: config.response.on_disconnect,
    wallMs: world.wallMs,
    makeSessionId: world.uuid,
  });
  const remember = memoryServer({
    engine,
    memory,
    authorize,
    bodyLimits,
    wallMs: world.wallMs,
    makeTaskId: world.uuid,
  });
  const tokenChat = chat({ ...openai, admit, source: answerers.chat.source });
  const giveToken = token({
    engine,
    hasSecretKey: secret_key !== "",
    makeToken: ({ id, hours, key }) => makeToken({ id, hours, key, nowMs: world.wallMs() }),
  });
  const timedEvents = event(streaming);
  const conversations = openConversations(config.memory.url, world.folder, world);
  const converse = conv({
    engine,
    admit,
    room: answerers.conv !== undefined
      ? passedConv({ upstream: answerers.conv, bodyLimits, uuid: world.uuid })
      : ownConv({
        ...streaming,
        source,
        conversations,
        historyMax: 2 * config.memory.history_turns,
        model,
        uuid: world.uuid,
      }),
  });
  const pages = docs({
    routes: openapiRoutes(definition.controller.basePath),
    version: world.version,
  });
  const workflows = makeWorkflows(config, world, engine, answerers.apiChat.source, definition);
  const workflowDeps = { engine, workflows, authorize, bodyLimits };
  const runWorkflow = workflowRuns(workflowDeps);
  const showWorkflows = workflowSchemas(workflowDeps);
  const showTask = tasks(workflowDeps);
  const page = servePage();
  const listModels = models({ ...shared, models: config.mock.models });

  const hono = new Hono<{ Bindings: Partial<Listener> }>();
  // One handler per method, never `all`: a second one that matches the hot POST would send it
  // through Hono's chain of middleware, three promises more and 8 % of its requests per second.
  hono.options("*", (c) => preflight(c.req.raw)); // before whatever takes all methods
  hono.post("/v1/chat/completions", (c) => v1Chat(c.req.raw));
  hono.post("/v1/response", (c) => response(c.req.raw));
  // A weir that asks a memory server is none itself: it would only pass the questions on.
  if (memory.name !== "http") {
    hono.post("/memory/apply", (c) => remember.apply(c.req.raw));
    hono.post("/memory/upload", (c) => remember.upload(c.req.raw));
    hono.post("/memory/messages", (c) => remember.messages(c.req.raw));
    hono.post("/memory/query", (c) => remember.query(c.req.raw));
    hono.delete("/memory/delete", (c) => remember.delete(c.req.raw));
  }
  hono.get("/v1/models", (c) => listModels(c.req.raw, undefined));
  hono.get("/v1/models/:id{.+}", (c) => listModels(c.req.raw, c.req.param("id")));
  hono.post("/api/chat", (c) => contentChat(c.req.raw));
  hono.on(["GET", "POST"], "/token", (c) => giveToken(c.req.raw));
  hono.on(["GET", "POST"], "/event", (c) => timedEvents(c.req.raw));
  hono.post("/chat", (c) => tokenChat(c.req.raw));
  hono.on(["GET", "POST", "PUT", "PATCH", "DELETE"], "/conv", (c) => converse(c.req.raw));
  hono.get("/", (c) => onPage(c.req.raw));
  hono.get("/ui/*", (c) => onPage(c.req.raw));
  hono.get("/openapi.json", pages.document);
  hono.get("/docs", pages.page);
  hono.get("/docs/:file", (c) => pages.file(c.req.param("file")));
  hono.get("/redoc", pages.redoc);
  if (config.ops.metrics_port === 0) hono.get("/metrics", (c) => publicMetrics(c.req.raw));
  hono.get("/health", async (c) => {
    return healthResponse(await wholeHealth(), c.req.header("accept") ?? null);
  });
  for (const base of new Set(["/api", definition.controller.basePath])) {
    hono.post(`${base}/workflows/runs`, (c) => runWorkflow(c.req.raw, patience(c.req.raw, c.env)));
    // `/workflows/:id/schema` beside a fixed `/workflows/runs` would cost every URL Hono's fast
    // router: it cannot tell the two apart.
    hono.all(`${base}/workflows/*`, (c) => showWorkflows(c.req.raw, c.req.path.slice(base.length)));
    hono.all(`${base}/tasks/*`, (c) => showTask(c.req.raw, c.req.path.slice(base.length)));
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
      ? (isHotChat(request) ? v1Chat(request) : hono.fetch(request, listener))
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
    return await page(request) ?? refuse(request, new URL(request.url).pathname);
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
    const { reports } = await world.gather?.("metrics") ?? { reports: [metrics.snapshot()] };
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
    return kind === "health" ? health() : metrics.snapshot();
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
      conversations.close();
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

/** What remembers conversations for `/v1/response`. */
function makeMemory(config: Config, world: World, engine: Engine, tokens: TokenCounter): Memory {
  const { history_turns, history_tokens, system_prompt } = config.memory;
  const { wheel, watch } = engine;
  return openMemory({
    config: config.memory,
    token: world.tokens[0]?.token ?? "",
    folder: world.folder,
    limits: { turnsMax: history_turns, tokensMax: history_tokens },
    countTokens: (text) => tokens.count(text),
    fillPrompt: compilePrompt(world.systemPrompt || system_prompt || DEFAULT_TEMPLATE),
    watch,
    clock: world.clock,
    wallMs: world.wallMs,
    random: world.random,
    makeKey: world.uuid,
    fetch,
    sleep: (delayMs, signal) => wheel.until(wheel.nowMs + delayMs, signal),
  });
}

/** The workflows, asking `source` where they ask weir itself. */
function makeWorkflows(
  config: Config,
  world: World,
  engine: Engine,
  source: Source,
  definition: Definition,
): Workflows {
  const { llm } = config;
  return new WorkflowEngine(definition, {
    calls: {
      fetch: routedFetch({ proxy: llm.proxy, ca: world.ca }),
      askLlm: askSource(source, engine, llm.model_id || DEFAULT_MODEL),
      wheel: engine.wheel,
      limits: {
        headersMs: llm.headers_timeout_ms,
        firstChunkMs: llm.first_token_timeout_ms,
        idleMs: llm.idle_timeout_ms,
      },
    },
    wheel: engine.wheel,
    wallMs: world.wallMs,
    random: world.random,
    randomBytes: world.randomBytes,
    note: world.noteRun ?? (() => {}),
    onBug: (error) => engine.watch({ kind: "bug", where: "workflow", error }),
  });
}
