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
import { Stamps } from "./core/stamp.ts";
import { timerAlarm, Wheel } from "./lib/wheel.ts";
import { bearerAuth } from "./ops/auth.ts";
import { preflight } from "./ops/cors.ts";
import { type Health, healthResponse } from "./ops/health.ts";
import { logWatcher } from "./ops/log.ts";
import { http1Transport } from "./sources/http1_transport.ts";
import { Mock } from "./sources/mock.ts";
import { TokenCounter } from "./sources/tokens.ts";
import { fetchTransport, routedFetch } from "./sources/transport.ts";
import { Upstream } from "./sources/upstream.ts";
import { errorResponse, invalidUrl, onlyPost } from "./surfaces/openai_errors.ts";
import { chatCompletions } from "./surfaces/v1_chat_completions.ts";
import { models } from "./surfaces/v1_models.ts";

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
}

/** A whole weir without its port. */
export interface App {
  readonly fetch: (request: Request) => Response | Promise<Response>;
  readonly engine: Engine;
  readonly source: Source;
  readonly tokens: TokenCounter;
  /** Health answers follow it: 200 only while it is "ok". */
  status: Health["status"];
}

const NOT_POST = ["GET", "PUT", "PATCH", "DELETE"];

/** Makes every part and joins them. Nothing is looked up later. */
export function makeApp(config: Config, world: World): App {
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
  const source = makeSource(config, world, tokens, wheel);
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
  const listModels = models({ ...shared, models: config.mock.models });

  const hono = new Hono();
  hono.post("/v1/chat/completions", (c) => chat(c.req.raw));
  hono.get("/v1/models", (c) => listModels(c.req.raw, undefined));
  hono.get("/v1/models/:id{.+}", (c) => listModels(c.req.raw, c.req.param("id")));
  hono.get("/health", (c) => healthResponse(health(), c.req.header("accept") ?? null));
  hono.options("*", (c) => preflight(c.req.raw));
  // Not `all`: a second handler that matches the hot POST would send it through Hono's chain of
  // middleware, three promises more and 8 % of its requests per second.
  hono.on(NOT_POST, "/v1/chat/completions", (c) => refused(onlyPost(), c.req.raw));
  hono.notFound((c) => refused(invalidUrl(c.req.method, c.req.path), c.req.raw));

  function refused(error: ReturnType<typeof onlyPost>, request: Request): Response {
    const exchange = new Exchange(engine, "no_surface", request);
    exchange.requestId = `req_${stamps.hex(32)}`;
    return errorResponse(exchange.refuse(error), exchange.requestId);
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
    fetch: (request) => hono.fetch(request),
    engine,
    source,
    tokens,
    status: "starting",
  };
  return app;
}

/** What answers chat completions: the upstream as soon as there is one, else the mock. */
function makeSource(config: Config, world: World, tokens: TokenCounter, wheel: Wheel): Source {
  const isProxy = config.chat.source === "proxy" ||
    (config.chat.source === "auto" && config.llm.base_url !== "");
  if (!isProxy) return new Mock(config.mock, tokens);
  const route = { proxy: config.llm.proxy, ca: world.ca };
  return new Upstream({
    ...config.llm,
    on_disconnect: config.chat.on_disconnect,
    passes_client_key: config.auth.token === "",
  }, {
    transport: config.llm.proxy === ""
      ? http1Transport({ base_url: config.llm.base_url, ca: world.ca, wheel })
      : fetchTransport(route),
    fetch: routedFetch(route),
    random: world.random,
    wallMs: world.wallMs,
  });
}
