/**
 * The hot path of paced answers: each frame leaves when it is due.
 *
 * A stream keeps its 39 bytes of id and time, and patches what is due in one scratch buffer shared
 * by all streams, just before the write: a copy per stream costs 15 KiB and doubled the p99 lateness
 * at 4 000 streams (facts/runtime.md 8).
 *
 * @module
 */

import { Ticket } from "../lib/wheel.ts";
import { COMMENT_EVENT } from "./dialect.ts";
import { type DirectController, directStream } from "./direct_stream.ts";
import { type AppError, asAppError } from "./errors.ts";
import { type Outcome, outcomeOf } from "./events.ts";
import { type Exchange, type OpenStream, readerSlow } from "./exchange.ts";
import { type Frames, stampSlots } from "./frames.ts";
import type { Keeper, Voice } from "./voice.ts";

const COMMENT = new TextEncoder().encode(COMMENT_EVENT);

/** One scratch buffer for all streams: a write has copied or sent it before it returns. */
let scratch = new Uint8Array(64 * 1024);

/** The bytes of `frames` from frame `from` to before frame `to`, with the slots written over. */
function patch(
  target: Uint8Array<ArrayBuffer>,
  frames: Frames,
  from: number,
  to: number,
  id: Uint8Array,
  created: Uint8Array,
): void {
  const base = from === 0 ? 0 : frames.ends[from - 1]!;
  target.set(frames.bytes.subarray(base, frames.ends[to - 1]!));
  stampSlots(target, frames, from, to, base, id, created);
}

/** One paced answer: a ticket on the wheel, and the controller of one response. */
export class PacedStream extends Ticket implements OpenStream {
  readonly #frames: Frames;
  readonly #exchange: Exchange;
  readonly #voice: Voice;
  readonly #startMs: number;
  readonly #id: Uint8Array;
  readonly #created: Uint8Array;
  #controller: DirectController | undefined = undefined;
  /** Settles the response while its first frame is not due yet. */
  #opening: ((error?: AppError) => void) | undefined = undefined;
  #next = 0;
  /** The reader is slow: the ticket is its deadline. */
  #isParked = false;
  /** Who keeps the answer; undefined = nobody, or it is being kept. */
  #keeper: Keeper | undefined;
  /** When the last byte left: what keep-alive counts from. */
  #wroteMs: number;

  constructor(frames: Frames, exchange: Exchange, voice: Voice, keeper: Keeper | undefined) {
    super();
    this.#keeper = keeper;
    this.#frames = frames;
    this.#exchange = exchange;
    this.#voice = voice;
    this.#startMs = exchange.startMs;
    this.#wroteMs = this.#startMs;
    this.#id = voice.stamps.id();
    this.#created = voice.stamps.created();
    exchange.engine.streams.add(this);
  }

