/**
 * One question to an upstream, for all who ask the same at a time: each gets the bytes as they come, from
 * one copy of them. It goes on for as long as somebody is there, whoever asked first.
 *
 * While all of the answer is held, nobody holds up anybody. Where it becomes too large to be kept, what all
 * have taken is let go of: who takes nothing for too long is cut off, unless all do, which holds up the
 * upstream.
 *
 * @module
 */

import type { Answer, Ask, Ending, PieceSink, Relay, RelayBody, Source } from "../../core/answer.ts";
import { AppError, asAppError, clientLeft } from "../../core/errors.ts";
import type { CacheNote, Call } from "../../core/exchange.ts";
import type { AbortListener } from "../../lib/abort.ts";
import { Fields } from "../../lib/http1/fields.ts";
import type { AnswerCache } from "./answer_cache.ts";
import type { CacheKey } from "./cache_key.ts";
import { FlightCall } from "./flight_call.ts";
import {
  type CachePace,
  fitsVarying,
  type IdName,
  idNameOf,
  sharedFields,
  type Varying,
  varyingOf,
} from "./stored_answer.ts";
import { isWholeAnswer, mayKeep } from "./whole_answer.ts";

/** What the cache of a route needs to know. */
export interface FlightRules {
  /** Questions under way, by what they ask. */
  readonly flights: Map<string, Flight>;
  readonly isForAll: boolean;
  readonly ttlMs: number;
  readonly pace: CachePace;
}

/** What comes of a question: an answer, or that one has to ask by oneself. */
export type Outcome =
  | { readonly kind: "answer"; readonly answer: Answer }
  /** There is no answer for this one yet: what is kept is looked at again, and then all ask anew. */
  | { readonly kind: "again" }
  /** The answer is for one alone. */
  | { readonly kind: "alone" };

/** Statuses that another try may not have, and all from 500. */
const FAILURES: ReadonlySet<number> = new Set([408, 409, 425, 429]);

/** So much may wait for one while others take it, where the answer is not kept. */
const BEHIND_BYTES_MAX = 4_194_304;

const AGAIN: Outcome = { kind: "again" };
const ALONE: Outcome = { kind: "alone" };

/** Bytes that came at a time. */
interface Piece {
  readonly bytes: Buffer<ArrayBuffer>;
  readonly atUs: number;
}

type End = {
  readonly ending: Exclude<Ending, "hold">;
  readonly error: AppError | undefined;
};

/** The head of the answer, once it is here. */
interface Head {
  readonly relay: Relay;
  /** Of whoever asked first. */
  readonly fields: Fields;
  /** For all others. */
  readonly shared: Fields;
  readonly idName: IdName;
  readonly varying: Varying;
  /** True: those who ask the same may have it, too. */
  readonly isShared: boolean;
}

/** One such question. */
export class Flight implements PieceSink {
  readonly #cache: AnswerCache;
  readonly #key: CacheKey;
  readonly #rules: FlightRules;
  readonly #flight: FlightCall;
  readonly #request: Fields;
  readonly #beganMs: number;
  /** In the order in which they came: the first of them pays. */
  readonly #seats = new Set<Seat>();
  #head: Head | undefined;
  #end: End | undefined;
  /** All pieces from `#from` on. */
  #pieces: Piece[] = [];
  #from = 0;
  /** Bytes that have come. */
  #bytes = 0;
  /** Bytes for which there is room taken. */
  #heldBytes = 0;
  /** True while all that has come is here. */
  #isHeld = true;
  #isBodyPaused = false;
  #isOver = false;
  #whole: Buffer<ArrayBuffer> | undefined;

  /** `first`: who asks first, with `ask`. */
  constructor(cache: AnswerCache, key: CacheKey, rules: FlightRules, ask: Ask, first: Call) {
    this.#cache = cache;
    this.#key = key;
    this.#rules = rules;
    this.#request = ask.wire!.fields;
    this.#beganMs = cache.wheel.nowMs;
    this.#flight = new FlightCall(first);
    if (!rules.flights.has(key.digest)) rules.flights.set(key.digest, this);
  }

