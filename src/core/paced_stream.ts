/**
 * The hot path of paced answers: each frame leaves when it is due.
 *
 * A stream keeps the few bytes of its stamps, and patches what is due in one scratch buffer shared
 * by all streams, just before the write: a copy per stream costs 15 KiB and doubled the p99
 * lateness at 4 000 streams, measured (docs/facts/runtime.md "Bun.listen").
 *
 * @module
 */

import type { Schedule, Script } from "./answer.ts";
import { COMMENT_EVENT } from "./dialect.ts";
import { type AppError, asAppError } from "./errors.ts";
import { outcomeOf } from "./events.ts";
import type { Exchange } from "./exchange.ts";
import { type Frames, type Stamped, stampSlots } from "./frames.ts";
import { textOfSteps } from "./gathering.ts";
import { type Gone, Outlet } from "./outlet.ts";
import type { ResponseWriter } from "./response_writer.ts";
import { fillDue, isAllKnown } from "./schedule.ts";
import type { Keeping } from "./keeping.ts";
import { NOTHING_SENT } from "./sent_text.ts";
import type { Manner, SentSoFar } from "./surface.ts";
import type { ScriptProgress } from "./usage.ts";

const COMMENT = new TextEncoder().encode(COMMENT_EVENT);

/** One scratch buffer for all streams: a write has copied or sent it before it returns. */
let scratch = new Uint8Array(64 * 1024);

/** That of `Buffer` takes any bytes, and needs no view of them: two thirds of the time. */
const { copy } = Buffer.prototype as unknown as {
  readonly copy: (
    this: Uint8Array,
    to: Uint8Array,
    at: number,
    from: number,
    end: number,
  ) => number;
};

/** An answer that is kept: who keeps it, and what it says. */
export interface Kept {
  readonly keeping: Keeping;
  readonly script: Script;
}

/** What is not the same in all paced answers. */
export interface PacedOptions {
  /** undefined = nobody keeps it. */
  readonly kept: Kept | undefined;
  /** True: the connection ends, without HTTP's end, where the last frame would leave. */
  readonly isCut: boolean;
  /** Where the frames' times are one request's; undefined = they are all known. */
  readonly schedule: Schedule | undefined;
}

/** One paced answer. */
export class PacedStream extends Outlet implements ScriptProgress {
  readonly #frames: Frames;
  readonly #manner: Manner;
  readonly #startMs: number;
  readonly #stamps: Stamped;
  readonly #script: Script | undefined;
  #isOpen = false;
  #next = 0;
  /** Called once the time of the first frame is known, where it was not. */
  onFirstKnown: (() => void) | undefined = undefined;
  /** True from when everything but the end mark has left. */
  #isKeeping = false;
  /** True while the keeper is waited for: the ticket rests. */
  #isHolding = false;
  readonly #keeping: Keeping | undefined;
  readonly #isCut: boolean;

