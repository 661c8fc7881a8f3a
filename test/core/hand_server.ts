/**
 * A driver behind a real server, on a wheel that a test turns by hand, and a client that reads raw
 * bytes. The server's own lines wait on a wheel that stands still.
 *
 * @module
 */

import type { TimedStep } from "../../src/core/answer.ts";
import { COMMENT_EVENT } from "../../src/core/dialect.ts";
import { Driver } from "../../src/core/driver.ts";
import type { Event } from "../../src/core/events.ts";
import type { Engine, Exchange, OpenStream } from "../../src/core/exchange.ts";
import type { Keeper } from "../../src/core/keeping.ts";
import { Stamps } from "../../src/core/stamp.ts";
import type { Manner, Output, Surface } from "../../src/core/surface.ts";
import { EMPTY_TURN } from "../../src/core/turn.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { listen } from "../lib/http1/listen.ts";
import { errorEvent, LAYOUT } from "./driver_rig.ts";

export const WRITE_TIMEOUT_MS = 60_000;

/** Steps that say `texts`: the first after `firstMs`, each other one and the end after `delayMs`. */
export function steps(
  firstMs: number,
  delayMs: number,
  texts: readonly string[],
): readonly TimedStep[] {
  return [
    ...texts.map((text, i): TimedStep => ({
      kind: "delta",
      choice: 0,
      block: "text",
      text,
      afterMs: i === 0 ? firstMs : delayMs,
    })),
    { kind: "end", choice: 0, reason: "stop", afterMs: delayMs },
  ];
}

/** What the events say that carry `texts`. */
export function said(...texts: string[]): string[] {
  return texts.map((content) => JSON.stringify({ content }));
}

/** What a hand server answers with. */
export type Give = (hand: { readonly manner: Manner; readonly engine: Engine }) => Output;

/** A question that is answered with `timed`, kept by `keeper`. */
export function asking(timed: readonly TimedStep[], keeper?: Keeper): Give {
  const script = { name: "script", steps: timed };
  return ({ manner }) => ({
    kind: "ask",
    source: { name: "script", answer: () => ({ kind: "script", script, model: "m" }) },
    model: () => "m",
    turn: () => ({ ...EMPTY_TURN, isStream: true }),
    isStream: true,
    manner,
    layout: LAYOUT,
    keeper,
  });
}

/** The server. */
export function handServer(give: Give, keepaliveMs = 0) {
  const clock = { nowMs: 0 };
  const events: Event[] = [];
  const latenessMs: number[] = [];
  const exchanges: Exchange[] = [];
  const wheel = new Wheel(() => clock.nowMs, () => {});
  const engine: Engine = {
    wheel,
    streams: new Set<OpenStream>(),
    watch: (event) => void events.push(event),
    keepaliveMs,
    writeTimeoutMs: WRITE_TIMEOUT_MS,
  };
  const manner: Manner = {
    stamps: new Stamps(() => 1_700_000_000, (target) => target.fill(0)).withIds(),
    headers: () => ({ "content-type": "text/event-stream" }),
    errorEvent,
    recordLateness: (lateMs) => void latenessMs.push(lateMs),
  };
  const surface: Surface = {
    name: "test",
    source: "",
    takes: "nothing",
    answer(_inbound, exchange) {
      exchanges.push(exchange);
      return give({ manner, engine });
    },
    tooLarge: () => {
      throw new Error("Nobody reads a body");
    },
    refuse: ({ status, message }) => ({ kind: "whole", status, headers: {}, body: message }),
  };
  const driver = new Driver(engine, {
    body_max_bytes: 0,
    body_timeout_ms: 1000,
    bodies_max_bytes: 0,
  });
  const server = listen((exchange) =>
    driver.answer(surface, { head: exchange.head, params: {}, body: exchange }, exchange)
  );
  let text = "";
  let isClosed = false;
  const decoder = new TextDecoder();
  const connect = () =>
    Bun.connect({
      hostname: "127.0.0.1",
      port: server.port,
      socket: {
        open: (socket) =>
          void socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        data: (_socket, bytes) => {
          text += decoder.decode(bytes, { stream: true });
        },
        close: () => {
          isClosed = true;
        },
        error: () => {},
      },
    });
  const moveTo = (ms: number) => {
    clock.nowMs = ms;
    wheel.turn();
  };
  return {
    server,
    manner,
    engine,
    events,
    latenessMs,
    exchanges,
    connect,
    text: () => text,
    isClosed: () => isClosed,
    contents: () => [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => data),
    comments: () => text.split(COMMENT_EVENT).length - 1,
    moveTo,
    /** Moves the clock on, millisecond by millisecond. */
    pass(ms: number) {
      for (const end = clock.nowMs + ms; clock.nowMs < end;) moveTo(clock.nowMs + 1);
    },
  };
}
