/**
 * The page: the table of routes, and the parts that stand behind it.
 *
 * @module
 */

import { type AccountsWorld, countsUsage, openAccounts } from "./accounts.ts";
import type { Config } from "./config/config.ts";
import { defaultModel } from "./config/default_model.ts";
import { secretsOf } from "./config/describe.ts";
import type { LatencyValues } from "./config/latency.ts";
import { ownKeys } from "./config/own_keys.ts";
import { Driver } from "./core/driver.ts";
import { AppError, type ErrorCode, shuttingDown } from "./core/errors.ts";
import { type Event, watchAll } from "./core/events.ts";
import type { Engine, OpenStream } from "./core/exchange.ts";
import type { Client } from "./core/facts.ts";
import type { Memory } from "./core/memory.ts";
import { type AnswerPeer, NO_PEERS, type Peers } from "./core/peers.ts";
import { Stamps } from "./core/stamp.ts";
import { webRequest, writeResponse } from "./core/web.ts";
import type { Workflows } from "./core/workflow.ts";
import type { Http1Error, RequestFault } from "./lib/http1/error.ts";
import type { RequestHead } from "./lib/http1/request_head.ts";
import type { Http1Handler } from "./lib/http1/server_connection.ts";
import type { ServerExchange } from "./lib/http1/server_exchange.ts";
import { WallSecond } from "./lib/wall_second.ts";
import { timerAlarm, Wheel } from "./lib/wheel.ts";
import { openConversations } from "./memory/conversations.ts";
import { composeMemory } from "./memory/compose.ts";
import { apiKeyAuth, bearerAuth } from "./ops/auth.ts";
import { clientAddress, isFromHere } from "./ops/client_address.ts";
import { preflightHeaders } from "./ops/cors.ts";
import { Admission } from "./ops/admission.ts";
import { type Gather, mergeReports, type ReportKind } from "./ops/gather.ts";
import { type Health, healthResponse } from "./ops/health.ts";
import type { ConnectionReadings } from "./ops/metrics.ts";
import type { MetricsSnapshot } from "./ops/metrics_snapshot.ts";
import { METRICS_HEADERS, metricsText } from "./ops/metrics_text.ts";
import { makeObserver, type Observer, type ProcessFacts } from "./ops/observer.ts";
import { OriginGuard } from "./ops/origin_guard.ts";
import { servePage } from "./ops/page.ts";
import { jwtAuth, makeToken } from "./ops/jwt.ts";
import { composeSources, type Sources } from "./sources/compose.ts";
import { keysOf } from "./sources/upstream/upstream.ts";
import { draws } from "./sources/draws.ts";
import { planOwn } from "./sources/faults/faults.ts";
import type { StrikeDeps } from "./sources/faults/strike.ts";
import { responder } from "./sources/fixtures/respond.ts";
import { limitFault, Limits } from "./sources/limits/limits.ts";
import { promptTokens } from "./sources/prompt_tokens.ts";
import type { TapeFolder } from "./sources/tape/folder.ts";
import { TokenCounters } from "./sources/tokens.ts";
import { routedFetch } from "./sources/upstream/transport.ts";
import { docs } from "./surfaces/admin/docs.ts";
import { metrics } from "./surfaces/admin/metrics.ts";
import type { Desk } from "./surfaces/admin/desk.ts";
import { fixtureRoutes } from "./surfaces/admin/fixture_routes.ts";
import { fixtureAdmin } from "./surfaces/admin/fixtures.ts";
import { operationRoutes } from "./surfaces/admin/routes.ts";
import { usageRoute } from "./surfaces/admin/usage.ts";
import { anthropicDoor } from "./surfaces/anthropic/door.ts";
import { countTokens, messages } from "./surfaces/anthropic/messages.ts";
import { anthropicModels } from "./surfaces/anthropic/models.ts";
import { anthropicRoutes } from "./surfaces/anthropic/routes.ts";
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
import { completions } from "./surfaces/openai/completions.ts";
import { keptObjects } from "./surfaces/openai/kept.ts";
import { keptRoutes } from "./surfaces/openai/kept_routes.ts";
import { models } from "./surfaces/openai/models.ts";
import { openaiDoor, passed, type PassedDoor } from "./surfaces/openai/passed.ts";
import { responses } from "./surfaces/openai/responses.ts";
import { openaiRoutes } from "./surfaces/openai/routes.ts";
import type { Page, Route } from "./surfaces/route.ts";
import { pathOf, plainPathOf, Router } from "./surfaces/router.ts";
import { turningAway, unserved } from "./surfaces/unserved.ts";
import { builtinDefinition } from "./workflows/builtin.ts";
import type { Definition } from "./workflows/definition.ts";
import { composeWorkflows } from "./workflows/compose.ts";
import type { RunNote } from "./workflows/engine.ts";

