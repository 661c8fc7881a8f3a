/**
 * The page: makes every part from the config, and mounts every URL once.
 *
 * @module
 */

import { Hono } from "hono";
import type { Source } from "./core/answer.ts";
import type { Config } from "./core/config.ts";
import { type Watch, watchAll } from "./core/events.ts";
import { type Engine, Exchange } from "./core/exchange.ts";
import type { Memory } from "./core/memory.ts";
import { Stamps } from "./core/stamp.ts";
import { compilePrompt, DEFAULT_TEMPLATE } from "./core/system_prompt.ts";
import type { Workflows } from "./core/workflow.ts";
import { timerAlarm, Wheel } from "./lib/wheel.ts";
import { openMemory } from "./memory/open.ts";
import { bearerAuth } from "./ops/auth.ts";
import { preflight } from "./ops/cors.ts";
import { type Health, healthResponse } from "./ops/health.ts";
import { logWatcher } from "./ops/log.ts";
import { servePage } from "./ops/page.ts";
import { http1Transport } from "./sources/http1_transport.ts";
import { Mock } from "./sources/mock.ts";
import { TokenCounter } from "./sources/tokens.ts";
import { fetchTransport, routedFetch } from "./sources/transport.ts";
import { Upstream } from "./sources/upstream.ts";
import { tasks } from "./surfaces/api_tasks.ts";
import { workflowSchemas } from "./surfaces/api_workflows.ts";
import { workflowRuns } from "./surfaces/api_workflows_runs.ts";
import { jsonResponse } from "./surfaces/detail_errors.ts";
import { memoryServer } from "./surfaces/memory.ts";
import { errorResponse, invalidUrl, onlyPost } from "./surfaces/openai_errors.ts";
import { chatCompletions } from "./surfaces/v1_chat_completions.ts";
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
  readonly writeLog: (line: string) => void;
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
}

/** Where workflows ask when there is a key and no `llm.base_url`. */
const OPENAI_URL = "https://api.openai.com/v1";

/** The part of Bun's server that a request can ask for. */
export interface Listener {
  /** Closes the connection of `request` after so much silence; 0 = never. */
  timeout(request: Request, seconds: number): void;
}

/** The longest silence on a connection, in seconds: Bun's maximum. */
export const IDLE_TIMEOUT_S = 255;

/** A whole weir without its port. */
export interface App {
  readonly fetch: (request: Request, listener?: Listener) => Response | Promise<Response>;
  readonly engine: Engine;
  readonly source: Source;
  readonly tokens: TokenCounter;
  readonly memory: Memory;
  readonly workflows: Workflows;
  /** Health answers follow it: 200 only while it is "ok". */
  status: Health["status"];
}

