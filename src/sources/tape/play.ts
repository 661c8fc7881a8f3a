/**
 * Plays a tape: the same bytes in the same pieces at the same times, and the same ending.
 *
 * @module
 */

import type { PieceSink, Relay, RelayBody, Usage } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import { tailOf } from "../../core/relay.ts";
import { OwnBody } from "../../core/relay_body.ts";
import type { RecordLateness } from "../../core/surface.ts";
import type { UsageMeter } from "../../core/usage.ts";
import type { SseTail, StreamEnd } from "../../lib/sse_tail.ts";
import type { Wheel } from "../../lib/wheel.ts";
import { brokenOff } from "../upstream/attempt.ts";
import { SaidText } from "../usage/said_text.ts";
import type { FreshStamps } from "./fresh_ids.ts";
import type { LaidTape } from "./laid.ts";

/** How tapes are played. */
export interface PlayOptions {
  /** 1 = as it was, 2 = twice as fast, 0 = at once. */
  readonly speed: number;
  /** A client that does not leave as the one on the tape did waits this long, and no longer. */
  readonly idleTimeoutMs: number;
  readonly wheel: Wheel;
  readonly wallMs: () => number;
  readonly randomBytes: (target: Uint8Array<ArrayBuffer>) => void;
  readonly recordLateness: RecordLateness;
}

/** When what is at `atUs` on a tape is due, in milliseconds since the request. */
export function dueMs(atUs: number, speed: number): number {
  return speed === 0 ? 0 : atUs / 1000 / speed;
}

/** The error that ended `tape`; the same code and words. */
export function errorOfTape({ ending, status }: LaidTape): AppError {
  if (ending.how === "timed_out") return new AppError("upstream_timeout", ending.error);
  if (ending.how === "unreachable") return new AppError("upstream_unreachable", ending.error);
  return status < 0
    ? new AppError("upstream_broken", ending.error)
    : brokenOff(new Error(ending.error));
}

/** True when all of `tape` is due at once, and whole. */
export function isAtOnce({ isUntilClose, ending }: LaidTape, speed: number): boolean {
  return speed === 0 && ending.how === "whole" && !isUntilClose;
}

/** An answer of a tape. */
interface TapeRelay extends Relay, UsageMeter {
  readonly kind: "relay";
}

/** What the first `bytes` bytes of `tape` say. */
function saidOn(tape: LaidTape, bytes: number): string {
  const said = new SaidText(tape.dialect);
  if (tape.encoding === "") said.feed(tape.bytes.subarray(0, bytes));
  return said.text();
}

/** An answer of `tape`, all of which is due at once: one object for all requests. */
export class WholeTape implements TapeRelay, RelayBody {
  readonly kind = "relay";
  readonly body: RelayBody = this;
  readonly tape: LaidTape;
  readonly #options: PlayOptions;
  #end: StreamEnd | undefined;
  #tail: SseTail | undefined;

  constructor(tape: LaidTape, options: PlayOptions) {
    this.tape = tape;
    this.#options = options;
  }

  get told(): Usage | undefined {
    return this.tape.usage;
  }

  get isTold(): boolean {
    return this.tape.usage !== undefined;
  }

  said(): string {
    return saidOn(this.tape, this.tape.bytes.length);
  }

  tail(end: StreamEnd | undefined): SseTail {
    if (this.#tail !== undefined && this.#end === end) return this.#tail;
    this.#end = end;
    return this.#tail = tailOf(this.tape.bytes, end);
  }

  get status(): number {
    return this.tape.status;
  }

  get fields() {
    return this.tape.fields;
  }

  get dialect() {
    return this.tape.dialect;
  }

  whole(): Uint8Array {
    const { bytes, fresh } = this.tape;
    if (fresh !== undefined) {
      const { randomBytes, wallMs } = this.#options;
      fresh.write(bytes, 0, bytes.length, fresh.draw(randomBytes, wallMs() / 1000));
    }
    return bytes;
  }

  flow(sink: PieceSink): void {
    const bytes = this.whole();
    if (bytes.length > 0) sink.onPiece(bytes, 0, true);
    sink.onEnd("end");
  }

  pause(): void {}
  resume(): void {}
  cancel(): void {}
}

/** An answer of a tape that takes its time. */
export class TimedTape extends OwnBody implements TapeRelay {
  readonly kind = "relay";
  readonly body: RelayBody = this;
  readonly #tape: LaidTape;
  readonly #options: PlayOptions;
  readonly #stamps: FreshStamps | undefined;
  /** When the request was there, on the wheel's clock. */
  readonly #startMs: number;
  #next = 0;
  /** False while the client is what is late. */
  #isOwnPace: boolean;