/** What the app takes from the process it runs in. A test gives its own. */
export interface World extends AccountsWorld {
  readonly version: string;
  /** The version of OpenAI's SDK that the shapes are tested against. */
  readonly openaiSdkVersion: string;
  readonly randomBytes: (target: Uint8Array<ArrayBuffer>) => void;
  readonly process: ProcessFacts;
  /** The folder of tapes at `path`, as the config writes it. */
  readonly tapeFolder: (path: string) => TapeFolder;
  /** The text of `memory.system_prompt_file`; "" = none. */
  readonly systemPrompt: string;
  /** What the file of `mock.latency.profile` says; absent = it names none. */
  readonly latencyFile?: LatencyValues | undefined;
  /** Client connections of this process; absent: it has none. */
  readonly connections?: () => ConnectionReadings;
  /** Told what happens to each run of a workflow. */
  readonly noteRun?: (note: RunNote) => void;
  /** Asks every process of this weir, this one with them. Absent: there is only this app. */
  readonly gather?: Gather;
  /** The other workers of this weir. Absent: there are none. */
  readonly peers?: Peers;
  /** What outlives this app: fixtures that were added, and the journal. */
  readonly desk: Desk;
}

/** A whole weir without its port. */
export interface App extends Http1Handler {
  /** What `ops.metrics_port` serves: /metrics and /health, open to whoever reaches that port. */
  readonly operation: Http1Handler;
  /** Answers in its place that the server is shutting down, whatever is asked. */
  readonly turningAway: Http1Handler;
  readonly observer: Observer;
  readonly engine: Engine;
  readonly sources: Sources;
  /** Fixtures of files that are in force. */
  readonly fixtureCount: number;
  /** The table. */
  readonly routes: readonly Route[];
  readonly tokens: TokenCounters;
  readonly memory: Memory;
  readonly workflows: Workflows;
  /** False: whoever reaches the port may ask. */
  readonly needsToken: boolean;
  /** Keeps what is to be kept of usage, and looks for keys no more. */
  readonly closeStore: () => Promise<void>;
  /** Closes what is open: files, idle connections to upstreams. Nothing may be asked afterwards. */
  readonly close: () => Promise<void>;
  /** What it tells of itself, as JSON carries it. */
  readonly report: (kind: ReportKind) => unknown;
  /** Answers what another worker asks about what is kept here. */
  readonly answerPeer: AnswerPeer;
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
  const secrets = [...world.tokens, ...world.keys].map(({ token }) => token)
    .filter((token) => token !== "");
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
      const { deadLetters = 0 } = memory.health?.() ?? {};
      const outboxOldestMs = Math.max(0, wallMs() - oldestAtMs);
      const connections = world.connections?.() ?? { open: 0, accepted: 0, refused: 0 };
      const outbox = { outboxTurns: turns, outboxOldestMs, deadLetters };
      const cache = sources.cacheReadings();
      return { streamsOpen: streams.size, connections, ...outbox, cache };
    },
  });
  const engine: Engine = {
    wheel,
    streams,
    watch: watchAll([
      observer.watch,
      ...(admission.countsClients ? [admission.watch] : []),
      ...(countsUsage(config, world) ? [(event: Event) => accounts.counts?.watch(event)] : []),
    ]),
    keepaliveMs: server.keepalive_ms,
    writeTimeoutMs: server.write_timeout_ms,
    tellsRoutes: config.ops.route_headers,
    startTrace: observer.startTrace,
    note: config.ops.journal === "off" ? undefined : world.desk.journal.note,
  };
  const driver = new Driver(engine, server, (call) => sources.strike(call));
  const tokens = new TokenCounters(mock.count_bytes_max);
  const { desk } = world;
  const accounts = openAccounts(config, world, engine, tokens);
  const { keys, objects, shared } = accounts;
  const chance = draws({ seed: mock.seed, ordinals: desk.ordinals });
  const limits = mock.limits.length === 0
    ? undefined
    : new Limits(mock.limits, desk.limiter, wallMs);
  const strikes: StrikeDeps = {
    ordinals: desk.ordinals,
    rateLimited: limitFault(limits, wallMs),
  };
  const recordLateness = (lateMs: number) => observer.metrics.latenessMs.record(lateMs);
  const sourcesWorld = {
    ...{ ...world, limits, recordLateness },
    draws: chance,
    watch: engine.watch,
    ordinals: desk.ordinals,
    breakers: shared?.breakers,
    sharedBytes: shared?.bytes,
  };
  const sources = composeSources(
    config,
    sourcesWorld,
    tokens,
    wheel,
    {
      shelf: desk.shelf,
      responder: responder({
        tokens,
        promptTokens: (prompt) => promptTokens(prompt, tokens.of(prompt.model)),
        pace: mock,
        validate: mock.validate,
        random: world.random,
        draws: chance,
        ...strikes,
        wallMs,
      }),
      isStrict: mock.strict,
      keepsViews: config.ops.journal === "bodies",
    },
    strikes,
    keys,
    accounts.counts,
  );
  const memory = composeMemory(config, world, engine, (text) => tokens.of(model).count(text));
  const conversations = openConversations(config.memory.url, world.folder, {
    ...{ wallMs, uuid },
    watch: engine.watch,
  });
  const asked = {
    source: sources.apiChat,
    fetch: routedFetch({ proxy: llm.proxy, ca: world.caOf(llm.ca_file) }),
  };
  const workflows = composeWorkflows(config, world, driver, asked, definition);

  // Who may ask, and what the surfaces share.
  const authorize = bearerAuth(keys?.ring);
  const { secret_key: secretKey } = config.auth;
  const checkVisitor = jwtAuth({ secretKey, keys: keys?.ring, wallMs });
  const second = new WallSecond(wheel, wallMs);
  const peers = world.peers ?? NO_PEERS;
  const stamps = new Stamps(() => second.now, world.randomBytes, peers.own);
  const isDraining = config.chat.on_disconnect === "drain";
  const streaming = {
    stamps,
    isDraining,
    recordLateness,
  };
  const openai = {
    ...streaming,
    persona: mock.persona === "minimal" ? "minimal" as const : "live" as const,
    validate: mock.validate,
    processingMs: mock.latency.profile === "plain" ? mock.first_token_ms : undefined,
  };
  const { main } = sources;
  const ofMain = { source: main, isRelaying: sources.isRelaying(main) };
  const door = v1Door(authorize, secrets);
  const anthropic = { stamps, authorize: apiKeyAuth(keys?.ring) };
  const passedBy = (door: PassedDoor, name = "v1_passed") =>
    passed({
      name,
      source: sources.passing,
      streamsUp: () => sources.streamsUp(sources.passing, "openai"),
      isDraining,
      door,
    });
  const passing = (name?: string) => passedBy(openaiDoor({ stamps, authorize, secrets }), name);
  const passedOn = sources.passesAll ? passing() : undefined;
  const kept = keptObjects({
    ...openai,
    peers,
    passed: passedOn,
    answerer: sources.answerer,
    isRelaying: ofMain.isRelaying,
    authorize,
    secrets,
    model,
    models: mock.models,
    reply: mock.reply,
    wheel,
    wallMs,
    tokens,
    limits: { entriesMax: mock.kept_max, bytesMax: mock.kept_max_bytes },
    objects,
  });
  const modelsSurface = models({
    stamps,
    authorize,
    secrets,
    upstream: sources.models,
    models: mock.models,
  });
  const pages = docs({ routes: () => routes, version: world.version });
  const page = servePage();
  const workflowDeps = { workflows, authorize };

  // The table: every URL is a row of one of these.
  const { basePath } = definition.controller;
  const workflowBases = [...new Set(["/api", basePath])];
  const workflowSurfaces = {
    runs: workflowRuns({
      ...workflowDeps,
      planFaults: planOwn({
        draws: chance,
        takesHeader: config.faults.header || !sources.isRelaying(sources.apiChat),
      }),
    }),
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
        ...ofMain,
        streamsUp: () => sources.streamsUp(main, "openai_chat"),
        door,
        keeper: kept.completions,
        noteLimits: limits?.note,
      }),
      completions: completions({
        ...openai,
        ...ofMain,
        streamsUp: () => sources.streamsUp(main, "openai_completions"),
        door: { ...door, surface: "v1_completions" },
        tokens,
      }),
      responses: responses({
        ...openai,
        ...ofMain,
        streamsUp: () => sources.streamsUp(main, "openai_responses"),
        authorize,
        secrets,
        model,
        kept: kept.responses,
      }),
      models: modelsSurface,
      deletedModel: sources.passesAll ? passing("v1_models") : modelsSurface,
      embeddings: passing("v1_embeddings"),
      moderations: passing("v1_moderations"),
      passed: passedOn,
      forAnthropic: {
        models: anthropicModels({
          ...anthropic,
          upstream: sources.anthropicModels,
          models: mock.models,
        }),
        passed: sources.passesAll ? passedBy(anthropicDoor(anthropic)) : undefined,
      },
    }),
    ...anthropicRoutes({
      messages: messages({
        ...streaming,
        ...anthropic,
        ...ofMain,
        streamsUp: () => sources.streamsUp(main, "anthropic_messages"),
        promptTokens: sources.promptTokens,
      }),
      countTokens: countTokens({
        ...streaming,
        ...anthropic,
        source: sources.counting,
        isRelaying: sources.isRelaying(main),
        streamsUp: () => false,
      }),
    }),
    ...keptRoutes({
      responses: kept.responses.surfaces,
      conversations: kept.conversations.surfaces,
      completions: kept.completions.surfaces,
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
    ...(memory.name === "http" ? [] : memoryRoutes(memoryServer({
      memory,
      authorize,
      wallMs,
      makeTaskId: uuid,
      pageBytesMax: config.memory.page_max_bytes,
    }))),
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
        streamsUp: () => sources.streamsUp(sources.chat, "openai_chat"),
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
      page,
      document: pages.document,
      docs: pages.page,
      docsFile: pages.file,
      redoc: pages.redoc,
    }),
    usageRoute({
      ...{ authorize, secrets, stamps, wallMs },
      read: accounts.readUsage,
    }),
    ...(mock.admin === "off" ? [] : fixtureRoutes(
      fixtureAdmin({ desk, authorize, secrets, stamps, wheel, uuid, limits }),
    )),
    ...workflowBases.flatMap((base) => workflowRoutes(base, workflowSurfaces)),
  ];
  const spendsOwnKey = ownKeys(config).length > 0;
  const router = new Router(routes, ({ auth, holds }) => {
    if (auth === "admin") return true; // a token in a page of elsewhere is a token in wrong hands
    if (auth === "none" || holds === "nothing") return false;
    const hasLock = keys !== undefined || (auth === "token" && secretKey !== "");
    return !hasLock && (holds === "state" || spendsOwnKey);
  });
  const guard = new OriginGuard(server);
  const unservedBy = unserved({ router, stamps, workflowBases });

  function onRequest(exchange: ServerExchange): void {
    const { head } = exchange;
    const client = admission.clientOf(exchange);
    const error = admission.check(exchange, client) ?? upgradeRefused(head);
    if (error !== undefined) return refuse(exchange, client, error);
    const match = router.find(head.method, head.target);
    if (match === undefined) {
      if (head.method !== "OPTIONS") return refuse(exchange, client);
      const fault = router.guards(
          pathOf(head.target),
          head.fields.get("access-control-request-method") ?? undefined,
        )
        ? keptOut(exchange, pathOf(head.target).startsWith("/__weir/") ? "" : "auth.token")
        : undefined;
      if (fault !== undefined) return refuse(exchange, client, fault);
      return void exchange.whole(204, preflightHeaders(head.fields), null);
    }
    const { route, isGuarded, params } = match;
    const { auth } = route;
    const other = route.serveAnthropic;
    const serve = other !== undefined && head.fields.has("anthropic-version") ? other : route.serve;
    if (auth === "admin" && keys === undefined && !isFromHere(exchange)) {
      return refuse(exchange, client, notFromHere(), serve);
    }
    if (isGuarded) {
      const fault = keptOut(exchange, SECRETS[auth]);
      if (fault !== undefined) return refuse(exchange, client, fault, serve);
    }
    if (typeof serve === "function") {
      return answerPage(() => serve(webRequest(head), params), exchange, client);
    }
    admission.count(client);
    const { opens } = route;
    driver.answer(serve, { head, params, body: exchange, client, opens }, exchange);
  }

  /** Why pages of other sites get no answer; undefined = this one is none, and may read it. */
  function keptOut(exchange: ServerExchange, secret: string): AppError | undefined {
    const { error, readers } = guard.judge(exchange.head.fields, secret);
    exchange.limitReaders(readers);
    return error;
  }

  /** Answers what no row takes, or what `error` keeps out, in the dialect of `row` if there is one. */
  function refuse(
    exchange: ServerExchange,
    client: Client | undefined,
    error?: AppError,
    row?: Route["serve"],
  ): void {
    const { head } = exchange;
    const surface = error !== undefined && typeof row === "object"
      ? turningAway(row, error)
      : unservedBy({
        method: head.method,
        path: pathOf(head.target),
        error,
        isAnthropic: head.fields.has("anthropic-version"),
      });
    admission.count(client);
    driver.answer(surface, { head, params: NO_PARAMS, body: exchange, client }, exchange);
  }

  /** Answers with a page. */
  function answerPage(
    page: () => ReturnType<Page>,
    exchange: ServerExchange,
    client: Client | undefined,
  ): void {
    exchange.dropBody();
    const answer = async () => {
      const response = await page();
      if (response === null) refuse(exchange, client);
      else await writeResponse(response, exchange);
    };
    answer().catch((error) => {
      engine.watch({ kind: "bug", where: pathOf(exchange.head.target), error });
      exchange.whole(500, {}, null);
    });
  }

  async function allMetrics(): Promise<string> {
    const { reports } = await world.gather?.("metrics") ??
      { reports: [observer.metrics.snapshot()] };
    return metricsText(mergeReports("metrics", reports) as MetricsSnapshot);
  }

  async function operationPage({ method, target, fields }: RequestHead): Promise<Response> {
    const path = plainPathOf(target);
    if (path === "/metrics" && (method === "GET" || method === "HEAD")) {
      return new Response(await allMetrics(), { headers: METRICS_HEADERS });
    }
    if (path === "/health") return healthResponse(await wholeHealth(), fields.get("accept"));
    return new Response("Only /metrics and /health are on this port\n", { status: 404 });
  }

  function health(): Health {
    const { trouble = "", deadLetters = 0 } = memory.health?.() ?? {};
    const fixtureTrouble = desk.shelf.trouble;
    const tapeTrouble = sources.tapeTrouble();
    const sharedTrouble = shared?.state === "away" ? shared.state : "";
    const troubles = [trouble, fixtureTrouble, tapeTrouble, accounts.trouble, sharedTrouble];
    const isTroubled = troubles.some((text) => text !== "");
    const isOk = app.status === "ok";
    const upstreams = sources.upstreamHealth();
    return {
      status: isOk && isTroubled
        ? "degraded"
        : isOk && accounts.isStarting
        ? "starting"
        : app.status,
      version: world.version,
      uptime_s: Math.floor((world.clock() - startMs) / 1000),
      source: main.name,
      streams_open: streams.size,
      openai_sdk_version: world.openaiSdkVersion,
      api_key_configured: [llm, ...config.upstreams].some((entry) => keysOf(entry)[0] !== ""),
      model,
      memory: trouble || "ok",
      ...(fixtureTrouble === "" ? {} : { fixtures: fixtureTrouble }),
      ...(tapeTrouble === "" ? {} : { tapes: tapeTrouble }),
      ...(accounts.trouble === "" ? {} : { store: accounts.trouble }),
      ...(shared === undefined ? {} : { shared: sharedTrouble || "ok" }),
      ...(deadLetters > 0 ? { dead_letters: deadLetters } : {}),
      ...(upstreams.length > 0 ? { upstreams } : {}),
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
    onRequest,
    onBadRequest(exchange, error) {
      refuse(exchange, admission.clientOf(exchange), requestFault(error));
    },
    operation: {
      onRequest(exchange) {
        answerPage(() => operationPage(exchange.head), exchange, undefined);
      },
      onBadRequest(exchange, error) {
        const { status, message } = requestFault(error);
        exchange.whole(status, {}, `${message}\n`);
      },
    },
    turningAway: {
      onRequest: (exchange) => refuse(exchange, admission.clientOf(exchange), shuttingDown()),
      onBadRequest: (exchange, error) => app.onBadRequest(exchange, error),
    },
    observer,
    engine,
    sources,
    get fixtureCount() {
      return desk.shelf.fileCount;
    },
    routes,
    tokens,
    memory,
    workflows,
    needsToken: keys !== undefined,
    closeStore: accounts.close,
    async close() {
      conversations.close();
      await sources.close();
      await shared?.close();
    },
    answerPeer: (question) => desk.answerPeer(question) ?? kept.rows.answerPeer(question),
    report: (kind) => kind === "health" ? health() : observer.metrics.snapshot(),
    status: "starting",
  };
  return app;
}

