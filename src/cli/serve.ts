/**
 * `weir serve`: opens the port, says what answers, and closes in good order.
 *
 * @module
 */

import { getRandomValues } from "node:crypto";
import { type App, IDLE_TIMEOUT_S, makeApp, type World } from "../app.ts";
import type { Config } from "../core/config.ts";
import { maskUrl } from "../core/config_describe.ts";
import { AppError } from "../core/errors.ts";
import { mayHaveTurns } from "../memory/open.ts";
import type { RunNote } from "../workflows/engine.ts";
import { parseSettingOptions } from "./command_line.ts";
import { latenessText, processFacts, writeLast } from "./process_facts.ts";
import { readSettings, readText, type Settings, warn } from "./settings.ts";
import { Failure, type Terminal } from "./terminal.ts";
import { OPENAI_SDK_VERSION, VERSION } from "./version.ts";

/**
 * Bun's own limit on bodies lies this far above weir's, so that weir's 413 is the one that answers.
 * What Bun refuses itself, it refuses without a word.
 */
const BODY_SLACK_BYTES = 64 * 1024 * 1024;

/**
 * Milliseconds from the open port to the loading of the token encoding, which blocks the loop for
 * some 110 ms in the binary: a client that asks for /health at once gets its first byte before.
 */
const TOKENS_DELAY_MS = 60;

/** After an error event is written, a connection has this long to take it. */
const FLUSH_MS = 1000;

/** At the end, the last lines of the log and the last spans have this long to leave. */
const CLOSE_MS = 2000;

/**
 * Bun's process-wide cap on requests of `fetch` is 256, and a proxied stream holds its place for
 * life. Only the environment at start can raise it (facts/runtime.md 3).
 */
const FETCH_CAP_VARIABLE = "BUN_CONFIG_MAX_HTTP_REQUESTS";
const FETCH_CAP = "65535";

/** How `up` differs from `serve`. */
export interface ServeOptions {
  /** Told what happens to each run of a workflow. */
  readonly noteRun?: (note: RunNote) => void;
  /** Resolves when the server shall stop, besides on a signal. */
  readonly stopped?: Promise<void>;
}

/** Serves until a signal ends it. */
export async function serve(args: readonly string[], terminal: Terminal): Promise<number> {
  return await serveSettings(readSettings(parseSettingOptions(args), terminal), terminal, {});
}

/** Serves what `settings` say, until a signal or `options.stopped` ends it. */
export async function serveSettings(
  settings: Settings,
  terminal: Terminal,
  { noteRun, stopped }: ServeOptions,
): Promise<number> {
  const { config, workflows } = settings;
  const ownWorld = { ...world(settings), ...(noteRun === undefined ? {} : { noteRun }) };
  const callsOut = config.llm.base_url !== "" || settings.workflowFiles.length > 0 ||
    config.llm.api_key !== "" || config.memory.url.startsWith("http") ||
    config.chat.api_proxy !== "" || config.conv.unofficial_proxy !== "";
  if (callsOut) raiseFetchCap(terminal);
  const app = makeApp(config, ownWorld, workflows);
  openMemory(app, settings);
  warn(settings.warnings, terminal);
  // Before anybody is told that it runs: from then on, a signal closes it in good order.
  const signalled = firstSignal();
  const { host, port } = config.server;
  const server = listen(app.fetch, host, port, config);
  const { metrics_host, metrics_port } = config.ops;
  const opsServer = metrics_port === 0
    ? undefined
    : listen(app.fetchOps, metrics_host, metrics_port, config, "Choose another ops.metrics_port");
  introduce(app, config, server.port!, terminal);
  introduceWorkflows(settings, server.port!, terminal);
  const page = listenForPage(app, settings, server.port!, terminal);
  process.once("exit", () => writeLast(app.observer.takeLog()));
  setTimeout(async () => {
    await app.tokens.load();
    if (app.status === "starting") app.status = "ok";
    app.observer.start(); // not before: the loading is one long delay, and says nothing
  }, TOKENS_DELAY_MS);
  await Promise.race([signalled, ...(stopped === undefined ? [] : [stopped])]);
  process.once("SIGTERM", () => process.exit(1));
  process.once("SIGINT", () => process.exit(1));
  void page?.stop();
  await drain(app, server, config.server.drain_ms, terminal);
  await opsServer?.stop(true);
  await app.memory.close();
  app.close();
  await app.observer.close(CLOSE_MS);
  const lateness = latenessText(app.observer.metrics.latenessMs);
  if (lateness !== "") terminal.complain(`weir: ${lateness}`);
  return 0;
}

