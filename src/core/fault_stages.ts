/**
 * Faults as stages that an answer's bytes run through, one behind the other: each passes pieces on,
 * changes them, holds them back or ends them. Time comes from the wheel.
 *
 * @module
 */

import { SseCutter } from "../lib/sse_cutter.ts";
import { Ticket, type Wheel } from "../lib/wheel.ts";
import {
  type EventEdit,
  type FaultName,
  type FaultPlace,
  numberOf,
  type PlannedFault,
} from "./fault_plan.ts";

/** Some bytes of an answer on their way. */
export interface Piece {
  readonly bytes: Buffer;
  /** Events that end in it: 0 for comments, for the beginning of an event, and where there are none. */
  readonly events: number;
  /** True: it leaves in a write of its own. */
  readonly isAlone?: true;
}

/** How an answer ends early. */
export type Break = "fin" | "reset";

/** Where pieces go. */
export interface Flow {
  /** True: what comes now would only wait. Whoever can wait itself sends nothing more. */
  isFull(): boolean;
  piece(piece: Piece): void;
  /** The body is whole. */
  end(): void;
  /** The connection ends in the middle. */
  break(ending: Break): void;
  /** Nothing is written or read any more, for so many milliseconds. */
  freeze(ms: number): void;
}

/** What a stage knows of its answer. */
export interface StageWorld {
  readonly wheel: Wheel;
  /** When the request came, on the wheel's clock. */
  readonly startMs: number;
  /** False: an answer in one piece, which has no events. */
  readonly isStream: boolean;
  /** Bytes of the body; -1 = they are not known beforehand. */
  readonly totalBytes: number;
  /** The fault has happened: only its first call counts. */
  readonly met: (name: FaultName) => void;
  /** Writes what has come through, after a stage has moved by itself. */
  readonly flush: () => void;
}

/** One fault of one answer. */
export abstract class Stage implements Flow {
  protected readonly world: StageWorld;
  protected readonly next: Flow;

  constructor(world: StageWorld, next: Flow) {
    this.world = world;
    this.next = next;
  }

  /** Bytes that it holds back. */
  get heldBytes(): number {
    return 0;
  }

  isFull(): boolean {
    return this.next.isFull();
  }

  /** What comes behind it may take more again. */
  resume(): void {}

  /** The answer begins; called before the first piece. */
  start(): void {}

  /** Nobody wants the rest: its tickets leave the wheel. */
  stop(): void {}

  piece(piece: Piece): void {
    this.next.piece(piece);
  }

  end(): void {
    this.next.end();
  }

  break(ending: Break): void {
    this.next.break(ending);
  }

  freeze(ms: number): void {
    this.next.freeze(ms);
  }
}

/** Something that a stage does later. */
class Later extends Ticket {
  readonly #act: () => void;

  constructor(act: () => void) {
    super();
    this.#act = act;
  }

  override run(): void {
    this.#act();
  }
}

/** The usual place in a stream, and in an answer in one piece. */
const USUAL_EVENT: FaultPlace = { unit: "event", at: 2 };
const USUAL_SHARE: FaultPlace = { unit: "share", at: 0.5 };
/** The place of what begins with the first byte. */
const AT_ONCE: FaultPlace = { unit: "byte", at: 0 };

/** A place as numbers to compare with. */
class Mark {
  readonly event: number;
  readonly byte: number;
  /** On the wheel's clock. */
  readonly dueMs: number;

  constructor({ unit, at }: FaultPlace, { startMs, totalBytes }: StageWorld) {
    this.event = unit === "event" ? at : Infinity;
    this.byte = unit === "byte" ? at : unit === "share" ? Math.round(at * totalBytes) : Infinity;
    this.dueMs = unit === "ms" ? startMs + at : Infinity;
  }
}

/** A stage that passes everything on up to a place, and then does something else. */
abstract class PlacedStage extends Stage {
  readonly #mark: Mark;
  readonly #onTime: Later;
  #events = 0;
  #bytes = 0;
  #isBehind = false;

