/**
 * The hot path: answers with frames, each one when it is due. Nothing rare lives here.
 *
 * A whole answer is one copy of its bytes. A paced one keeps its 39 bytes of id and time and
 * patches what is due in one scratch buffer shared by all streams, just before the write: a copy
 * per stream costs 15 KiB and doubled the p99 lateness at 4 000 streams (facts/runtime.md 8).
 *
 * @module
 */

import { Ticket } from "../lib/wheel.ts";
import { COMMENT_EVENT } from "./dialect.ts";
import { type AppError, asAppError } from "./errors.ts";
import { type Outcome, outcomeOf } from "./events.ts";
import { type Exchange, type OpenStream, readerSlow } from "./exchange.ts";
import type { Frames } from "./frames.ts";
import type { Stamps } from "./stamp.ts";

/** Response headers: one shared `Headers` of seven costs 9 % less of a request than a fresh object. */
export type HeaderFields = Headers | Readonly<Record<string, string>>;

/** What Bun's `type: "direct"` controller does; the DOM types do not know it. */
export interface DirectController {
  /** Bytes written, a promise when the socket is full (the chunk is accepted), 0 when it is gone. */
  write(chunk: Uint8Array | string): number | Promise<number>;
  flush(): number | Promise<number>;
  /** Ends the body. With an error, the connection is reset and no terminator is written. */
  close(error?: Error): void;
  end(): void;
}

/** A direct stream: `pull` gets the controller once and may keep it. */
export function directStream(
  pull: (controller: DirectController) => void,
  cancel: () => void,
): ReadableStream<Uint8Array> {
  // Bun extends the underlying source; the cast is the one place that says so.
  return new ReadableStream(
    { type: "direct", pull, cancel } as unknown as ConstructorParameters<
      typeof ReadableStream<Uint8Array>
    >[0],
  );
}

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

/** Writes id and time into the slots of frames `from` to `to`; `target` begins at offset `base`. */
function stampSlots(
  target: Uint8Array,
  { idAt, createdAt }: Frames,
  from: number,
  to: number,
  base: number,
  id: Uint8Array,
  created: Uint8Array,
): void {
  const end = Math.min(to, idAt.length);
  for (let i = from; i < end; i++) {
    // Loops: `set` is a call into native code, 40 ns each, and these are a few bytes.
    const idFrom = idAt[i]! - base;
    for (let k = 0; k < id.length; k++) target[idFrom + k] = id[k]!;
    const createdFrom = createdAt[i]! - base;
    for (let k = 0; k < created.length; k++) target[createdFrom + k] = created[k]!;
  }
}

/** How late frames left, in milliseconds: an instrument that knows its own error. */
export type RecordLateness = (lateMs: number) => void;

/** How one surface replies: made once, shared by all its answers. */
export interface Voice {
  /** What goes into the slots. An id must be as long as the slot that the frames leave for it. */
  readonly stamps: Pick<Stamps, "id" | "sharedId" | "created">;
  /** The headers of one answer, called just before its response is made. */
  readonly headers: (exchange: Exchange) => HeaderFields;
  /** The error event of this dialect, for a stream that shutdown cuts short. */
  readonly errorEvent: (error: AppError) => string;
  readonly recordLateness: RecordLateness;
}

/** Keeps what was said. Exactly one of the two is called, once. */
export interface Keeper {
  /** Every frame but the last has left. The last one leaves when this settles; when it throws, the
   * error event leaves instead. */
  whole(): Promise<void>;
  /** The answer was cut short after `frameCount` frames. */
  cut(frameCount: number): void;
}

/**
 * Answers with `frames`: in one write when all are due at once, else each when it is due. With a
 * `keeper`, the last frame (the end mark) waits for it, and nothing else does.
 */
export function reply(
  frames: Frames,
  exchange: Exchange,
  voice: Voice,
  keeper?: Keeper,
): Response | Promise<Response> {
  const count = frames.dueMs.length;
  if (keeper === undefined && frames.dueMs[count - 1] === 0) {
    // In place: `Response` copies the bytes before anybody else can write to the slots. A copy of
    // our own would double the garbage of a request.
    stampSlots(frames.bytes, frames, 0, count, 0, voice.stamps.sharedId(), voice.stamps.created());
    exchange.complete(200, frames.bytes.length);
    return new Response(frames.bytes, { headers: voice.headers(exchange) });
  }
  return new PacedStream(frames, exchange, voice, keeper).response();
}

/** One paced answer: a ticket on the wheel, and the controller of one response. */
class PacedStream extends Ticket implements OpenStream {
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