  /** How long it has gone on, in seconds. */
  get ageS(): number {
    return (this.#cache.wheel.nowMs - this.#beganMs) / 1000;
  }

  /** True when a request with `fields` may still get all of the answer. */
  takes(fields: Fields): boolean {
    if (this.#isOver || !this.#isHeld) return false;
    const head = this.#head;
    return head === undefined || (head.isShared && fitsVarying(head.varying, fields));
  }

  /**
   * Takes part. `isAgain`: it has done so before, in vain. Rejects with the error that comes instead, or
   * with why `call` was given up.
   */
  join(fields: Fields, call: Call, identity: string, isAgain: boolean): Promise<Outcome> {
    const isFirst = this.#seats.size === 0;
    return new Promise((resolve, reject) => {
      const seat = new Seat(this, { fields, call, identity, isAgain, isFirst }, resolve, reject);
      this.#seats.add(seat);
      if (!seat.listen()) return;
      if (this.#head !== undefined) this.#give(seat, this.#head);
    });
  }

  /** Asks `source`. `looks`: what others have kept is looked at before. */
  async start(source: Source, ask: Ask, looks: boolean): Promise<void> {
    try {
      if (looks && await this.#isKeptElsewhere()) return this.#land(AGAIN);
      if (this.#isOver) return;
      const answer = await source.answer(ask, this.#flight.call);
      if (this.#isOver) return forget(answer);
      if (answer.kind === "relay") this.#take(answer);
      else this.#handOver(answer);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #isKeptElsewhere(): Promise<boolean> {
    const { digest, dialect } = this.#key;
    return await this.#cache.fetch(digest, dialect, this.#rules.pace) !== undefined;
  }

  /** All ask by themselves. */
  #land(outcome: Outcome): void {
    this.#close();
    for (const seat of [...this.#seats]) seat.settle(outcome);
  }

  /** There is no answer. Who was first gets the reason; of the others, each is spared one. */
  #fail(error: unknown): void {
    if (this.#isOver) return;
    const { call } = this.#flight;
    call.upstream?.end(error);
    this.#close();
    this.#head?.relay.body.cancel();
    this.#end ??= { ending: "fin", error: asAppError(error) };
    const payer = this.#payer;
    const identity = payer?.identity;
    for (const seat of [...this.#seats]) {
      if (!seat.isWaiting) {
        seat.tell();
        continue;
      }
      if (seat.isFirst || (seat.isAgain && seat.identity === identity)) {
        this.#flight.tell(seat.call);
        if (seat === payer) this.#flight.tellWay(seat.call);
        seat.fail(error);
      } else seat.settle(seat.isAgain ? ALONE : AGAIN);
    }
  }

  /** What is no relay is for whoever asked first. */
  #handOver(answer: Answer): void {
    const seats = [...this.#seats];
    const first = seats.find(({ isFirst }) => isFirst);
    this.#close(first === undefined);
    if (first === undefined) forget(answer);
    else {
      this.#flight.handOver();
      first.call.cache = BYPASS;
    }
    for (const seat of seats) seat.settle(seat === first ? { kind: "answer", answer } : ALONE);
  }

  #take(relay: Relay): void {
    const { status, fields } = relay;
    const { isForAll } = this.#rules;
    const lines = Buffer.from(fields.bytes.subarray(fields.from, fields.to));
    const own = new Fields(lines, 0, lines.length);
    const head: Head = {
      relay,
      fields: own,
      shared: sharedFields(own),
      idName: idNameOf(own),
      varying: varyingOf(own, this.#request),
      isShared: mayKeep(status, own, isForAll),
    };
    this.#head = head;
    if (!head.isShared) this.#isHeld = false;
    const whole = relay.body.whole();
    if (whole !== undefined) {
      if (whole.length > 0) this.onPiece(whole, 0);
      this.onEnd("end");
    } else relay.body.flow(this);
    const payer = this.#payer;
    for (const seat of [...this.#seats]) this.#give(seat, head, payer);
    this.#trim();
  }

  /** `seat` gets the answer, where it is for that one. */
  #give(seat: Seat, head: Head, payer = this.#payer): void {
    const { status } = head.relay;
    const outcome = this.#outcomeFor(seat, head, payer);
    if (outcome !== undefined) return seat.settle(outcome);
    this.#flight.tell(seat.call);
    if (seat === payer) this.#flight.tellWay(seat.call);
    const { relay, fields, shared, idName } = head;
    const { isUntilClose = false } = relay;
    seat.settle({
      kind: "answer",
      answer: {
        ...{ kind: "relay", status, isUntilClose, body: seat },
        fields: seat.isFirst ? fields : shared,
      },
    }, true);
    if (!seat.isFirst) seat.note.idName = idName;
  }

  /** Why `seat` does not get the answer; undefined = it does. */
  #outcomeFor(seat: Seat, head: Head, payer: Seat | undefined): Outcome | undefined {
    if (seat.isFirst) return undefined;
    const { status } = head.relay;
    if (head.isShared) return fitsVarying(head.varying, seat.fields) ? undefined : ALONE;
    // What is refused to one is refused to all who are the same.
    const isSame = status >= 400 && seat.identity === payer?.identity;
    const isFailure = status >= 500 || FAILURES.has(status);
    if (isSame && (!isFailure || seat.isAgain)) return undefined;
    return status >= 400 && !seat.isAgain ? AGAIN : ALONE;
  }

  get #payer(): Seat | undefined {
    return this.#seats.values().next().value;
  }

  /** Of the body. */
  onPiece(bytes: Uint8Array, atUs: number, isLast?: boolean): void {
    if (this.#isOver || bytes.length === 0) return;
    this.#bytes += bytes.length;
    if (this.#isHeld && !this.#hold(bytes.length)) this.#letGo();
    this.#pieces.push({ bytes: Buffer.from(bytes), atUs }); // the connection reads the next into theirs
    for (const seat of this.#seats) seat.tell(isLast);
    if (!this.#isHeld) this.#trim();
  }

  /** Of the body. */
  onEnd(ending: Exclude<Ending, "hold">, error?: AppError): void {
    if (this.#isOver) return;
    this.#end = { ending, error };
    const payer = this.#payer;
    if (payer !== undefined) this.#flight.tellCost(payer.call);
    if (this.#isGood) this.#keep();
    this.#close();
    for (const seat of this.#seats) seat.tell();
  }

  get #isGood(): boolean {
    const { tape, fixture } = this.#flight.call;
    const end = this.#end!;
    if (!this.#isHeld || end.ending !== "end" || end.error !== undefined) return false;
    if (tape !== "" || fixture !== "") return false;
    const { relay, fields } = this.#head!;
    return isWholeAnswer(this.#key.dialect, fields, this.bytes(), relay.isUntilClose === true);
  }

  #keep(): void {
    const head = this.#head!;
    const ends = new Uint32Array(this.#pieces.length);
    let end = 0;
    for (const [i, { bytes }] of this.#pieces.entries()) ends[i] = end += bytes.length;
    const ageText = head.fields.get("age") ?? "";
    this.#cache.put(this.#key.digest, {
      dialect: this.#key.dialect,
      fields: head.shared,
      idName: head.idName,
      bytes: this.bytes(),
      ends,
      atUs: Float64Array.from(this.#pieces, ({ atUs }) => atUs),
      varying: head.varying,
      wholeAtMs: this.#cache.nowMs,
      ageS: /^\d{1,9}$/.test(ageText) ? Number(ageText) : 0,
      ttlMs: this.#rules.ttlMs,
    }, this.#rules.pace);
  }

  /** All of the body, in one piece. Only while it is held. */
  bytes(): Buffer<ArrayBuffer> {
    return this.#whole ??= this.#pieces.length === 1
      ? this.#pieces[0]!.bytes
      : Buffer.concat(this.#pieces.map(({ bytes }) => bytes));
  }

  /** The whole body, where it is here and nobody needs to wait for it. */
  wholeFor({ next }: Seat): Buffer<ArrayBuffer> | undefined {
    const isWhole = this.#end?.ending === "end" && this.#end.error === undefined &&
      this.#head?.relay.isUntilClose !== true;
    return isWhole && next === 0 && this.#from === 0 ? this.bytes() : undefined;
  }

  /** Piece `index`; undefined = it is not here yet. */
  piece(index: number): Piece | undefined {
    return this.#pieces[index - this.#from];
  }

  /** How it ended, where piece `index` is behind the last; undefined = there is more. */
  endAt(index: number): End | undefined {
    return index === this.#from + this.#pieces.length ? this.#end : undefined;
  }

  /** True: takes room for more of an answer that may be kept. */
  #hold(bytes: number): boolean {
    const isHeld = this.#bytes <= this.#cache.limits.answer_max_bytes && this.#cache.reserve(bytes);
    if (isHeld) this.#heldBytes += bytes;
    return isHeld;
  }

  /** It is too large to be kept. */
  #letGo(): void {
    this.#isHeld = false;
    this.#forget();
    this.#release();
  }

  #release(): void {
    this.#cache.release(this.#heldBytes);
    this.#heldBytes = 0;
  }

  /** Lets go of what all have taken, and sees to it that this is not too little. */
  #trim(): void {
    if (this.#isHeld || this.#isOver) return;
    let least = this.#from + this.#pieces.length;
    let isAnyAwake = false;
    for (const seat of this.#seats) {
      least = Math.min(least, seat.next);
      isAnyAwake ||= !seat.isPaused;
    }
    this.#pieces.splice(0, least - this.#from);
    this.#from = least;
    if (!isAnyAwake) {
      this.#isBodyPaused = true;
      this.#head?.relay.body.pause();
      return;
    }
    for (const seat of this.#seats) {
      if (seat.isPaused && this.#bytes - seat.takenBytes > BEHIND_BYTES_MAX) seat.cut(tooSlow());
    }
  }

  /** A seat takes more. */
  onResume(): void {
    if (!this.#isBodyPaused || this.#isOver) return;
    this.#isBodyPaused = false;
    this.#head?.relay.body.resume();
  }

  /** A seat is empty. `reason`: why, where it has not got all. */
  leave(seat: Seat, reason: unknown): void {
    const wasPayer = this.#payer === seat;
    if (!this.#seats.delete(seat) || this.#isOver) return;
    const payer = this.#payer;
    if (payer === undefined) return this.#giveUp(reason);
    if (wasPayer) {
      seat.note.isFree = true;
      payer.note.isFree = false;
      if (this.#head !== undefined) this.#flight.tellWay(payer.call);
    }
    this.#trim();
  }

  /** Nobody is there any more. */
  #giveUp(reason: unknown = clientLeft()): void {
    this.#close();
    this.#flight.abort(reason);
    this.#head?.relay.body.cancel();
    this.#flight.call.upstream?.end(reason);
  }

  /** Nobody else may take part, and nothing more comes. `isReleased`: nothing more is done for it. */
  #close(isReleased = true): void {
    this.#isOver = true;
    this.#forget();
    this.#release();
    if (isReleased) this.#flight.release();
  }

  /** Whoever asks the same asks anew. */
  #forget(): void {
    const { flights } = this.#rules;
    if (flights.get(this.#key.digest) === this) flights.delete(this.#key.digest);
  }
}

/** What a cache has no part in. */
export const BYPASS: CacheNote = { result: "bypass", ageS: -1, isFree: false, idName: "" };

/** Who has a seat. */
interface Sitter {
  readonly fields: Fields;
  readonly call: Call;
  readonly identity: string;
  readonly isAgain: boolean;
  readonly isFirst: boolean;
}

/** One of those who ask: as a body, it gives what has come so far, and the rest as it comes. */
class Seat implements RelayBody, AbortListener {
  readonly fields: Fields;
  readonly call: Call;
  readonly identity: string;
  readonly isAgain: boolean;
  /** True: it is the one that the question was asked for. */
  readonly isFirst: boolean;
  readonly note: CacheNote;
  readonly #flight: Flight;
  readonly #resolve: (outcome: Outcome) => void;
  readonly #reject: (error: unknown) => void;
  /** True until it is settled what comes of it. */
  isWaiting = true;
  #isGone = false;
  #sink: PieceSink | undefined;
  /** The piece that it gets next. */
  next = 0;
  /** Bytes that it has got. */
  takenBytes = 0;
  isPaused = false;

  constructor(
    flight: Flight,
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
    this.#leave(error);
    sink?.onEnd("fin", error);
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

  /** Gives what has come. `isLast`: the body's end follows the last piece at once. */
  tell(isLast = false): void {
    for (;;) {
      const sink = this.#sink;
      if (sink === undefined || this.isPaused) return;
      const piece = this.#flight.piece(this.next);
      if (piece === undefined) break;
      this.next++;
      this.takenBytes += piece.bytes.length;
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

function tooSlow(): AppError {
  return new AppError(
    "reader_slow",
    `The client was more than ${BEHIND_BYTES_MAX} bytes behind others that are given the same answer`,
  );
}

/** Nobody wants `answer` any more. */
function forget(answer: Answer): void {
  if (answer.kind === "relay") answer.body.cancel();
  else if (answer.kind === "live") void answer.steps[Symbol.asyncIterator]().return?.();
}
