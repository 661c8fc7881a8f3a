/**
 * A driver without a server, on a wheel that a test turns by hand.
 *
 * @module
 */

import { expect } from "bun:test";
import type { Source } from "../../src/core/answer.ts";
import { COMMENT_EVENT, dataEvent, DONE_EVENT } from "../../src/core/dialect.ts";
import { Driver, type Incoming } from "../../src/core/driver.ts";
import { AppError } from "../../src/core/errors.ts";
import type { Event } from "../../src/core/events.ts";
import type { Engine, Exchange } from "../../src/core/exchange.ts";
import type { Outcome } from "../../src/core/facts.ts";
import type { Layout } from "../../src/core/frames.ts";
import type { Keeper } from "../../src/core/keeping.ts";
import { Stamps } from "../../src/core/stamp.ts";
import type { Asking, Inbound, Manner, Output, Surface } from "../../src/core/surface.ts";
import { EMPTY_TURN, type Turn } from "../../src/core/turn.ts";
import { requestHead } from "../../src/lib/http1/request_head.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { bodyOf } from "./body_of.ts";
import { MemoryWriter } from "./memory_writer.ts";

/** The error of shutdown, and one of an upstream. */
export const STOPPING = new AppError("shutting_down", "Stopping");
export const BROKEN = new AppError("upstream_broken", "It broke off");

/** A dialect that says texts, usage and nothing else. */
export const LAYOUT: Layout = {
  key: "plain",
  idLengths: [],
  writer: () => ({
    step(step) {
      if (step.kind === "usage") return dataEvent({ tokens: step.usage.completionTokens });
      return step.kind === "delta" ? saying(step.text) : "";
    },
    close: () => DONE_EVENT,
  }),
};

/** The event that says `text`. */
export function saying(text: string): string {
  return dataEvent({ content: text });
}

/** The event that says `error`. */
export function errorEvent(error: AppError): string {
  return dataEvent({ error: error.message });
}

/** A comment, and the end mark. */
export { COMMENT_EVENT as COMMENT, DONE_EVENT as DONE };

/** A keeper that notes what it is told. */
export class NotingKeeper implements Keeper {
  readonly kept: (readonly [text: string, isPartial: boolean])[] = [];
  finished = 0;
  readonly keepsKnown: boolean;
  readonly keepsBroken: boolean;
  /** What `keep` waits for. */
  readonly #gate: Promise<void> | undefined;

  constructor(
    { gate, keepsKnown = false, keepsBroken = false }: {
      readonly gate?: Promise<void>;
      readonly keepsKnown?: boolean;
      readonly keepsBroken?: boolean;
    } = {},
  ) {
    this.#gate = gate;
    this.keepsKnown = keepsKnown;
    this.keepsBroken = keepsBroken;
  }

  keep(text: string, isPartial: boolean): Promise<void> | void {
    this.kept.push([text, isPartial]);
    return this.#gate;
  }

  finish(): void {
    this.finished++;
  }
}

export const WRITE_TIMEOUT_MS = 1000;

/** Lets everything that waits for no clock happen. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

/** What the watchers are told of an exchange that has ended. */
export type Ended = Extract<Event, { readonly kind: "exchange_ended" }>["exchange"];

/** One exchange under way. */
export interface Asked {
  readonly writer: MemoryWriter;
  /** Undefined until the surface was asked. */
  readonly exchange: () => Exchange;
  /** The body so far, without comments. */
  readonly said: () => string;
}

/** A driver, and what a test looks at and turns. */
export class DriverRig {
  readonly events: Event[] = [];
  readonly latenessMs: number[] = [];
  readonly wheel: Wheel;
  readonly engine: Engine;
  readonly driver: Driver;
  readonly manner: Manner;
  #nowMs = 0;

