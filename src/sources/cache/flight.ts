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

import type {
  Answer,
  Ask,
  Ending,
  PieceSink,
  Relay,
  RelayBody,
  Source,
  Step,
} from "../../core/answer.ts";
import { AppError, asAppError, clientLeft } from "../../core/errors.ts";
import type { CacheNote, Call } from "../../core/exchange.ts";
import { Fields } from "../../lib/http1/fields.ts";
import type { AnswerCache } from "./answer_cache.ts";
import type { CacheKey } from "./cache_key.ts";
import { FlightCall } from "./flight_call.ts";
import type { CachePace } from "./known_steps.ts";
import {
  fitsVarying,
  type IdName,
  idNameOf,
  sharedFields,
  type Varying,
  varyingOf,
} from "./stored_answer.ts";
import { type End, type Outcome, type Piece, Seat, type SeatHost, SeatSteps } from "./seat.ts";
import { isWholeAnswer, mayKeep } from "./whole_answer.ts";

/** What the cache of a route needs to know. */
export interface FlightRules {
  /** Questions under way, by what they ask. */
  readonly flights: Map<string, Flight>;
  readonly isForAll: boolean;
  readonly ttlMs: number;
  readonly pace: CachePace;
}

/** Statuses that another try may not have, and all from 500. */
const FAILURES: ReadonlySet<number> = new Set([408, 409, 425, 429]);

/** So much may wait for one while others take it, where the answer is not kept. */
const BEHIND_BYTES_MAX = 4_194_304;

const AGAIN: Outcome = { kind: "again" };
const ALONE: Outcome = { kind: "alone" };

type Live = Extract<Answer, { kind: "live" }>;

/** The head of the answer, once it is here. */
interface Head {
  readonly answer: Relay | Live;
  readonly status: number;
  /** Of whoever asked first. Good until the answer begins. */
  readonly fields: Fields;
  /** For all others. */
  readonly shared: Fields;
  /** How old it is, by what the upstream says, in seconds. */
  readonly ageS: number;
  readonly idName: IdName;
  readonly varying: Varying;
  /** True: those who ask the same may have it, too. */
  readonly isShared: boolean;
}

/** One such question. */
export class Flight implements PieceSink, SeatHost {
  readonly #cache: AnswerCache;
  readonly #key: CacheKey;
  readonly #rules: FlightRules;
  readonly #flight: FlightCall;
  readonly #request: Fields;
  readonly #beganMs: number;
  /** In the order in which they came: the first of them pays. */
  readonly #seats = new Set<Seat>();
  #head: Head | undefined;
  /** What gives the answer. */
  #upstream: Pick<RelayBody, "pause" | "resume" | "cancel"> | undefined;
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
      if (answer.kind === "script") this.#handOver(answer);
      else this.#take(answer);
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
    this.#upstream?.cancel();
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

  /** What is known beforehand is for whoever asked first. */
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

  #take(answer: Relay | Live): void {
    const fields = answer.fields ?? Fields.NONE;
    const isRelay = answer.kind === "relay";
    const status = isRelay ? answer.status : 200;
    const head: Head = {
      ...{ answer, status, fields },
      shared: sharedFields(fields),
      idName: isRelay ? idNameOf(fields) : "",
      ageS: ageOf(fields),
      varying: varyingOf(fields, this.#request),
      isShared: mayKeep(status, fields, this.#rules.isForAll),
    };
    this.#head = head;
    if (!head.isShared) this.#isHeld = false;
    if (isRelay) this.#flow(answer.body);
    else void this.#listen(answer.steps[Symbol.asyncIterator]());
    const payer = this.#payer;
    for (const seat of [...this.#seats]) this.#give(seat, head, payer);
    this.#trim();
  }

  #flow(body: RelayBody): void {
    this.#upstream = body;
    const whole = body.whole();
    if (whole === undefined) return body.flow(this);
    if (whole.length > 0) this.onPiece(whole, 0);
    this.onEnd("end");
  }

  async #listen(steps: AsyncIterator<readonly Step[]>): Promise<void> {
    let wake = () => {};
    let isAwake: Promise<void> | undefined;
    this.#upstream = {
      pause: () => void (isAwake ??= new Promise((resolve) => wake = resolve)),
      resume() {
        isAwake = undefined;
        wake();
      },
      cancel() {
        wake();
        void steps.return?.();
      },
    };
    const { wheel } = this.#cache;
    try {
      for (;;) {
        const turn = await steps.next();
        if (this.#isOver) return;
        if (turn.done === true) return this.onEnd("end");
        const atUs = (wheel.nowMs - this.#beganMs) * 1000;
        const byteLength = turn.value.reduce((sum, step) => sum + stepBytes(step), 0);
        this.#add({ bytes: NO_BYTES, steps: turn.value, byteLength, atUs });
        if (isAwake !== undefined) await isAwake;
      }
    } catch (error) {
      this.onEnd("fin", asAppError(error));
    }
  }

  /** `seat` gets the answer, where it is for that one. */
  #give(seat: Seat, head: Head, payer = this.#payer): void {
    const outcome = this.#outcomeFor(seat, head, payer);
    if (outcome !== undefined) return seat.settle(outcome);
    this.#flight.tell(seat.call);
    if (seat === payer) this.#flight.tellWay(seat.call);
    if (hasShared(seat, head)) seat.note.idName = head.idName;
    seat.settle({ kind: "answer", answer: answerFor(seat, head) }, true);
  }

  /** Why `seat` does not get the answer; undefined = it does. */
  #outcomeFor(seat: Seat, head: Head, payer: Seat | undefined): Outcome | undefined {
    if (seat.isFirst) return undefined;
    const { status } = head;
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
    const own = Buffer.from(bytes); // the connection reads the next ones into theirs
    this.#add({ bytes: own, steps: NO_STEPS, byteLength: own.length, atUs }, isLast);
  }

