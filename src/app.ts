/**
 * The page: the table of routes, and the parts that stand behind it.
 *
 * @module
 */

import type { Config } from "./config/config.ts";
import { defaultModel } from "./config/default_model.ts";
import { secretsOf } from "./config/describe.ts";
import { BunWriter, type ConnectionTimer } from "./core/bun_writer.ts";
import { Driver } from "./core/driver.ts";
import type { AppError } from "./core/errors.ts";
import { watchAll } from "./core/events.ts";
import type { Engine, OpenStream } from "./core/exchange.ts";
import type { Memory } from "./core/memory.ts";
import { Stamps } from "./core/stamp.ts";
import type { Surface } from "./core/surface.ts";
import type { Workflows } from "./core/workflow.ts";
import { timerAlarm, Wheel } from "./lib/wheel.ts";
import { openConversations } from "./memory/conversations.ts";
import { composeMemory } from "./memory/compose.ts";
import { bearerAuth, type BearerToken } from "./ops/auth.ts";
import { clientAddress } from "./ops/client_address.ts";
import { preflight } from "./ops/cors.ts";
import { Admission, type AdmissionListener } from "./ops/admission.ts";
import { type Gather, mergeReports, type ReportKind } from "./ops/gather.ts";
import { type Health, healthResponse } from "./ops/health.ts";
import type { MetricsSnapshot } from "./ops/metrics_snapshot.ts";
import { METRICS_HEADERS, metricsText } from "./ops/metrics_text.ts";
import { makeObserver, type Observer, type ProcessFacts } from "./ops/observer.ts";
import { servePage } from "./ops/page.ts";
import { jwtAuth, makeToken } from "./ops/jwt.ts";
import { composeSources, type Sources } from "./sources/compose.ts";
import { TokenCounter } from "./sources/tokens.ts";
import { routedFetch } from "./sources/upstream/transport.ts";
import { docs } from "./surfaces/admin/docs.ts";
import { metrics } from "./surfaces/admin/metrics.ts";
import { operationRoutes } from "./surfaces/admin/routes.ts";
import { memoryServer } from "./surfaces/character_chat/memory.ts";
import { v1Response } from "./surfaces/character_chat/response.ts";
import { memoryRoutes, responseRoutes } from "./surfaces/character_chat/routes.ts";
import { apiChat } from "./surfaces/content_events/chat.ts";
import { contentEventsRoutes } from "./surfaces/content_events/routes.ts";
import { chat } from "./surfaces/gpt_server/chat.ts";
import { conv } from "./surfaces/gpt_server/conv.ts";
import { ownConv } from "./surfaces/gpt_server/conv_own.ts";
import { passedConv } from "./surfaces/gpt_server/conv_passed.ts";
import { event } from "./surfaces/gpt_server/event.ts";
import { gptServerRoutes } from "./surfaces/gpt_server/routes.ts";
import { token } from "./surfaces/gpt_server/token.ts";
import { workflowRoutes } from "./surfaces/model_compose/routes.ts";
import { workflowRuns } from "./surfaces/model_compose/runs.ts";
import { tasks } from "./surfaces/model_compose/tasks.ts";
import { workflowSchemas } from "./surfaces/model_compose/workflows.ts";
import { chatCompletions, v1Door } from "./surfaces/openai/chat_completions.ts";
import { models } from "./surfaces/openai/models.ts";
import { openaiRoutes } from "./surfaces/openai/routes.ts";
import type { Route } from "./surfaces/route.ts";
import { pathOf, Router } from "./surfaces/router.ts";
import { unserved } from "./surfaces/unserved.ts";
import { builtinDefinition } from "./workflows/builtin.ts";
import type { Definition } from "./workflows/definition.ts";
import { composeWorkflows } from "./workflows/compose.ts";
import type { RunNote } from "./workflows/engine.ts";

