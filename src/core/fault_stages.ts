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

/** Ends an answer at its place: cut, cut-clean, reset, half-open. */
export class CutStage extends PlacedStage {
  readonly #fault: PlannedFault;

  constructor(world: StageWorld, next: Flow, fault: PlannedFault) {
    super(world, next, fault.place ?? (world.isStream ? USUAL_EVENT : USUAL_SHARE));
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

/** A stage that keeps pieces in a line. */
abstract class LineStage extends PlacedStage {
  readonly #line: Waiting[] = [];
  #heldBytes = 0;

  override get heldBytes(): number {
    return this.#heldBytes;
  }

  protected get isEmpty(): boolean {
    return this.#line.length === 0;
  }

  protected queue(waiting: Waiting): void {
    this.#line.push(waiting);
    if ("bytes" in waiting) this.#heldBytes += waiting.bytes.length;
  }

  /** True: behind all pieces, how it ends is next. */
  protected get isEndNext(): boolean {
    return this.#line.length > 0 && !("bytes" in this.#line[0]!);
  }

  /** Lets the first one go. */
  protected release(): void {
    const waiting = this.#line.shift()!;
    if (!("bytes" in waiting)) return waiting.tell(this.next);
    this.#heldBytes -= waiting.bytes.length;
    this.next.piece(waiting);
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

/** Cuts what comes into small writes with time between them: trickle, split. */
export class PaceStage extends LineStage {
  readonly #name: FaultName;
  readonly #everyMs: number;
  readonly #cut: (piece: Piece) => readonly Buffer[];
  readonly #onTime: Later;
  #wroteMs = -Infinity;

  constructor(world: StageWorld, next: Flow, fault: PlannedFault) {
    super(world, next, fault.place ?? AT_ONCE);
    this.#name = fault.name;
    this.#everyMs = numberOf(fault, "ms");
    const size = fault.name === "trickle" ? numberOf(fault, "bytes") : 0;
    this.#cut = size > 0 ? ({ bytes }) => evenParts(bytes, size) : splitParts;
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
    const parts = this.#cut(piece);
    if (parts.length > 1) this.world.met(this.#name);
    for (const [i, bytes] of parts.entries()) {
      const events = i === parts.length - 1 ? piece.events : 0;
      this.queue({ bytes, events, isAlone: true });
    }
    this.#pump();
  }

  override stop(): void {
    super.stop();
    this.world.wheel.cancel(this.#onTime);
  }

  #pump(): void {
    const { wheel } = this.world;
    while (!this.isEmpty) {
      const dueMs = this.#wroteMs + this.#everyMs;
      if (dueMs > wheel.nowMs) return wheel.set(this.#onTime, dueMs);
      this.#wroteMs = wheel.nowMs;
      this.release();
      this.#tellEnd();
    }
  }

  /** How it ends needs no time of its own. */
  #tellEnd(): void {
    while (this.isEndNext) this.release();
  }
}

/** Gathers events into one write. */
export class GlueStage extends Stage {
  readonly #eventsMax: number;
  #pieces: Piece[] = [];
  #events = 0;

  constructor(world: StageWorld, next: Flow, fault: PlannedFault) {
    super(world, next);
    this.#eventsMax = numberOf(fault, "events");
  }

  override piece(piece: Piece): void {
    this.#pieces.push(piece);
    this.#events += piece.events;
    if (this.#events >= this.#eventsMax) this.#release();
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
    this.#events = 0;
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

function evenParts(bytes: Buffer, size: number): readonly Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) parts.push(bytes.subarray(at, at + size));
  return parts;
}

const CR = 0x0d;
const LF = 0x0a;
const DATA = Buffer.from("data:");

/**
 * The parts of a piece between borders where readers go wrong: behind the first byte of a character
 * of several, inside `data:`, and between the two bytes of a line end or of an empty line. A piece of
 * an answer that has none of these is cut in the middle.
 */
function splitParts({ bytes, events }: Piece): readonly Buffer[] {
  const borders: number[] = [];
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    const before = at === 0 ? LF : bytes[at - 1]!;
    const isLineStart = before === LF || before === CR;
    if (byte >= 0xc0) borders.push(at + 1);
    else if (byte === LF && at > 0 && isLineStart) borders.push(at);
    else if (isLineStart && DATA.equals(bytes.subarray(at, at + DATA.length))) borders.push(at + 2);
  }
  if (borders.length === 0 && events === 0 && bytes.length > 1) borders.push(bytes.length >> 1);
  const parts: Buffer[] = [];
  let start = 0;
  for (const border of borders) {
    if (border <= start || border >= bytes.length) continue;
    parts.push(bytes.subarray(start, border));
    start = border;
  }
  parts.push(bytes.subarray(start));
  return parts;
}