  /**
   * The response, not before its first frame is due: Bun holds the head back until the first byte
   * of the body, so returning early would send half a head (facts/runtime.md 1.2).
   */
  response(): Response | Promise<Response> {
    const { wheel, keepaliveMs } = this.#exchange.engine;
    let firstMs = this.#frames.dueMs[0]!;
    if (keepaliveMs > 0) firstMs = Math.min(firstMs, keepaliveMs);
    if (firstMs === 0) return this.#open();
    const { signal } = this.#exchange;
    return new Promise<Response>((resolve, reject) => {
      const onAbort = () => {
        this.#leave();
        resolve(new Response(null));
      };
      this.#opening = (error) => {
        this.#opening = undefined;
        signal.removeEventListener("abort", onAbort);
        if (error === undefined) resolve(this.#open());
        else reject(error);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      wheel.set(this, this.#startMs + firstMs);
    });
  }

  fail(error: AppError): void {
    if (this.#opening !== undefined) {
      const opening = this.#opening;
      this.#free();
      this.#cut();
      return opening(error);
    }
    this.#failAs("shut_down", error);
  }

  override run(nowMs: number): void {
    if (this.#opening !== undefined) return this.#opening();
    if (this.#isParked) return this.#drop();
    const controller = this.#controller!;
    const { dueMs, ends } = this.#frames;
    const from = this.#next;
    const elapsedMs = nowMs - this.#startMs;
    let to = from;
    while (to < dueMs.length && dueMs[to]! <= elapsedMs) to++;
    const isHeld = this.#keeper !== undefined && to === dueMs.length;
    if (isHeld && --to === from) return this.#keep();
    let written: number | Promise<number>;
    if (to === from) {
      written = controller.write(COMMENT); // nothing is due: keep-alive is
    } else {
      const length = ends[to - 1]! - (from === 0 ? 0 : ends[from - 1]!);
      if (length > scratch.length) scratch = new Uint8Array(length * 2);
      patch(scratch, this.#frames, from, to, this.#id, this.#created);
      const { recordLateness } = this.#voice;
      for (let i = from; i < to; i++) recordLateness(elapsedMs - dueMs[i]!);
      this.#exchange.bodyBytes += length;
      this.#next = to;
      written = controller.write(scratch.subarray(0, length));
      if (to === dueMs.length) {
        this.#finish("completed");
        controller.end();
        return;
      }
    }
    this.#wroteMs = nowMs;
    if (isHeld) this.#keep();
    else if (typeof written === "number") this.#wait();
    else this.#park(written);
  }

  #open(): Response {
    this.#exchange.begin(200);
    const body = directStream((controller) => {
      this.#controller = controller;
      this.run(this.#exchange.engine.wheel.nowMs);
      // A first chunk under 256 bytes would leave in a second packet, behind the head.
      if (this.#next < this.#frames.ends.length) controller.flush();
    }, () => this.#leave());
    return new Response(body, { headers: this.#voice.headers(this.#exchange) });
  }

  #wait(): void {
    const { wheel, keepaliveMs } = this.#exchange.engine;
    let atMs = this.#startMs + this.#frames.dueMs[this.#next]!;
    if (keepaliveMs > 0) atMs = Math.min(atMs, this.#wroteMs + keepaliveMs);
    wheel.set(this, atMs);
  }

  /** The reader is slow: nothing is written until the socket has room again, or its time is up. */
  #park(written: Promise<number>): void {
    const { wheel, writeTimeoutMs } = this.#exchange.engine;
    this.#isParked = true;
    wheel.set(this, wheel.nowMs + writeTimeoutMs);
    written.then(() => {
      this.#isParked = false;
      if (this.#exchange.outcome === undefined) this.#wait();
    }, () => this.#leave());
  }

  /** Has the answer kept, and lets its last frame go. */
  #keep(): void {
    const keeper = this.#keeper!;
    this.#keeper = undefined;
    keeper.whole().then(() => {
      if (this.#exchange.outcome === undefined) this.run(this.#exchange.engine.wheel.nowMs);
    }, (thrown) => {
      const error = asAppError(thrown);
      if (error.code === "internal") {
        const { engine, surface } = this.#exchange;
        engine.watch({ kind: "bug", where: surface, error: thrown });
      }
      if (this.#exchange.outcome === undefined) this.#failAs(outcomeOf(error), error);
    });
  }

  #leave(): void {
    if (this.#exchange.outcome !== undefined) return;
    this.#finish("client_left");
    this.#cut();
  }

  #failAs(outcome: Outcome, error: AppError): void {
    this.#finish(outcome, error);
    this.#controller?.write(this.#voice.errorEvent(error));
    this.#controller?.close();
    this.#cut();
  }

  /** The reader has had its time: the connection is reset, and what it did not take is freed. */
  #drop(): void {
    const error = readerSlow(this.#exchange.engine.writeTimeoutMs);
    this.#finish("timed_out", error);
    this.#controller!.close(error);
    this.#cut();
  }

  #cut(): void {
    const keeper = this.#keeper;
    this.#keeper = undefined;
    keeper?.cut(this.#next);
  }

  #finish(outcome: Outcome, error?: AppError): void {
    this.#free();
    this.#exchange.end(outcome, error);
  }

  #free(): void {
    const { wheel, streams } = this.#exchange.engine;
    wheel.cancel(this);
    streams.delete(this);
  }
}