/** What the app takes from the process it runs in. A test gives its own. */
export interface World {
  readonly version: string;
  /** The version of OpenAI's SDK that the shapes are tested against. */
  readonly openaiSdkVersion: string;
  /** Milliseconds that never go back. */
  readonly clock: () => number;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  readonly randomBytes: (target: Uint8Array<ArrayBuffer>) => void;
  readonly process: ProcessFacts;
  /** PEM text of a `ca_file` of the config; "" = none. */
  readonly caOf: (file: string) => string;
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
export interface Listener extends AdmissionListener, ConnectionTimer {}

/** A whole weir without its port. */
export interface App {
  readonly fetch: (request: Request, listener?: Listener) => Response | Promise<Response>;
  /** What `ops.metrics_port` serves: /metrics and /health, open to whoever reaches that port. */
  readonly fetchOps: (request: Request) => Response | Promise<Response>;
  readonly observer: Observer;
  readonly engine: Engine;
  readonly sources: Sources;
  /** The table. */
  readonly routes: readonly Route[];
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
  definition: Definition = builtinDefinition(defaultModel(config)),
): App {
  const { server, llm, mock } = config;
  const { wallMs, uuid } = world;
  const model = defaultModel(config);
  const secrets = world.tokens.map(({ token }) => token);
  const startMs = world.clock();

  const wheel = new Wheel(world.clock, timerAlarm());
  const streams = new Set<OpenStream>();
  const admission = new Admission(server, {
    streams,
    addressOf: clientAddress(server.trusted_proxies),
    wantsAddresses: config.ops.log === "requests",
  });
  const observer = makeObserver({
    ...world,
    ...config,
    wheel,
    secrets: secretsOf(config),
    fetch: routedFetch({ proxy: "", ca: world.caOf(llm.ca_file) }),
    read() {
      const { turns = 0, oldestAtMs = wallMs() } = memory.backlog?.() ?? {};
      const outboxOldestMs = Math.max(0, wallMs() - oldestAtMs);
      return { streamsOpen: streams.size, outboxTurns: turns, outboxOldestMs };
    },
  });
  const engine: Engine = {
    wheel,
    streams,
    watch: admission.countsClients ? watchAll([observer.watch, admission.watch]) : observer.watch,
    keepaliveMs: server.keepalive_ms,
    writeTimeoutMs: server.write_timeout_ms,
    ...(admission.knowsClients ? { clientOf: admission.clientOf } : {}),
    startTrace: observer.startTrace,
  };
  const driver = new Driver(engine, server);
  const tokens = new TokenCounter(mock.count_bytes_max);
  const sources = composeSources(config, world, tokens, wheel);
  const memory = composeMemory(config, world, engine, (text) => tokens.count(text));
  const conversations = openConversations(config.memory.url, world.folder, world);
  const asked = {
    source: sources.apiChat,
    fetch: routedFetch({ proxy: llm.proxy, ca: world.caOf(llm.ca_file) }),
  };
  const workflows = composeWorkflows(config, world, driver, asked, definition);

  // Who may ask, and what the surfaces share.
  const authorize = bearerAuth(world.tokens);
  const { secret_key: secretKey } = config.auth;
  const checkVisitor = jwtAuth({ secretKey, tokens: world.tokens, wallMs });
  const stamps = new Stamps(wallMs, world.randomBytes);
  const isDraining = config.chat.on_disconnect === "drain";
  const streaming = {
    stamps,
    isDraining,
    recordLateness: (lateMs: number) => observer.metrics.latenessMs.record(lateMs),
  };
  const openai = {
    ...streaming,
    persona: mock.persona,
    validate: mock.validate,
    processingMs: mock.first_token_ms,
  };
  const { main } = sources;
  const pages = docs({ routes: () => routes, version: world.version });
  const page = servePage();
  const workflowDeps = { workflows, authorize };

  // The table: every URL is a row of one of these.
  const { basePath } = definition.controller;
  const workflowBases = [...new Set(["/api", basePath])];
  const workflowSurfaces = {
    runs: workflowRuns(workflowDeps),
    ...workflowSchemas(workflowDeps),
    task: tasks(workflowDeps),
    health: () => {
      const isReady = app.status === "ok";
      return Response.json({ status: isReady ? "ok" : app.status }, {
        status: isReady ? 200 : 503,
        headers: { "content-type": "application/json", "access-control-allow-origin": "*" },
      });
    },
  };
  const routes: readonly Route[] = [
    ...openaiRoutes({
      chatCompletions: chatCompletions({
        ...openai,
        source: main,
        isRelaying: sources.isRelaying(main),
        door: v1Door(authorize, secrets),
      }),
      models: models({
        stamps,
        authorize,
        secrets,
        upstream: sources.upstream,
        models: mock.models,
      }),
    }),
    ...contentEventsRoutes(
      apiChat({ ...streaming, authorize, source: sources.apiChat, defaultModel: model }),
    ),
    ...responseRoutes(v1Response({
      ...streaming,
      source: main,
      memory,
      authorize,
      model,
      onDisconnect: config.response.on_disconnect,
      wallMs,
      makeSessionId: uuid,
    })),
    ...(memory.name === "http"
      ? []
      : memoryRoutes(memoryServer({ memory, authorize, wallMs, makeTaskId: uuid }))),
    ...gptServerRoutes({
      token: token({
        hasSecretKey: secretKey !== "",
        makeToken: ({ id, hours, key }) => makeToken({ id, hours, key, nowMs: wallMs() }),
      }),
      event: event(streaming),
      chat: chat({
        ...openai,
        checkVisitor,
        source: sources.chat,
        isRelaying: sources.isRelaying(sources.chat),
      }),
      conv: conv({
        checkVisitor,
        room: sources.conv !== undefined
          ? passedConv({ upstream: sources.conv, uuid, isDraining })
          : ownConv({
            ...streaming,
            source: main,
            conversations,
            historyMax: 2 * config.memory.history_turns,
            model,
            uuid,
          }),
      }),
    }),
    ...operationRoutes({
      health: async (request) => healthResponse(await wholeHealth(), request.headers.get("accept")),
      metrics: config.ops.metrics_port === 0
        ? metrics({ authorize, secrets, stamps, read: allMetrics, headers: METRICS_HEADERS })
        : undefined,
      page: async (request) => await page(request) ?? refuse(request),
      document: pages.document,
      docs: pages.page,
      docsFile: pages.file,
      redoc: pages.redoc,
    }),
    ...workflowBases.flatMap((base) => workflowRoutes(base, workflowSurfaces)),
  ];
  const router = new Router(routes);
  const unservedBy = unserved({ router, stamps, workflowBases });
  const writerOptions = { idleTimeoutS: idleTimeoutS(config) };

  /** What Bun calls for each request. */
  function receive(request: Request, listener?: Listener): Response | Promise<Response> {
    const error = admission.check(request, listener);
    if (error !== undefined) return refuse(request, listener, error);
    const { method } = request;
    const match = router.find(method, request.url);
    if (match === undefined) {
      return method === "OPTIONS" ? preflight(request) : refuse(request, listener);
    }
    const { route: { serve }, params } = match;
    const response = typeof serve === "function"
      ? serve(request, params)
      : run(serve, request, params, listener);
    return method === "HEAD" ? withoutBody(response) : response;
  }

  /** Lets the driver answer. */
  function run(
    surface: Surface,
    request: Request,
    params: Readonly<Record<string, string>>,
    listener: Listener | undefined,
  ): Response | Promise<Response> {
    const writer = new BunWriter(request, listener, writerOptions, app.status === "draining");
    driver.answer(surface, request, params, writer);
    return writer.take();
  }

  /** Answers what no row takes, or what `error` keeps out. */
  function refuse(
    request: Request,
    listener?: Listener,
    error?: AppError,
  ): Response | Promise<Response> {
    const { method, url } = request;
    return run(unservedBy({ method, path: pathOf(url), error }), request, NO_PARAMS, listener);
  }

  async function allMetrics(): Promise<string> {
    const { reports } = await world.gather?.("metrics") ??
      { reports: [observer.metrics.snapshot()] };
    return metricsText(mergeReports("metrics", reports) as MetricsSnapshot);
  }

  async function fetchOps(request: Request): Promise<Response> {
    const path = pathOf(request.url);
    if (path === "/metrics" && request.method === "GET") {
      return new Response(await allMetrics(), { headers: METRICS_HEADERS });
    }
    if (path === "/health") {
      return healthResponse(await wholeHealth(), request.headers.get("accept"));
    }
    return new Response("Only /metrics and /health are on this port\n", { status: 404 });
  }

  function health(): Health {
    return {
      status: app.status,
      version: world.version,
      uptime_s: Math.floor((world.clock() - startMs) / 1000),
      source: main.name,
      streams_open: streams.size,
      openai_sdk_version: world.openaiSdkVersion,
      api_key_configured: [llm, ...config.upstreams].some(({ api_key }) => api_key !== ""),
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

  const app: App = {
    fetch: receive,
    fetchOps,
    observer,
    engine,
    sources,
    routes,
    tokens,
    memory,
    workflows,
    needsToken: world.tokens.length > 0,
    close() {
      conversations.close();
      sources.close();
    },
    report: (kind) => kind === "health" ? health() : observer.metrics.snapshot(),
    status: "starting",
  };
  return app;
}

const NO_PARAMS: Readonly<Record<string, string>> = {};

/** The answer to HEAD: the head of GET's. */
async function withoutBody(response: Response | Promise<Response>): Promise<Response> {
  return new Response(null, await response);
}

/** The longest silence on a connection, in the whole seconds that Bun takes. */
export function idleTimeoutS({ server }: Config): number {
  return Math.ceil(server.idle_timeout_ms / 1000);
}