  constructor(tape: LaidTape, startMs: number, options: PlayOptions) {
    super(options.wheel);
    this.#tape = tape;
    this.#options = options;
    this.#startMs = startMs;
    this.#isOwnPace = options.speed > 0;
    this.#stamps = tape.fresh?.draw(options.randomBytes, options.wallMs() / 1000);
  }

  get status(): number {
    return this.#tape.status;
  }

  get fields() {
    return this.#tape.fields;
  }

  get isUntilClose(): boolean {
    return this.#tape.isUntilClose;
  }

  get dialect() {
    return this.#tape.dialect;
  }

  get told(): Usage | undefined {
    return this.isTold ? this.#tape.usage : undefined;
  }

  /** Where a tape tells it is near its end. */
  get isTold(): boolean {
    return this.#tape.usage !== undefined && this.#next === this.#tape.ends.length;
  }

  said(): string {
    return saidOn(this.#tape, this.#next === 0 ? 0 : this.#tape.ends[this.#next - 1]!);
  }

  /** All of it, where all came with the head. */
  whole(): Uint8Array | undefined {
    const { atUs, bytes, ending, isUntilClose } = this.#tape;
    if (ending.how !== "whole" || isUntilClose || this.#next > 0) return undefined;
    const elapsedMs = this.wheel.nowMs - this.#startMs;
    const lastMs = this.#dueMs(Math.max(ending.atUs, atUs.at(-1) ?? 0));
    if (lastMs > elapsedMs) return undefined;
    this.#next = atUs.length;
    this.#stamp(0, bytes.length);
    return bytes;
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.#isOwnPace = false;
    this.run(this.wheel.nowMs);
  }

  override run(nowMs: number): void {
    const { bytes, ends, atUs } = this.#tape;
    for (;;) {
      const { sink } = this;
      if (sink === undefined || this.isPaused) return;
      if (this.#next === ends.length) return this.#end(sink, nowMs);
      const elapsedMs = nowMs - this.#startMs;
      const dueMs = this.#dueMs(atUs[this.#next]!);
      if (dueMs > elapsedMs) {
        this.#isOwnPace = true;
        return this.wheel.set(this, this.#startMs + dueMs);
      }
      if (this.#isOwnPace) this.#options.recordLateness(elapsedMs - dueMs);
      const from = this.#next === 0 ? 0 : ends[this.#next - 1]!;
      const to = ends[this.#next]!;
      this.#next++;
      let piece = bytes.subarray(from, to);
      if (this.#stamps !== undefined) {
        this.#stamp(from, to);
        piece = Buffer.from(piece); // the next answer writes over it
      }
      sink.onPiece(piece, dueMs * 1000, this.#isLast(elapsedMs));
    }
  }

  /** True when the end follows at once. */
  #isLast(elapsedMs: number): boolean {
    const { ends, ending } = this.#tape;
    return this.#next === ends.length && ending.how === "whole" &&
      this.#dueMs(ending.atUs) <= elapsedMs;
  }

  #end(sink: PieceSink, nowMs: number): void {
    const { ending } = this.#tape;
    const { idleTimeoutMs } = this.#options;
    // Nobody knows what would have followed, as nobody was there any more.
    const isSilent = ending.how === "client_left";
    const afterMs = this.#dueMs(ending.atUs) + (isSilent ? idleTimeoutMs : 0);
    if (this.#startMs + afterMs > nowMs) return this.wheel.set(this, this.#startMs + afterMs);
    this.sink = undefined;
    switch (ending.how) {
      case "whole":
        return sink.onEnd("end");
      case "upstream_broke":
      case "timed_out":
        return sink.onEnd("fin", errorOfTape(this.#tape));
      case "client_left":
        return sink.onEnd("fin", recordingEnded(idleTimeoutMs));
    }
  }

  #stamp(from: number, to: number): void {
    const { bytes, fresh } = this.#tape;
    if (this.#stamps !== undefined) fresh!.write(bytes, from, to, this.#stamps);
  }

  #dueMs(atUs: number): number {
    return dueMs(atUs, this.#options.speed);
  }
}

function recordingEnded(idleTimeoutMs: number): AppError {
  return new AppError(
    "upstream_timeout",
    "The tape ends before its answer does, as its client had left then; " +
      `after ${idleTimeoutMs} ms nobody waits for more`,
  );
}
