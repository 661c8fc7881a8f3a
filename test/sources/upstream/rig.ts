/**
 * Upstream sources before a scripted upstream: asked directly, or by HTTP clients through a driver
 * whose surface says every step as one event of JSON.
 *
 * @module
 */

import type { Answer, Ask, DialectName, Relay, Source, Step } from "../../../src/core/answer.ts";
import type { AnswerLimits } from "../../../src/core/dialect.ts";
import { askOf } from "../../../src/core/answer.ts";
import { dataEvent, DONE_EVENT } from "../../../src/core/dialect.ts";
import { Driver } from "../../../src/core/driver.ts";
import { AppError } from "../../../src/core/errors.ts";
import type { Event, Watch } from "../../../src/core/events.ts";
import type { Call, Engine } from "../../../src/core/exchange.ts";
import type { Layout } from "../../../src/core/frames.ts";
import { Stamps } from "../../../src/core/stamp.ts";
import type { Surface } from "../../../src/core/surface.ts";
import { EMPTY_TURN, type Turn } from "../../../src/core/turn.ts";
import { OPENAI_CHAT } from "../../../src/dialects/openai_chat/upstream.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";
import type { Http1Server } from "../../../src/lib/http1/server.ts";
import { timerAlarm, Wheel } from "../../../src/lib/wheel.ts";
import { http1Transport } from "../../../src/sources/upstream/http1_transport.ts";
import { type CountUsage, respeak } from "../../../src/sources/upstream/respeak.ts";
import { retry } from "../../../src/sources/upstream/retry.ts";
import { StreamOptions } from "../../../src/sources/upstream/stream_options.ts";
import { Speaks } from "../../../src/sources/upstream/speaks.ts";
import { fetchTransport, type Transport } from "../../../src/sources/upstream/transport.ts";
import { Upstream, type UpstreamOptions } from "../../../src/sources/upstream/upstream.ts";
import { turnAsk } from "../../../src/surfaces/turn_ask.ts";
import { listen } from "../../lib/http1/listen.ts";
import { waitFor } from "../../server/launch.ts";
import { CHAT } from "../../server/proxied.ts";
import { connect, parseRaw, rawChat, type RawClient } from "../../server/raw_client.ts";
import {
  type Act,
  act,
  chunk,
  LAST_CHUNK,
  type Script,
  type ScriptedUpstream,
  scriptedUpstream,
} from "../../server/scripted_upstream.ts";

/** Both transports: everything about upstreams holds for either. */
export const TRANSPORTS = ["http1", "fetch"] as const;
export type TransportName = (typeof TRANSPORTS)[number];

/** A turn that says something in every field. */
export const TURN: Turn = {
  ...EMPTY_TURN,
  model: "gpt-4o",
  messages: [{ role: "user", content: "你好 🌊" }],
  isStream: true,
  tokensMax: 9,
  stop: ["水"],
  params: { temperature: 0.5 },
};

/** An engine on the real clock. */
export function makeEngine(watch: Watch = () => {}): Engine {
  return {
    wheel: new Wheel(() => performance.now(), timerAlarm()),
    streams: new Set(),
    watch,
    keepaliveMs: 0,
    writeTimeoutMs: 60_000,
  };
}

/** Every step as one event. */
const STEPS_LAYOUT: Layout = {
  key: "steps",
  idLengths: [],
  writer: () => ({ step: (step) => dataEvent(step), close: () => DONE_EVENT }),
};

/** What was kept of one answer. */
export interface Kept {
  readonly text: string;
  readonly isWhole: boolean;
}

/** The defaults of the config. */
export const ANSWER_LIMITS: AnswerLimits = {
  section: "llm",
  event_max_bytes: 16_777_216,
  answer_max_bytes: 134_217_728,
};