  #add(piece: Piece, isLast?: boolean): void {
    this.#bytes += piece.byteLength;
    if (this.#isHeld && !this.#hold(piece.byteLength)) this.#letGo();
    this.#pieces.push(piece);
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
    const { answer, shared } = this.#head!;
    if (answer.kind === "live") {
      return this.#pieces.some(({ steps }) => steps.some(({ kind }) => kind === "end"));
    }
    const isUntilClose = answer.isUntilClose === true;
    return isWholeAnswer(this.#key.dialect, shared, this.bytes(), isUntilClose);
  }

  #keep(): void {
    const { answer, shared, idName, ageS, varying } = this.#head!;
    const pieces = this.#pieces;
    const isLive = answer.kind === "live";
    const bytes = isLive
      ? Buffer.from(JSON.stringify(pieces.map(({ steps }) => steps)))
      : this.bytes();
    const ends = new Uint32Array(pieces.length);
    let end = 0;
    // Steps are in one piece, wherever they were cut.
    for (const [i, piece] of pieces.entries()) ends[i] = end += piece.bytes.length;
    if (isLive) ends.fill(bytes.length);
    this.#cache.put(this.#key.digest, {
      dialect: this.#key.dialect,
      ...(isLive ? { model: answer.model } : {}),
      ...{ fields: shared, idName, varying, bytes, ends },
      atUs: Float64Array.from(pieces, ({ atUs }) => atUs),
      wholeAtMs: this.#cache.nowMs,
      ageS,
      ttlMs: this.#rules.ttlMs,
    }, this.#rules.pace);
  }

  /** All of the body, in one piece. Only while it is held. */
  bytes(): Buffer<ArrayBuffer> {
    return this.#whole ??= this.#pieces.length === 1
      ? this.#pieces[0]!.bytes
      : Buffer.concat(this.#pieces.map(({ bytes }) => bytes));
  }

  /** Of a seat. */
  wholeFor({ next }: Seat): Buffer<ArrayBuffer> | undefined {
    const answer = this.#head?.answer;
    const isWhole = this.#end?.ending === "end" && this.#end.error === undefined &&
      answer?.kind === "relay" && answer.isUntilClose !== true;
    return isWhole && next === 0 && this.#from === 0 ? this.bytes() : undefined;
  }

  /** Of a seat. */
  piece(index: number): Piece | undefined {
    return this.#pieces[index - this.#from];
  }

  /** Of a seat. */
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
      this.#upstream?.pause();
      return;
    }
    for (const seat of this.#seats) {
      if (seat.isPaused && this.#bytes - seat.takenBytes > BEHIND_BYTES_MAX) seat.cut(tooSlow());
    }
  }

  /** Of a seat. */
  onResume(): void {
    if (!this.#isBodyPaused || this.#isOver) return;
    this.#isBodyPaused = false;
    this.#upstream?.resume();
  }

  /** Of a seat. Who pays leaves it to whoever came next. */
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
    this.#upstream?.cancel();
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

/** True when it has only what is true for all of the head. A refusal tells each when to come again. */
function hasShared({ isFirst }: Seat, { status }: Head): boolean {
  return !isFirst && status < 400;
}

/** The answer as `seat` gets it. */
function answerFor(seat: Seat, head: Head): Answer {
  const { answer, status, fields, shared } = head;
  if (answer.kind === "live") {
    return { kind: "live", steps: new SeatSteps(seat), model: answer.model };
  }
  const { isUntilClose = false } = answer;
  return {
    ...{ kind: "relay", status, isUntilClose, body: seat },
    fields: hasShared(seat, head) ? shared : fields,
  };
}

const NO_BYTES: Buffer<ArrayBuffer> = Buffer.alloc(0);
const NO_STEPS: readonly Step[] = [];

/** What `age` says. */
function ageOf(fields: Fields): number {
  const text = fields.get("age") ?? "";
  return /^\d{1,9}$/.test(text) ? Number(text) : 0;
}

/** What a step takes in memory, about. */
function stepBytes(step: Step): number {
  return 64 + ("text" in step ? 2 * step.text.length : JSON.stringify(step).length);
}

function tooSlow(): AppError {
  return new AppError(
    "unread_full",
    `The client was more than ${BEHIND_BYTES_MAX} bytes behind others that are given the same answer`,
  );
}

/** Nobody wants `answer` any more. */
function forget(answer: Answer): void {
  if (answer.kind === "relay") answer.body.cancel();
  else if (answer.kind === "live") void answer.steps[Symbol.asyncIterator]().return?.();
}