/**
 * Opens a memory that may have turns to deliver or to forget; one that is empty waits for its first
 * use.
 *
 * @throws {Failure} when it cannot be opened.
 */
function openMemory(app: App, { config, folder }: Settings): void {
  if (!mayHaveTurns(config.memory, folder)) return;
  try {
    app.memory.checkReady();
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    // A memory that is full is open: what waits in it is on its way.
    if (error.code !== "unavailable") throw new Failure(error.message);
  }
}

/** What this process gives to the app. */
export function world({ config, folder }: Settings): World {
  const { ca_file } = config.llm;
  const { system_prompt_file } = config.memory;
  const read = (file: string, key: string) =>
    file === "" ? "" : readText(file.startsWith("/") ? file : `${folder}/${file}`, key);
  return {
    version: VERSION,
    openaiSdkVersion: OPENAI_SDK_VERSION,
    clock: () => performance.now(),
    wallMs: Date.now,
    random: Math.random,
    randomBytes: (target) => void getRandomValues(target),
    process: processFacts(),
    ca: read(ca_file, "llm.ca_file"),
    systemPrompt: read(system_prompt_file, "memory.system_prompt_file"),
    folder,
    uuid: () => Bun.randomUUIDv7(),
  };
}

/**
 * The second port, where a workflow file asks for its web page. Whoever has a page there already
 * keeps it: the same page is on the main port.
 */
function listenForPage(
  app: App,
  { config, workflows: { controller: { webui } } }: Settings,
  mainPort: number,
  terminal: Terminal,
): Server | undefined {
  if (webui === null || webui.port === mainPort) return undefined;
  try {
    const advice = "The page is on the main port too.";
    return listen(app.fetch, webui.host, webui.port, config, advice);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    terminal.complain(`weir: warning: controller.webui: ${error.message}`);
    return undefined;
  }
}

/** Starts this process anew, in its place, with the cap raised: it takes effect in no other way. */
function raiseFetchCap(terminal: Terminal): void {
  if (process.env[FETCH_CAP_VARIABLE] !== undefined) return;
  const args = Bun.isStandaloneExecutable
    ? process.argv.slice(2)
    : [...process.execArgv, process.argv[1]!, ...process.argv.slice(2)];
  try {
    process.execve!(process.execPath, [process.execPath, ...args], {
      ...process.env,
      [FETCH_CAP_VARIABLE]: FETCH_CAP,
    } as Record<string, string>);
  } catch {
    terminal.complain(
      "weir: warning: this system does not let weir start itself anew, so more than 256 proxied " +
        `requests at once will wait for each other. Start it with ${FETCH_CAP_VARIABLE}=${FETCH_CAP}`,
    );
  }
}

type Server = ReturnType<typeof listen>;

function listen(
  fetch: App["fetch"],
  host: string,
  port: number,
  { server: { body_max_bytes } }: Config,
  advice = `Choose another: weir --port ${port + 1}`,
) {
  try {
    return Bun.serve({
      hostname: host,
      port,
      development: false,
      // Bun shares ports unless in development: two weirs would take turns on one, unnoticed.
      reusePort: false,
      idleTimeout: IDLE_TIMEOUT_S,
      maxRequestBodySize: body_max_bytes + BODY_SLACK_BYTES,
      fetch,
    });
  } catch (error) {
    const { code } = error as { readonly code?: string };
    if (code === "EADDRINUSE") {
      throw new Failure(
        `Cannot listen on ${host}:${port}: the port is taken. ${advice}`,
      );
    }
    if (code === "EACCES") {
      throw new Failure(`Cannot listen on ${host}:${port}: this user may not use that port`);
    }
    throw new Failure(`Cannot listen on ${host}:${port}: ${(error as Error).message}`);
  }
}

