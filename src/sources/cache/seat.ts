/**
 * A place in a question that several ask together: what one of them gets, in its own time.
 *
 * @module
 */

import type { Answer, Ending, PieceSink, RelayBody, Step } from "../../core/answer.ts";
import type { AppError } from "../../core/errors.ts";
import type { CacheNote, Call } from "../../core/exchange.ts";
import type { AbortListener } from "../../lib/abort.ts";
import type { Fields } from "../../lib/http1/fields.ts";

/** What comes of a question: an answer, or that one has to ask by oneself. */
export type Outcome =
  | { readonly kind: "answer"; readonly answer: Answer }
  /** There is no answer for this one yet: what is kept is looked at again, and then all ask anew. */
  | { readonly kind: "again" }
  /** The answer is for one alone. */
  | { readonly kind: "alone" };

/** What came at a time: bytes of an upstream, or steps. */
export interface Piece {
  readonly bytes: Buffer<ArrayBuffer>;
  readonly steps: readonly Step[];
  /** What it takes, about. */
  readonly byteLength: number;
  readonly atUs: number;
}

/** How it ended. */
export type End = {
  readonly ending: Exclude<Ending, "hold">;
  readonly error: AppError | undefined;
};

/** What a seat is in. */
export interface SeatHost {
  /** The whole body, where it is here and nobody needs to wait for it. */
  wholeFor(seat: Seat): Buffer<ArrayBuffer> | undefined;
  /** Piece `index`; undefined = it is not here yet. */
  piece(index: number): Piece | undefined;
  /** How it ended, where piece `index` is behind the last; undefined = there is more. */
  endAt(index: number): End | undefined;
  /** A seat takes more. */
  onResume(): void;
  /** A seat is empty. `reason`: why, where it has not got all. */
  leave(seat: Seat, reason: unknown): void;
}

/** Who has a seat. */
export interface Sitter {
  readonly fields: Fields;
  readonly call: Call;
  readonly identity: string;
  readonly isAgain: boolean;
  readonly isFirst: boolean;
}

/** One of those who ask: as a body, it gives what has come so far, and the rest as it comes. */
export class Seat implements RelayBody, AbortListener {
  readonly fields: Fields;
  readonly call: Call;
  readonly identity: string;
  readonly isAgain: boolean;
  /** True: it is the one that the question was asked for. */
  readonly isFirst: boolean;
  readonly note: CacheNote;
  readonly #flight: SeatHost;
  readonly #resolve: (outcome: Outcome) => void;
  readonly #reject: (error: unknown) => void;
  /** True until it is settled what comes of it. */
  isWaiting = true;
  #isGone = false;
  #sink: PieceSink | undefined;
  /** Whoever waits for steps. */
  #onMore: (() => void) | undefined;
  #cutOff: End | undefined;
  /** The piece that it gets next. */
  next = 0;
  /** Bytes that it has got. */
  takenBytes = 0;
  isPaused = false;

  constructor(
    flight: SeatHost,
    { fields, call, identity, isAgain, isFirst }: Sitter,
    resolve: (outcome: Outcome) => void,
    reject: (error: unknown) => void,
  ) {
    this.#flight = flight;
    this.fields = fields;
    this.call = call;
    this.identity = identity;
    this.isAgain = isAgain;
    this.isFirst = isFirst;
    this.#resolve = resolve;
    this.#reject = reject;
    this.note = { result: isFirst ? "miss" : "joined", ageS: -1, isFree: !isFirst, idName: "" };
    call.cache = this.note;
  }

  /** Hears when its client leaves. False: it has left. */
  listen(): boolean {
    const { signal } = this.call;
    if (signal.aborted) {
      this.handleEvent();
      return false;
    }
    signal.addEventListener("abort", this);
    this.call.atEnd(() => {
      // An answer that is to be finished goes on behind its request.
      if (!this.call.isDraining) this.#leave(undefined);
    });
    return true;
  }