/** One rig. Its fields are set by tests, and reset by `reset`. */
export class Rig {
  readonly upstream: ScriptedUpstream;
  readonly events: Event[] = [];
  readonly engine: Engine;
  readonly driver: Driver;
  /** What the upstream plays. */
  acts: () => readonly Act[] = () => [];
  /** The same by what is asked. */
  play: Script = () => this.acts();
  source: Source;
  turn = TURN;
  isDraining = false;
  kept: Kept[] = [];
  readonly #name: TransportName;
  readonly #transports: Transport[] = [];
  /** Idle connections wait on it, so that the engine's wheel is empty when nothing is open. */
  readonly #poolWheel = new Wheel(() => performance.now(), timerAlarm());
  readonly #server: Http1Server;

  constructor(name: TransportName) {
    this.#name = name;
    this.upstream = scriptedUpstream((request) => this.play(request));
    this.engine = makeEngine((event) => void this.events.push(event));
    this.driver = new Driver(this.engine, {
      body_max_bytes: 65_536,
      body_timeout_ms: 60_000,
      bodies_max_bytes: 65_536,
    });
    this.source = this.live();
    const surface = this.#surface();
    this.#server = listen((exchange) =>
      this.driver.answer(surface, { head: exchange.head, params: {}, body: exchange }, exchange)
    );
  }

  /** An upstream that is asked once. */
  once(
    options: Partial<UpstreamOptions> = {},
    speaks: DialectName | Speaks = SPEAKS_CHAT,
    streamOptions = new StreamOptions("auto"),
  ): Upstream {
    const base_url = options.base_url ?? `${this.upstream.url}/v1`;
    const place = { base_url, configKey: "llm.base_url", ca: "" };
    const transport = this.#name === "http1"
      ? http1Transport({ ...place, wheel: this.#poolWheel })
      : fetchTransport({ ...place, proxy: "" });
    this.#transports.push(transport);
    return new Upstream(
      {
        section: "llm",
        base_url,
        urlKey: "llm.base_url",
        api_key: "sk-up",
        model_id: "configured",
        headers_timeout_ms: 30_000,
        first_token_timeout_ms: 30_000,
        idle_timeout_ms: 30_000,
        headers: { "x-team": "blue" },
        headers_up: [],
        passesClientKey: true,
        passesClient: false,
        ...options,
      },
      transport,
      typeof speaks === "string" ? new Speaks([speaks], undefined) : speaks,
      streamOptions,
    );
  }

  /** As the program joins one: asked again when it is busy, read for other dialects. */
  live(
    options: Partial<UpstreamOptions> = {},
    retries = 0,
    limits: Partial<AnswerLimits> = {},
    streamOptions = new StreamOptions("auto"),
    count?: CountUsage,
  ): Source {
    const once = this.once(options, SPEAKS_CHAT, streamOptions);
    const patient = retry(once, { retries, random: () => 0, wallMs: Date.now });
    return respeak(
      patient,
      SPEAKS_CHAT,
      { ...ANSWER_LIMITS, ...limits },
      streamOptions,
      count === undefined ? {} : { count },
    );
  }

  /** Asks the surface, and gives the client. */
  client(fields: readonly string[] = ["Connection: close"]): Promise<RawClient> {
    return connect(this.#server.port, rawChat(CHAT, fields));
  }

  /** Asks the surface, and gives what it answers. */
  async ask(fields?: readonly string[]) {
    const client = await this.client(fields);
    const { status, body, isWhole } = parseRaw(await client.closed);
    return { status, text: body.toString(), isWhole };
  }

  /** A call that is no request. */
  call(signal: AbortSignal = new AbortController().signal): Call {
    return this.driver.call("test", signal);
  }

  reset(): void {
    this.source = this.live();
    this.play = () => this.acts();
    this.turn = TURN;
    this.isDraining = false;
    this.kept = [];
    this.events.length = 0;
  }

  /** Waits until nothing is open and nobody waits for anything. */
  untilFree(): Promise<unknown> {
    const { streams, wheel } = this.engine;
    return waitFor(() => streams.size === 0 && wheel.waiting === 0, "nothing open");
  }

  close(): void {
    void this.#server.stop(true);
    for (const transport of this.#transports) transport.close();
    this.upstream.close();
  }

  #surface(): Surface {
    const stamps = new Stamps(() => 1_700_000_000, (target) => target.fill(0));
    const manner = {
      stamps: stamps.withIds(),
      headers: () => ({ "content-type": "text/event-stream" }),
      errorEvent: ({ code, message }: AppError) => dataEvent({ error: code, message }),
      recordLateness: () => {},
    };
    return {
      name: "test",
      source: "proxy",
      takes: "nothing",
      answer: () =>
        turnAsk(this.turn, {
          source: this.source,
          manner,
          layout: STEPS_LAYOUT,
          isDraining: this.isDraining,
          keeper: {
            keepsBroken: true,
            keep: (text, isPartial) => void this.kept.push({ text, isWhole: !isPartial }),
            finish() {},
          },
        }),
      tooLarge: () => new AppError("body_too_large", "too large"),
      refuse: ({ code, status, message, param }) => ({
        kind: "whole",
        status,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ code, message, param }),
      }),
    };
  }
}