/** Where, what answers, what to try. */
function introduce(app: App, config: Config, port: number, terminal: Terminal): void {
  const { host } = config.server;
  const url = `http://${urlHost(host)}:${port}`;
  const key = config.auth.token === "" ? "" : ` -H 'authorization: Bearer <auth.token>'`;
  terminal.print(`weir ${VERSION} listens on ${url}${url.includes(host) ? "" : ` (${host})`}`);
  for (const line of answerLines(app, config)) terminal.print(line);
  terminal.print(
    `try: curl -N ${url}/v1/chat/completions${key} -H 'content-type: application/json' ` +
      `-d '{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hello"}]}'`,
  );
  if (app.source.name === "proxy" && config.llm.api_key === "" && config.auth.token !== "") {
    terminal.complain(
      "weir: warning: llm.api_key is not set, and clients' keys are weir's own (auth.token): " +
        "the upstream gets no key",
    );
  }
}

/** What a workflow file adds to the introduction. */
function introduceWorkflows(
  { config, workflows, workflowFiles }: Settings,
  port: number,
  terminal: Terminal,
): void {
  if (workflowFiles.length === 0) return;
  const ids = workflows.workflows.map(({ id }) => id).join(", ");
  const { host } = config.server;
  const base = workflows.controller.basePath || "/api";
  terminal.print(
    `workflows: ${ids} of ${workflowFiles.join(", ")}: POST http://${urlHost(host)}:${port}` +
      `${base}/workflows/runs`,
  );
}

/** `host` as a client on this machine writes it. */
function urlHost(host: string): string {
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return name.includes(":") ? `[${name}]` : name;
}

/** Who answers: one line for `/v1/chat/completions`, and one for each surface that differs. */
function answerLines({ answerers }: App, config: Config): string[] {
  const { main, apiChat, chat } = answerers;
  const answeredBy = (path: string, url: string) => `proxy: ${path} is answered by ${maskUrl(url)}`;
  const lines = [
    main.url === ""
      ? `mock: /v1/chat/completions answers ${JSON.stringify(short(config.mock.reply))}`
      : answeredBy("/v1/chat/completions", main.url),
  ];
  if (apiChat.url !== main.url) {
    lines.push(`${answeredBy("/api/chat", apiChat.url)} (a key is set, and no llm.base_url)`);
  }
  if (chat.url !== main.url) lines.push(answeredBy("/chat", chat.url));
  if (answerers.conv !== undefined) {
    lines.push(answeredBy("/conv", config.conv.unofficial_proxy));
  }
  return lines;
}

function short(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function firstSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
  });
}

/** Stops accepting, lets open streams finish for `drainMs`, then ends the rest with an error. */
async function drain(
  app: App,
  server: Server,
  drainMs: number,
  terminal: Terminal,
): Promise<void> {
  app.status = "draining";
  const stopped = server.stop();
  const { wheel, streams } = app.engine;
  if (streams.size > 0) {
    terminal.complain(`weir: ${streams.size} open streams have ${drainMs} ms to finish`);
  }
  const patience = new AbortController();
  const allDone = stopped.then(() => patience.abort());
  if (await wheel.until(wheel.nowMs + drainMs, patience.signal)) {
    const error = new AppError("shutting_down", "The server is shutting down: try again");
    for (const stream of [...streams]) stream.fail(error);
    app.workflows.stop(error);
    await Promise.race([allDone, wheel.until(wheel.nowMs + FLUSH_MS)]);
    await server.stop(true);
  }
}
