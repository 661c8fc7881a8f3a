/**
 * The parts: everything that the surfaces stand on, made from the config, once.
 *
 * @module
 */

import { type Answerers, makeAnswerers } from "./answerers.ts";
import type { Source } from "./core/answer.ts";
import type { Config } from "./config/config.ts";
import { secretsOf } from "./config/describe.ts";
import type { Conversations } from "./core/conversations.ts";
import { watchAll } from "./core/events.ts";
import type { Engine, OpenStream } from "./core/exchange.ts";
import type { Memory } from "./core/memory.ts";
import type { RecordLateness } from "./core/voice.ts";
import { Stamps } from "./core/stamp.ts";
import { compilePrompt, DEFAULT_TEMPLATE } from "./core/system_prompt.ts";
import type { Workflows } from "./core/workflow.ts";
import { timerAlarm, Wheel } from "./lib/wheel.ts";
import { openConversations } from "./memory/conversations.ts";
import { openMemory } from "./memory/open.ts";
import { type Authorize, bearerAuth, type BearerToken } from "./ops/auth.ts";
import { clientAddress } from "./ops/client_address.ts";
import { Gate } from "./ops/gate.ts";
import type { Gather } from "./ops/gather.ts";
import { makeObserver, type Observer, type ProcessFacts } from "./ops/observer.ts";
import { type Admit, tokenAuth } from "./ops/token.ts";
import { TokenCounter } from "./sources/tokens.ts";
import { routedFetch } from "./sources/transport.ts";
import { BodyLimits } from "./core/body.ts";
import { DEFAULT_MODEL } from "./workflows/builtin.ts";
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

/** What the surfaces share. */
export interface Parts {
  readonly engine: Engine;
  readonly gate: Gate;
  readonly observer: Observer;
  /** Notes how late a paced frame left. */
  readonly recordLateness: RecordLateness;
  readonly stamps: Stamps;
  readonly tokens: TokenCounter;
  readonly answerers: Answerers;
  readonly memory: Memory;
  readonly conversations: Conversations;
  readonly workflows: Workflows;
  /** Checks the bearer tokens of `auth.tokens`. */
  readonly authorize: Authorize;
  /** Checks the tokens that `GET /token` gives. */
  readonly admit: Admit;
  readonly bodyLimits: BodyLimits;
}

/** Makes them. Nothing is looked up later. */
export function makeParts(config: Config, world: World, definition: Definition): Parts {
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
  const engine: Engine = {
    wheel,
    streams,
    watch: gate.countsClients ? watchAll([observer.watch, gate.watch]) : observer.watch,
    keepaliveMs: config.server.keepalive_ms,
    writeTimeoutMs: config.server.write_timeout_ms,
    ...(gate.knowsClients ? { admit: gate.admit } : {}),
    startTrace: observer.startTrace,
  };
  const tokens = new TokenCounter(config.mock.count_bytes_max);
  const answerers = makeAnswerers(config, world, tokens, wheel);
  const memory: Memory = makeMemory(config, world, engine, tokens);
  return {
    engine,
    gate,
    observer,
    recordLateness: (lateMs) => observer.metrics.latenessMs.record(lateMs),
    stamps: new Stamps(world.wallMs, world.randomBytes),
    tokens,
    answerers,
    memory,
    conversations: openConversations(config.memory.url, world.folder, world),
    workflows: makeWorkflows(config, world, engine, answerers.apiChat.source, definition),
    authorize: bearerAuth(world.tokens),
    admit: tokenAuth({
      secretKey: config.auth.secret_key,
      tokens: world.tokens,
      wallMs: world.wallMs,
    }),
    bodyLimits: new BodyLimits(wheel, config.server),
  };
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