const NOT_POST = ["GET", "PUT", "PATCH", "DELETE"];

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
  const log = logWatcher({ level: config.ops.log, write: world.writeLog, wallMs: world.wallMs });
  const watchers: readonly (Watch | undefined)[] = [log];
  const engine: Engine = {
    wheel,
    streams: new Set(),
    watch: watchAll(watchers.filter((watch) => watch !== undefined)),
    keepaliveMs: config.server.keepalive_ms,
  };
  const stamps = new Stamps(world.wallMs, world.randomBytes);
  const tokens = new TokenCounter(config.mock.count_bytes_max);
  const source = makeSource(config, world, tokens, wheel, config.chat.on_disconnect);
  const memory = makeMemory(config, world, engine, tokens);
  const secrets = [config.auth.token];
  const authorize = bearerAuth(secrets);
  const startMs = world.clock();

  const shared = { engine, source, stamps, authorize, secrets };
  const chat = chatCompletions({
    ...shared,
    recordLateness: () => {},
    persona: config.mock.persona,
    validate: config.mock.validate,
    bodyBytesMax: config.server.body_max_bytes,
    processingMs: config.mock.first_token_ms,
  });
  const response = v1Response({
    ...shared,
    source: makeSource(config, world, tokens, wheel, config.response.on_disconnect),
    memory,
    recordLateness: () => {},
    bodyBytesMax: config.server.body_max_bytes,
    model: config.llm.model_id || (config.mock.models[0] ?? ""),
    onDisconnect: config.response.on_disconnect,
    wallMs: world.wallMs,
    makeSessionId: world.uuid,
  });
  const remember = memoryServer({
    engine,
    memory,
    authorize,
    bodyBytesMax: config.server.body_max_bytes,
    wallMs: world.wallMs,
    makeTaskId: world.uuid,
  });
  const workflows = makeWorkflows(config, world, engine, source, definition);
  const workflowDeps = { engine, workflows, authorize, bodyBytesMax: config.server.body_max_bytes };
  const runWorkflow = workflowRuns(workflowDeps);
  const showWorkflows = workflowSchemas(workflowDeps);
  const showTask = tasks(workflowDeps);
  const page = servePage();
  const listModels = models({ ...shared, models: config.mock.models });

  const hono = new Hono<{ Bindings: Partial<Listener> }>();
  hono.post("/v1/chat/completions", (c) => chat(c.req.raw));
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
  hono.get("/health", (c) => healthResponse(health(), c.req.header("accept") ?? null));
  hono.get("/", (c) => onPage(c.req.raw));
  hono.get("/ui/*", (c) => onPage(c.req.raw));
  hono.options("*", (c) => preflight(c.req.raw));
  // Not `all`: a second handler that matches the hot POST would send it through Hono's chain of
  // middleware, three promises more and 8 % of its requests per second.
  hono.on(NOT_POST, "/v1/chat/completions", (c) => refused(onlyPost(), c.req.raw));
  for (const base of new Set(["/api", definition.controller.basePath])) {
    hono.post(`${base}/workflows/runs`, (c) => runWorkflow(c.req.raw, patience(c.req.raw, c.env)));
    // `/workflows/:id/schema` beside a fixed `/workflows/runs` would cost every URL Hono's fast
    // router: it cannot tell the two apart.
    hono.all(`${base}/workflows/*`, (c) => showWorkflows(c.req.raw, c.req.path.slice(base.length)));
    hono.all(`${base}/tasks/*`, (c) => showTask(c.req.raw, c.req.path.slice(base.length)));
    if (base !== "") hono.get(`${base}/health`, () => shortHealth());
  }
  hono.notFound((c) => refused(invalidUrl(c.req.method, c.req.path), c.req.raw));

  function refused(error: ReturnType<typeof onlyPost>, request: Request): Response {
    const exchange = new Exchange(engine, "no_surface", request);
    exchange.requestId = `req_${stamps.hex(32)}`;
    return errorResponse(exchange.refuse(error), exchange.requestId);
  }

  /** Lets a connection be silent for as long as a run takes that nobody may hear of before its end. */
  function patience(
    request: Request,
    listener: Partial<Listener>,
  ): (isPatient: boolean) => void {
    return (isPatient) => listener.timeout?.(request, isPatient ? 0 : IDLE_TIMEOUT_S);
  }

  function shortHealth(): Response {
    const isReady = app.status === "ok";
    return jsonResponse({ status: isReady ? "ok" : app.status }, isReady ? 200 : 503);
  }

  async function onPage(request: Request): Promise<Response> {
    return await page(request) ??
      refused(invalidUrl(request.method, new URL(request.url).pathname), request);
  }

  function health(): Health {
    return {
      status: app.status,
      version: world.version,
      uptime_s: Math.floor((world.clock() - startMs) / 1000),
      source: source.name,
      streams_open: engine.streams.size,
      openai_sdk_version: world.openaiSdkVersion,
    };
  }

  const app: App = {
    fetch: (request, listener) => hono.fetch(request, listener),
    engine,
    source,
    tokens,
    memory,
    workflows,
    status: "starting",
  };
  return app;
}

/** What remembers conversations for `/v1/response`. */
function makeMemory(config: Config, world: World, engine: Engine, tokens: TokenCounter): Memory {
  const { history_turns, history_tokens, system_prompt } = config.memory;
  const { wheel, watch } = engine;
  return openMemory({
    config: config.memory,
    token: config.auth.token,
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

/** What answers: the upstream as soon as there is one, else the mock. */
function makeSource(
  config: Config,
  world: World,
  tokens: TokenCounter,
  wheel: Wheel,
  onDisconnect: "cancel" | "drain",
): Source {
  const isProxy = config.chat.source === "proxy" ||
    (config.chat.source === "auto" && config.llm.base_url !== "");
  return isProxy
    ? makeUpstream(config, world, config.llm.base_url, wheel, onDisconnect)
    : new Mock(config.mock, tokens);
}

function makeUpstream(
  config: Config,
  world: World,
  base_url: string,
  wheel: Wheel,
  onDisconnect: "cancel" | "drain",
): Source {
  const route = { proxy: config.llm.proxy, ca: world.ca };
  return new Upstream({
    ...config.llm,
    base_url,
    on_disconnect: onDisconnect,
    passes_client_key: config.auth.token === "",
  }, {
    transport: config.llm.proxy === ""
      ? http1Transport({ base_url, ca: world.ca, wheel })
      : fetchTransport(route),
    fetch: routedFetch(route),
    random: world.random,
    wallMs: world.wallMs,
  });
}

/** The workflows, asking `source` where they ask weir itself: or OpenAI, once there is a key. */
function makeWorkflows(
  config: Config,
  world: World,
  engine: Engine,
  source: Source,
  definition: Definition,
): Workflows {
  const { llm, chat } = config;
  const isKeyOnly = chat.source === "auto" && llm.base_url === "" && llm.api_key !== "";
  const asked = isKeyOnly
    ? makeUpstream(config, world, OPENAI_URL, engine.wheel, chat.on_disconnect)
    : source;
  return new WorkflowEngine(definition, {
    calls: {
      fetch: routedFetch({ proxy: llm.proxy, ca: world.ca }),
      askLlm: askSource(asked, engine, llm.model_id || DEFAULT_MODEL),
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