  /** Of the call: nobody wants the answer. */
  handleEvent(): void {
    const { reason } = this.call.signal;
    this.#leave(reason);
    if (!this.isWaiting) return;
    this.isWaiting = false;
    this.#reject(reason);
  }

  /** `isStaying`: it takes part until the answer's end. */
  settle(outcome: Outcome, isStaying = false): void {
    if (!this.isWaiting) return;
    this.isWaiting = false;
    if (!isStaying) this.#leave(undefined);
    this.#resolve(outcome);
  }

  fail(error: unknown): void {
    if (!this.isWaiting) return;
    this.isWaiting = false;
    this.#leave(error);
    this.#reject(error);
  }

  /** It has not taken its bytes for too long. */
  cut(error: AppError): void {
    const sink = this.#sink;
    this.#cutOff = { ending: "fin", error };
    this.#leave(error);
    sink?.onEnd("fin", error);
    this.#onMore?.();
  }

  whole(): Uint8Array | undefined {
    const bytes = this.#flight.wholeFor(this);
    if (bytes !== undefined) this.#leave(undefined);
    return bytes;
  }

  flow(sink: PieceSink): void {
    this.#sink = sink;
    this.tell();
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.tell();
    if (!this.isPaused) this.#flight.onResume();
  }

  cancel(): void {
    this.#leave(undefined);
  }

  /** What it gets next; undefined = it is not here. */
  take(): Piece | undefined {
    const piece = this.#flight.piece(this.next);
    if (piece === undefined) return undefined;
    this.next++;
    this.takenBytes += piece.byteLength;
    return piece;
  }

  /** Waits for steps: `onMore` is called when there are some, or it ends. */
  wait(onMore: () => void): void {
    this.#onMore = onMore;
    this.isPaused = false;
    this.#flight.onResume();
  }

  /** How it has ended, behind all that it got; undefined = it has not. */
  finish(): End | undefined {
    const end = this.#cutOff ?? this.#flight.endAt(this.next);
    if (end !== undefined) this.#leave(undefined);
    return end;
  }

  /** Gives what has come. `isLast`: the body's end follows the last piece at once. */
  tell(isLast = false): void {
    const onMore = this.#onMore;
    if (onMore !== undefined) {
      this.#onMore = undefined;
      this.isPaused = true; // until it asks for the next ones
      return onMore();
    }
    for (;;) {
      const sink = this.#sink;
      if (sink === undefined || this.isPaused) return;
      const piece = this.take();
      if (piece === undefined) break;
      const isEnd = this.#flight.endAt(this.next)?.ending === "end" ||
        (isLast && this.#flight.piece(this.next) === undefined);
      sink.onPiece(piece.bytes, piece.atUs, isEnd);
    }
    const end = this.#flight.endAt(this.next);
    const sink = this.#sink;
    if (end === undefined || sink === undefined) return;
    this.#leave(undefined);
    sink.onEnd(end.ending, end.error);
  }

  #leave(reason: unknown): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#sink = undefined;
    this.call.signal.removeEventListener("abort", this);
    this.#flight.leave(this, reason);
  }
}

type Turn = IteratorResult<readonly Step[]>;
const DONE: Turn = { done: true, value: undefined };

/** The steps that a seat gets. */
export class SeatSteps implements AsyncIterableIterator<readonly Step[]> {
  readonly #seat: Seat;
  #isOver = false;
  #wake: (() => void) | undefined;

  constructor(seat: Seat) {
    this.#seat = seat;
    seat.isPaused = true;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<Turn> {
    while (!this.#isOver) {
      const piece = this.#seat.take();
      if (piece !== undefined) return { done: false, value: piece.steps };
      const end = this.#seat.finish();
      if (end !== undefined) {
        this.#isOver = true;
        if (end.error !== undefined) throw end.error;
        break;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#seat.wait(resolve);
      });
    }
    return DONE;
  }

  return(): Promise<Turn> {
    this.#isOver = true;
    this.#seat.cancel();
    this.#wake?.();
    return Promise.resolve(DONE);
  }
}