  /** With `kept`, the last frame (the end mark) waits for the keeper, and nothing else does. */
  constructor(
    frames: Frames,
    exchange: Exchange,
    manner: Manner,
    writer: ResponseWriter,
    { kept, isCut, schedule }: PacedOptions,
  ) {
    super(exchange, writer);
    this.#frames = frames;
    this.#manner = manner;
    this.#startMs = exchange.startMs;
    this.#stamps = manner.stamps.own(frames.idCount);
    this.#script = kept?.script;
    this.#keeping = kept?.keeping;
    this.#isCut = isCut;
    if (schedule === undefined || isAllKnown(schedule)) return;
    schedule.onMore = () => {
      fillDue(frames, schedule, this.#next);
      if (this.#isOpen) return this.schedule();
      if (!this.isFirstKnown) return;
      this.onFirstKnown?.();
      this.onFirstKnown = undefined;
    };
  }

  /** False: a scheduler has not come to it. */
  get isFirstKnown(): boolean {
    return this.#frames.dueMs[0]! < Infinity;
  }

  /**
   * When the response begins, in milliseconds after the request: with its first frame, or a
   * comment.
   */
  get firstMs(): number {
    const firstMs = this.#frames.dueMs[0]!;
    const { keepaliveMs } = this.exchange.engine;
    return keepaliveMs > 0 ? Math.min(firstMs, keepaliveMs) : firstMs;
  }

  get stepsSaid(): number {
    return this.#next === 0 ? 0 : this.#frames.stepEnds[this.#next - 1]!;
  }

  /** Begins the response. */
  start(): void {
    this.run(this.exchange.engine.wheel.nowMs);
  }

  /** The answer will not begin: its client has left, or weir ends. */
  forgo(): void {
    this.#keeping?.cut("", this.#text(Infinity));
  }

  override run(nowMs: number): void {
    if (this.isSlow) return this.drop(nowMs);
    const { dueMs } = this.#frames;
    const from = this.#next;
    const elapsedMs = nowMs - this.#startMs;
    let to = from;
    while (to < dueMs.length && dueMs[to]! <= elapsedMs) to++;
    if (this.#isCut && to === dueMs.length) return this.#cut(from, nowMs);
    const isHeld = this.#keeping !== undefined && !this.#isKeeping && to === dueMs.length;
    if (isHeld && --to === from && this.#isOpen) return this.#keep();
    this.#next = to;
    if (to > from) this.exchange.note?.left(to - from, elapsedMs);
    if (from === 0 && to > 0) this.exchange.drawn?.delivers(elapsedMs, this.#frames.stepEnds[0]!);
    const isLast = to === dueMs.length;
    if (this.#isOpen && !isLast && to > from) {
      this.#fillIn(from, to, elapsedMs, nowMs);
    } else {
      // Nothing is due: keep-alive is, or the head of an answer that is to be kept.
      const bytes = to === from ? COMMENT : this.#patched(from, to, elapsedMs);
      if (this.#isOpen && isLast) return this.end(bytes);
      if (this.#isOpen) this.write(bytes, nowMs);
      else {
        if (isLast) this.exchange.last(200);
        this.#open(bytes);
      }
    }
    if (this.isClosed) return;
    if (isLast) return this.end();
    if (isHeld) this.#keep();
    else if (!this.isSlow) this.schedule();
  }

  /** Writes what is left, and ends the connection. The last frame is empty: it is when. */
  #cut(from: number, nowMs: number): void {
    const to = this.#frames.dueMs.length - 1;
    this.#next = to;
    if (to > from) {
      this.exchange.note?.left(to - from, nowMs - this.#startMs);
      const bytes = this.#patched(from, to, nowMs - this.#startMs);
      if (this.#isOpen) this.write(bytes, nowMs);
      else this.#open(bytes);
    }
    if (this.isClosed) return;
    this.break("fin", "completed");
    this.#keeping?.cut(this.#text(to));
  }

  protected override schedule(): void {
    if (this.isSlow) return super.schedule();
    if (this.isClosed || this.#isHolding || this.#next === this.#frames.dueMs.length) return;
    const { wheel, keepaliveMs } = this.exchange.engine;
    let atMs = this.#startMs + this.#frames.dueMs[this.#next]!;
    if (keepaliveMs > 0) atMs = Math.min(atMs, this.wroteMs + keepaliveMs);
    if (atMs < Infinity) wheel.set(this, atMs);
  }

  protected errorEvent(error: AppError): string | null {
    return this.#manner.errorEvent(error, this.#sent());
  }

  protected canComment(): boolean {
    return true;
  }

  protected onReady(): void {}

  protected onGone(_why: Gone): void {
    this.#keeping?.cut(this.#text(this.#next), this.#text(Infinity));
  }

  /** Writes the frames from `from` to before `to`: they are patched where they leave from. */
  #fillIn(from: number, to: number, elapsedMs: number, nowMs: number): void {
    const frames = this.#frames;
    const { ends, bytes } = frames;
    const base = from === 0 ? 0 : ends[from - 1]!;
    const length = ends[to - 1]! - base;
    const at = this.reserve(length);
    const { room } = this;
    copy.call(bytes, room, at, base, base + length);
    stampSlots(room, frames, from, to, base - at, this.#stamps);
    this.#recordLateness(from, to, elapsedMs);
    this.commit(length, nowMs);
  }

  #recordLateness(from: number, to: number, elapsedMs: number): void {
    const { dueMs } = this.#frames;
    const { recordLateness } = this.#manner;
    for (let i = from; i < to; i++) recordLateness(elapsedMs - dueMs[i]!);
  }

  /** The bytes of the frames from `from` to before `to`, with the slots written over. */
  #patched(from: number, to: number, elapsedMs: number): Uint8Array {
    const frames = this.#frames;
    const { ends, bytes } = frames;
    const base = from === 0 ? 0 : ends[from - 1]!;
    const length = ends[to - 1]! - base;
    if (length > scratch.length) scratch = new Uint8Array(length * 2);
    copy.call(bytes, scratch, 0, base, base + length);
    stampSlots(scratch, frames, from, to, base, this.#stamps);
    this.#recordLateness(from, to, elapsedMs);
    return scratch.subarray(0, length);
  }

  #open(bytes: Uint8Array): void {
    this.#isOpen = true;
    this.open(200, this.#manner.headers(this.exchange), bytes);
  }

  /** Has the answer kept, and lets its last frame go. */
  #keep(): void {
    this.#isKeeping = this.#isHolding = true;
    const { wheel, watch } = this.exchange.engine;
    wheel.cancel(this);
    this.#keeping!.whole(this.#text(Infinity)).then(() => {
      this.#isHolding = false;
      if (!this.isClosed) this.run(wheel.nowMs);
    }, (thrown) => {
      const error = asAppError(thrown);
      if (error.code === "internal") {
        watch({ kind: "bug", where: this.exchange.surface, error: thrown });
      }
      this.fail(error, outcomeOf(error));
    });
  }

  /** The first frame and the last one that have left, with the stamps in them. */
  #sent(): SentSoFar {
    const count = this.#next;
    if (count === 0 || this.#manner.errorEvent.length < 2) return NOTHING_SENT;
    const frame = (index: number) => {
      const { bytes, ends } = this.#frames;
      const base = index === 0 ? 0 : ends[index - 1]!;
      const copied = Buffer.from(bytes.subarray(base, ends[index]));
      stampSlots(copied, this.#frames, index, index + 1, base, this.#stamps);
      return copied.toString();
    };
    return { first: frame(0), last: frame(count - 1) };
  }

  /** What the first `frameCount` frames say. */
  #text(frameCount: number): string {
    if (this.#script === undefined) return "";
    const { stepEnds } = this.#frames;
    const { steps } = this.#script;
    if (frameCount === 0) return "";
    return textOfSteps(
      frameCount >= stepEnds.length ? steps : steps.slice(0, stepEnds[frameCount - 1]),
    );
  }
}