const NO_PARAMS: Readonly<Record<string, string>> = {};

/** The setting that opens rows to pages of elsewhere; "" = none does. */
const SECRETS: Readonly<Record<Route["auth"], string>> = {
  none: "",
  bearer: "auth.token",
  apiKey: "auth.token",
  token: "auth.secret_key",
  admin: "",
};

/** Faults of HTTP → the errors that say so. */
const FAULTS: Readonly<Record<RequestFault, ErrorCode>> = {
  malformed: "request_malformed",
  head_slow: "head_slow",
  target_too_long: "url_too_long",
  expectation_failed: "expectation_failed",
  head_too_large: "head_too_large",
  coding_unsupported: "coding_unsupported",
  version_unsupported: "version_unsupported",
};

/** What is wrong with a request that could not be read. */
function requestFault({ code, message }: Http1Error): AppError {
  const codes: Readonly<Partial<Record<Http1Error["code"], ErrorCode>>> = FAULTS;
  return new AppError(codes[code] ?? "request_malformed", message);
}

/** Whoever is not on this machine needs a token. */
function notFromHere(): AppError {
  return new AppError(
    "forbidden",
    "Without auth.token this is for clients on this machine alone, and not through a proxy: set it",
  );
}

/** WebSocket is the one upgrade that is refused and not ignored: its clients wait for a yes or no. */
function upgradeRefused({ upgrade }: RequestHead): AppError | undefined {
  if (upgrade === "" || !upgrade.split(",").some((one) => one.trim() === "websocket")) {
    return undefined;
  }
  return new AppError(
    "upgrade_refused",
    "There are no WebSockets here: send the request as plain HTTP and stream the answer",
    { headers: { upgrade: "HTTP/1.1" } },
  );
}