  constructor(world: StageWorld, next: Flow, place: FaultPlace) {
    super(world, next);
    this.#mark = new Mark(place, world);
    this.#onTime = new Later(() => {
      this.#reach();
      this.world.flush();
    });
  }

  /** True from its place on. */
  protected get isBehind(): boolean {
    return this.#isBehind;
  }

  /** The place is reached. */
  protected abstract here(): void;
  /** A piece behind the place. */
  protected abstract behind(piece: Piece): void;

  override start(): void {
    const { event, byte, dueMs } = this.#mark;
    if (event <= 0 || byte <= 0) this.#reach();
    else if (dueMs <= this.world.wheel.nowMs) this.#reach();
    else if (dueMs < Infinity) this.world.wheel.set(this.#onTime, dueMs);
  }

  override stop(): void {
    this.world.wheel.cancel(this.#onTime);
  }

  override piece(piece: Piece): void {
    if (this.#isBehind) return this.behind(piece);
    const { bytes, events } = piece;
    const { event, byte, dueMs } = this.#mark;
    if (dueMs <= this.world.wheel.nowMs) {
      this.#reach();
      return this.behind(piece);
    }
    const room = byte - this.#bytes;
    if (bytes.length > room) {
      this.#bytes = byte;
      this.next.piece({ bytes: bytes.subarray(0, room), events: 0 });
      this.#reach();
      return this.behind({ ...piece, bytes: bytes.subarray(room) });
    }
    this.#bytes += bytes.length;
    this.#events += events;
    this.next.piece(piece);
    if (this.#events >= event || this.#bytes >= byte) this.#reach();
  }

  #reach(): void {
    if (this.#isBehind) return;
    this.#isBehind = true;
    this.world.wheel.cancel(this.#onTime);
    this.here();
  }
}

/** Where `fault` ends an answer. One in one piece whose last byte leaves is whole, and not cut. */
function placeOf(world: StageWorld, { name, place }: PlannedFault): FaultPlace {
  if (world.isStream) return place ?? USUAL_EVENT;
  const told = place ?? USUAL_SHARE;
  const isCut = name === "cut" || name === "cut-clean";
  const { totalBytes } = world;
  const isBehindAll = totalBytes >= 0 && told.unit !== "ms" &&
    new Mark(told, world).byte >= totalBytes;
  return isCut && isBehindAll ? { unit: "byte", at: Infinity } : told;
}

/** Ends an answer at its place: cut, cut-clean, reset, half-open. */
export class CutStage extends PlacedStage {
  readonly #fault: PlannedFault;

  constructor(world: StageWorld, next: Flow, fault: PlannedFault) {
    super(world, next, placeOf(world, fault));
    this.#fault = fault;
  }

  protected override here(): void {
    const { name } = this.#fault;
    this.world.met(name);
    if (name === "half-open") this.next.freeze(numberOf(this.#fault, "ms"));
    else if (name === "cut-clean") this.next.end();
    else this.next.break(name === "reset" ? "reset" : "fin");
  }

  protected override behind(): void {}

  override end(): void {
    if (!this.isBehind) this.next.end();
  }

  override break(ending: Break): void {
    if (!this.isBehind) this.next.break(ending);
  }

  override freeze(ms: number): void {
    if (!this.isBehind) this.next.freeze(ms);
  }
}

/** What waits in a stage: pieces, and how it all ends. */
type Waiting = Piece | { readonly tell: (next: Flow) => void };

/** While stages hold back more than this, whoever feeds them waits. */
export const HELD_BYTES_MAX = 65_536;
/** So many pieces, however small: each takes memory of its own. */
const HELD_PIECES_MAX = 1024;

/** A stage that keeps pieces in a line. */
abstract class LineStage extends PlacedStage {
  #line: Waiting[] = [];
  /** Where in it the first one stands: to move all others up each time takes the square of their number. */
  #first = 0;
  #heldBytes = 0;

  override get heldBytes(): number {
    return this.#heldBytes;
  }

  override isFull(): boolean {
    return this.#heldBytes > HELD_BYTES_MAX ||
      this.#line.length - this.#first > HELD_PIECES_MAX || super.isFull();
  }

  protected get isEmpty(): boolean {
    return this.#first === this.#line.length;
  }

  protected queue(waiting: Waiting): void {
    this.#line.push(waiting);
    if ("bytes" in waiting) this.#heldBytes += waiting.bytes.length;
  }

  /** True: behind all pieces, how it ends is next. */
  protected get isEndNext(): boolean {
    return !this.isEmpty && !("bytes" in this.#line[this.#first]!);
  }

  /**
   * Lets the first one go; of a piece the part that `cut` gives, which is the beginning of it or all.
   */
  protected release(cut?: (piece: Piece) => Piece): void {
    const waiting = this.#line[this.#first]!;
    if (!("bytes" in waiting)) {
      this.#drop();
      return waiting.tell(this.next);
    }
    const part = cut?.(waiting) ?? waiting;
    this.#heldBytes -= part.bytes.length;
    if (part.bytes.length === waiting.bytes.length) this.#drop();
    else this.#line[this.#first] = { ...waiting, bytes: waiting.bytes.subarray(part.bytes.length) };
    this.next.piece(part);
  }

  /** The first one has gone. */
  #drop(): void {
    this.#first++;
    if (this.isEmpty) {
      this.#line = [];
      this.#first = 0;
    }
  }

  /** True while what comes has to wait. */
  protected abstract readonly isHolding: boolean;

  override end(): void {
    this.#tell((next) => next.end());
  }

  override break(ending: Break): void {
    this.#tell((next) => next.break(ending));
  }

  override freeze(ms: number): void {
    this.#tell((next) => next.freeze(ms));
  }

  #tell(tell: (next: Flow) => void): void {
    if (this.isHolding) this.queue({ tell });
    else tell(this.next);
  }
}

/** Silence at a place: stall, slow-first, and hang, whose silence has no end. */
export class SilenceStage extends LineStage {
  readonly #fault: PlannedFault;
  readonly #over: Later;
  #isSilent = false;

  constructor(world: StageWorld, next: Flow, fault: PlannedFault) {
    const usual = world.isStream ? USUAL_EVENT : USUAL_SHARE;
    super(world, next, fault.name === "stall" ? fault.place ?? usual : AT_ONCE);
    this.#fault = fault;
    this.#over = new Later(() => this.#end());
  }

  protected override get isHolding(): boolean {
    return this.#isSilent;
  }

  protected override here(): void {
    const { wheel, met } = this.world;
    met(this.#fault.name);
    this.#isSilent = true;
    if (this.#fault.name === "hang") return;
    wheel.set(this.#over, wheel.nowMs + numberOf(this.#fault, "ms"));
  }

  protected override behind(piece: Piece): void {
    if (!this.#isSilent) this.next.piece(piece);
    else if (this.#fault.name !== "hang") this.queue(piece);
  }

  override stop(): void {
    super.stop();
    this.world.wheel.cancel(this.#over);
  }

  #end(): void {
    this.#isSilent = false;
    while (!this.isEmpty) this.release();
    this.world.flush();
  }
}

/** So many small writes in one millisecond, and then others have their turn. */
const WRITES_MAX = 64;

/** Cuts what comes into small writes with time between them: trickle, split. Each is cut when it is due. */
export class PaceStage extends LineStage {
  readonly #name: FaultName;
  readonly #everyMs: number;
  /** Bytes of the first write of a piece that begins behind `before`. */
  readonly #firstBytes: (bytes: Buffer, before: number, isWhole: boolean) => number;
  readonly #cut: (piece: Piece) => Piece;
  readonly #onTime: Later;
  #wroteMs = -Infinity;
  /** Writes in the millisecond of the last one. */
  #writes = 0;
  /** The byte that was written last, where a part of its piece is still to come; else the end of a line. */
  #before = LF;
  #isPumping = false;

  constructor(world: StageWorld, next: Flow, fault: PlannedFault) {
    super(world, next, fault.place ?? AT_ONCE);
    this.#name = fault.name;
    this.#everyMs = numberOf(fault, "ms");
    const size = fault.name === "trickle" ? numberOf(fault, "bytes") : 0;
    this.#firstBytes = size > 0 ? ({ length }) => Math.min(size, length) : splitBytes;
    this.#cut = (piece) => this.#part(piece);
    this.#onTime = new Later(() => {
      this.#pump();
      this.world.flush();
    });
  }

  protected override get isHolding(): boolean {
    return !this.isEmpty;
  }

  protected override here(): void {}

  protected override behind(piece: Piece): void {
    this.queue(piece);
    this.resume();
  }

  override stop(): void {
    super.stop();
    this.world.wheel.cancel(this.#onTime);
  }

  override resume(): void {
    if (this.#onTime.dueTick < 0) this.#pump();
  }

  #pump(): void {
    if (this.#isPumping) return; // what it lets go may call for more
    this.#isPumping = true;
    const { wheel } = this.world;
    while (!this.isEmpty && !this.next.isFull()) {
      const { nowMs } = wheel;
      if (Math.floor(nowMs) > Math.floor(this.#wroteMs)) this.#writes = 0;
      const dueMs = this.#wroteMs + this.#everyMs;
      if (dueMs > nowMs || this.#writes === WRITES_MAX) {
        wheel.set(this.#onTime, Math.max(dueMs, Math.floor(nowMs) + 1));
        break;
      }
      this.#wroteMs = nowMs;
      this.#writes++;
      this.release(this.#cut);
      // How it ends needs no time of its own.
      while (this.isEndNext) this.release();
    }
    this.#isPumping = false;
  }

  /** The beginning of `piece` that is written at once. */
  #part({ bytes, events }: Piece): Piece {
    const size = this.#firstBytes(bytes, this.#before, events === 0 && !this.#isInside);
    this.#isInside = size < bytes.length;
    if (this.#isInside) this.world.met(this.#name);
    this.#before = this.#isInside ? bytes[size - 1]! : LF;
    return { bytes: bytes.subarray(0, size), events: this.#isInside ? 0 : events, isAlone: true };
  }

  /** True: the beginning of the first piece has gone. */
  #isInside = false;
}

/** More than this is not gathered. */
const GLUED_BYTES_MAX = 1_048_576;

/** Gathers events into one write, of so many bytes or an event more. */
export class GlueStage extends Stage {
  readonly #eventsMax: number;
  #pieces: Piece[] = [];
  #events = 0;
  #bytes = 0;

  constructor(world: StageWorld, next: Flow, fault: PlannedFault) {
    super(world, next);
    this.#eventsMax = numberOf(fault, "events");
  }

  override piece(piece: Piece): void {
    this.#pieces.push(piece);
    this.#events += piece.events;
    this.#bytes += piece.bytes.length;
    if (this.#events >= this.#eventsMax || this.#bytes >= GLUED_BYTES_MAX) this.#release();
  }

  override end(): void {
    this.#release();
    this.next.end();
  }

  override break(ending: Break): void {
    this.#release();
    this.next.break(ending);
  }

  override freeze(ms: number): void {
    this.#release();
    this.next.freeze(ms);
  }

  #release(): void {
    if (this.#pieces.length === 0) return;
    if (this.#events > 1) this.world.met("glue");
    const bytes = Buffer.concat(this.#pieces.map((piece) => piece.bytes));
    this.next.piece({ bytes, events: this.#events, isAlone: true });
    this.#pieces = [];
    this.#events = this.#bytes = 0;
  }
}

/** Has a dialect edit the events. */
export class EditStage extends Stage {
  readonly #fault: PlannedFault;
  readonly #edit: EventEdit;
  readonly #mark: Mark | undefined;
  #events = 0;
  #bytes = 0;
  #isBehind = false;

  /** `hasPlace`: it happens at one event. */
  constructor(
    world: StageWorld,
    next: Flow,
    fault: PlannedFault,
    edit: EventEdit,
    hasPlace: boolean,
  ) {
    super(world, next);
    this.#fault = fault;
    this.#edit = edit;
    this.#mark = hasPlace ? new Mark(fault.place ?? USUAL_EVENT, world) : undefined;
  }

  override piece(piece: Piece): void {
    const edit = this.#edit;
    if (edit.isOver) return;
    this.#bytes += piece.bytes.length;
    if (piece.events === 0) return this.next.piece(piece);
    this.#events++;
    const isHere = !this.#isBehind && this.#isReached();
    this.#isBehind ||= isHere;
    const event = piece.bytes.toString();
    const said = edit.event(event, isHere);
    // What is not changed keeps its bytes, UTF-8 or not.
    this.#say(said, said === event ? piece : undefined);
    if (edit.isOver) this.next.end();
  }

  override end(): void {
    const edit = this.#edit;
    if (edit.isOver) return;
    this.#say(edit.end());
    this.next.end();
  }

  override break(ending: Break): void {
    if (!this.#edit.isOver) this.next.break(ending);
  }

  #isReached(): boolean {
    const mark = this.#mark;
    if (mark === undefined) return false;
    const { event, byte, dueMs } = mark;
    return this.#events >= event || this.#bytes >= byte || this.world.wheel.nowMs >= dueMs;
  }

  #say(text: string, asItCame?: Piece): void {
    if (this.#edit.hasHappened) this.world.met(this.#fault.name);
    if (asItCame !== undefined) return this.next.piece(asItCame);
    if (text === "") return;
    for (const piece of piecesOf(Buffer.from(text))) this.next.piece(piece);
  }
}

/** Events as pieces, one each. */
function piecesOf(bytes: Buffer): readonly Piece[] {
  const cutter = new SseCutter();
  const parts = cutter.feed(bytes);
  const rest = cutter.end();
  if (rest !== undefined) parts.push(rest);
  return parts.map((part) => ({ bytes: part.bytes, events: part.isEvent ? 1 : 0 }));
}

const CR = 0x0d;
const LF = 0x0a;
const DATA = Buffer.from("data:");

/**
 * How many bytes there are up to the next border where readers go wrong, or up to the end: behind the
 * first byte of a character of several, inside `data:`, and between the two bytes of a line end or of
 * an empty line. `before`: the byte that stands before `bytes`. `isWhole`: they are all of an answer in one
 * piece; one that has no such border is cut in the middle.
 */
function splitBytes(bytes: Buffer, before: number, isWhole: boolean): number {
  const { length } = bytes;
  for (let at = 0; at < length; at++) {
    const byte = bytes[at]!;
    const isLineStart = before === LF || before === CR;
    const border = byte >= 0xc0
      ? at + 1
      : (byte === LF && isLineStart) || (byte === CR && before === CR)
      ? at
      : isLineStart && isDataAt(bytes, at)
      ? at + 2
      : 0;
    if (border > 0 && border < length) return border;
    before = byte;
  }
  return isWhole && length > 1 ? length >> 1 : length;
}

function isDataAt(bytes: Buffer, at: number): boolean {
  return at + DATA.length <= bytes.length && DATA.every((byte, i) => bytes[at + i] === byte);
}