/** What a turn costs here: a token is a letter. */
export const countLetters: CountUsage = ({ messages }, said) => ({
  promptTokens: messages.map(({ content }) => content).join("").length,
  completionTokens: said.length,
});

/** One event of the real API's, as one HTTP chunk. */
export function said(delta: object, finish: string | null = null, more: object = {}): Act {
  const value = { id: "x", choices: [{ index: 0, delta, finish_reason: finish }], ...more };
  return act.send(chunk(dataEvent(value)));
}

/** The end of a stream. */
export const END = [act.send(chunk(DONE_EVENT)), act.send(LAST_CHUNK)];

/** Of an upstream that speaks the chat API and nothing else. */
export const SPEAKS_CHAT = new Speaks(["openai_chat"], OPENAI_CHAT);

/** A piece of text as the reader tells it. */
export function textStep(text: string): Step {
  return { kind: "delta", choice: 0, block: "text", text };
}

/** Why an answer ended as the reader tells it. */
export function endStep(reason: Extract<Step, { kind: "end" }>["reason"] = "stop"): Step {
  return { kind: "end", choice: 0, reason };
}

/** A request as it came over the wire. */
export function wireAsk(
  fields: Readonly<Record<string, string>> = {},
  body: string | null = CHAT,
  dialect: DialectName = "openai_chat",
): Ask {
  const bytes = body === null ? null : new TextEncoder().encode(body);
  const wire = {
    dialect,
    method: "POST",
    path: "/chat/completions",
    fields: Fields.of(Object.entries(fields)),
    body: bytes,
  };
  return { ...askOf(TURN), wire };
}

/** The error that `promise` rejects with. */
export async function failureOf(promise: Promise<unknown> | unknown): Promise<AppError> {
  const thrown = await Promise.resolve(promise).then(() => "no error", (error: unknown) => error);
  if (thrown instanceof AppError) return thrown;
  throw thrown;
}

/** `answer` as a relay. */
export async function relayOf(answer: Answer | Promise<Answer>): Promise<Relay> {
  const settled = await answer;
  if (settled.kind !== "relay") throw new TypeError(`It is ${settled.kind}`);
  return settled;
}

/** Everything a live answer says. Throws what it throws. */
export async function stepsOf(answer: Answer | Promise<Answer>): Promise<Step[]> {
  const settled = await answer;
  if (settled.kind !== "live") throw new TypeError(`It is ${settled.kind}`);
  const steps: Step[] = [];
  for await (const batch of settled.steps) {
    if (batch.length === 0) throw new TypeError("A batch is empty");
    steps.push(...batch);
  }
  return steps;
}