  constructor({ keepaliveMs = 0 }: { readonly keepaliveMs?: number } = {}) {
    this.wheel = new Wheel(() => this.#nowMs, () => {});
    this.engine = {
      wheel: this.wheel,
      streams: new Set(),
      watch: (event) => void this.events.push(event),
      keepaliveMs,
      writeTimeoutMs: WRITE_TIMEOUT_MS,
    };
    this.driver = new Driver(this.engine, {
      body_max_bytes: 1000,
      body_timeout_ms: 1000,
      bodies_max_bytes: 1000,
    });
    this.manner = {
      stamps: new Stamps(() => 1_700_000_000, (target) => target.fill(0)).withIds(),
      headers: () => ({ "content-type": "text/event-stream" }),
      errorEvent,
      recordLateness: (lateMs) => void this.latenessMs.push(lateMs),
    };
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Moves the clock on by `ms`, and lets everything happen in its order. */
  async pass(ms: number): Promise<void> {
    for (const endMs = this.#nowMs + ms; this.#nowMs < endMs;) {
      this.#nowMs++;
      this.wheel.turn();
      for (let i = 0; i < 5; i++) await Promise.resolve();
    }
    await settle();
  }

  /** Moves the clock on by `ms` at once, as a process that was stalled sees it. */
  async stall(ms: number): Promise<void> {
    this.#nowMs += ms;
    this.wheel.turn();
    await settle();
  }

  /** Asks a surface that answers with what `answer` gives. */
  ask(
    answer: (inbound: Inbound, exchange: Exchange) => Output | Promise<Output>,
    more: Partial<Surface> = {},
    { head = requestHead(), body = bodyOf() }: Partial<Pick<Incoming, "head" | "body">> = {},
  ): Asked {
    const writer = new MemoryWriter();
    let exchange: Exchange | undefined;
    const surface: Surface = {
      name: "test",
      source: "test source",
      takes: "nothing",
      tooLarge: () => {
        throw new Error("Not asked for");
      },
      refuse: (error) => ({
        kind: "whole",
        status: error.status,
        headers: { "x-refused": error.code },
        body: refusal(error),
      }),
      ...more,
      answer(inbound, its) {
        exchange = its;
        return answer(inbound, its);
      },
    };
    this.driver.answer(surface, { head, params: {}, body }, writer);
    return {
      writer,
      exchange: () => exchange!,
      said: () => writer.text.replaceAll(COMMENT_EVENT, ""),
    };
  }

  /** A question for `answer`. */
  asking(
    answer: Source["answer"],
    { isStream = true, ...more }: Partial<Omit<Asking, "kind" | "model" | "turn">> = {},
  ): Asking {
    const turn: Turn = { ...EMPTY_TURN, model: "a model", isStream };
    return {
      kind: "ask",
      source: { name: "test source", answer },
      model: () => turn.model,
      turn: () => turn,
      isStream,
      manner: this.manner,
      layout: LAYOUT,
      whole: ({ choices, usage }) => ({
        kind: "whole",
        status: 200,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ said: choices[0]!.text, tokens: usage?.completionTokens }),
      }),
      ...more,
    };
  }

  /** Ends every stream, as shutdown does. */
  async shutDown(error: AppError): Promise<void> {
    for (const stream of this.engine.streams) stream.fail(error);
    await settle();
  }

  /** What the watchers were told, besides exchanges that ended. */
  get told(): readonly Event[] {
    return this.events.filter(({ kind }) => kind !== "exchange_ended");
  }

  /** The one exchange that has ended; undefined = none. Throws when one ended twice. */
  get ended(): Ended | undefined {
    const ended = this.events.filter((event) => event.kind === "exchange_ended");
    if (ended.length > 1) throw new Error("Ended more than once");
    return ended[0]?.exchange;
  }

  /** What still waits or is still open, once the lines have had time to empty. */
  async leftovers(): Promise<{ readonly streams: number; readonly tickets: number }> {
    await this.pass(20);
    return { streams: this.engine.streams.size, tickets: this.wheel.waiting };
  }
}

/** What a surface of the rig says when it refuses. */
export function refusal({ code }: Pick<AppError, "code">): string {
  return `refused: ${code}`;
}

/** Nothing of it is left anywhere, and it was told to have ended with `outcome`. */
export async function expectOver(rig: DriverRig, outcome: Outcome): Promise<void> {
  expect(rig.ended?.outcome).toBe(outcome);
  expect(await rig.leftovers()).toEqual({ streams: 0, tickets: 0 });
}

/** What a client has that was refused. */
export function expectRefused({ writer }: Asked, error: AppError): void {
  const { status, text, ending } = writer;
  expect({ status, text, ending }).toEqual({
    status: error.status,
    text: refusal(error),
    ending: "whole",
  });
}
