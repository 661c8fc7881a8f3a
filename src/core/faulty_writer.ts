/**
 * Carries out what is planned to go wrong with one answer: stands around the real writer, sees head,
 * bytes and ending of all kinds of answers, and sends them through the stages of the plan:
 *
 *   edits of events ──▶ cuts and silences ──▶ events glued ──▶ small writes ──▶ the real writer
 *
 * Only where there is a plan: no other answer knows of it.
 *
 * @module
 */

import { HeaderBlock } from "../lib/http1/header_block.ts";
import { SseCutter } from "../lib/sse_cutter.ts";
import { Ticket } from "../lib/wheel.ts";
import type { Exchange } from "./exchange.ts";
import {
  type FaultEdits,
  type FaultName,
  type FaultPlan,
  numberOf,
  type PlannedFault,
  wordOf,
} from "./fault_plan.ts";
import { type AnswerShape, editOf, impossible, whyNot } from "./fault_shape.ts";
import {
  CutStage,
  EditStage,
  type Flow,
  GlueStage,
  HELD_BYTES_MAX,
  PaceStage,
  type Piece,
  SilenceStage,
  type Stage,
  type StageWorld,
} from "./fault_stages.ts";
import { FAULT_TRAITS, STAGE_ORDER } from "./fault_traits.ts";
import type {
  ClientListener,
  CutReason,
  HeaderFields,
  ResponseEnding,
  ResponseWriter,
  Untaken,
} from "./response_writer.ts";

interface Head {
  readonly status: number;
  readonly headers: HeaderFields;
}

/** A reset overtakes what its client has not read yet. */
const RESET_MS = 10;
const NO_BYTES = Buffer.alloc(0);

/** One answer with faults. */
export class FaultyWriter extends Ticket implements ResponseWriter, ClientListener, Untaken {
  readonly #inner: ResponseWriter;
  readonly #exchange: Exchange;
  #plan: FaultPlan;
  readonly #edits: FaultEdits | undefined;
  /** Bytes of a stream that is known beforehand. */
  #totalBytes = -1;
  readonly #stages: Stage[] = [];
  /** Behind the last stage. */
  readonly #sink: Flow = {
    isFull: () => this.#isSlow,
    piece: (piece) => this.#take(piece),
    end: () => void (this.#ending ??= "end"),
    break: (ending) => void (this.#ending ??= ending),
    freeze: (ms) => {
      if (this.#ending === undefined) this.#frozenMs = ms;
    },
  };
  /** Before the first stage. */
  #first = this.#sink;
  #cutter: SseCutter | undefined = undefined;
  /** The head, until it leaves. */
  #head: Head | undefined = undefined;
  #hasBegun = false;
  /** What has come through, until it is written. */
  #out: Buffer[] = [];
  #ending: ResponseEnding | undefined = undefined;
  #frozenMs = -1;
  /** Nothing is taken any more. */
  #isOver = false;
  /** True: there is no answer, and so no status. */
  #isRefused = false;
  /** The client has all that it will get. */
  #isDone = false;
  #hasSourceEnded = false;
  /** True: all is written, and the client may not have taken it. */
  #isEnded = false;
  #isSlow = false;
  #hasToldSlow = false;
  #writtenBytes = 0;
  /** What is said when the wheel calls. */
  #later: (() => void) | undefined = undefined;
  #listener: ClientListener | undefined = undefined;
  #taker: ClientListener | undefined = undefined;
  room: Uint8Array = NO_BYTES;

  /** `edits`: how the answer's dialect has faults; undefined = it has no words for any. */
  constructor(
    inner: ResponseWriter,
    exchange: Exchange,
    plan: FaultPlan,
    edits: FaultEdits | undefined,
  ) {
    super();
    this.#inner = inner;
    this.#exchange = exchange;
    this.#plan = plan;
    this.#edits = edits;
    exchange.faultsMet ??= []; // now, so that who notes the end of the exchange has the list
  }

  /**
   * The answer will be of `shape`.
   *
   * @throws {AppError} `fault_impossible` when such an answer cannot have one of the faults.
   */
  expect(shape: AnswerShape): void {
    const { faults } = this.#plan;
    const possible = faults.filter((fault) => {
      const why = this.#whyNot(fault, shape);
      if (why === undefined) return true;
      if (fault.mayMiss || this.#isInPlace) return false;
      this.#plan = { ...this.#plan, faults: [] }; // the error that says so has none
      throw impossible(fault, why);
    });
    if (possible.length < faults.length) this.#plan = { ...this.#plan, faults: possible };
  }

  /** True: what comes is no answer, but a fault in its place, which may not have what an answer has. */
  get #isInPlace(): boolean {
    return this.#exchange.faultsMet?.includes("html-200") === true ||
      this.#plan.faults.some(({ name }) => name === "refuse");
  }

  /** Its body has so many bytes. */
  know(totalBytes: number): void {
    this.#totalBytes = totalBytes;
  }

  listen(listener: ClientListener): void {
    this.#inner.listen(listener);
  }

  whole(status: number, headers: HeaderFields, body: Uint8Array | string | null): Untaken | null {
    if (this.#hasBegun || this.#isOver) return null;
    if (this.#refuses()) return this;
    if (body === null || body.length === 0) return this.#inner.whole(status, headers, body);
    let bytes: Buffer = Buffer.from(body as string);
    const isStream = isEventStream(headers) && status < 400;
    if (!isStream && status < 400) bytes = this.#editedWhole(bytes);
    this.#totalBytes = bytes.length;
    this.#open(status, headers, isStream);
    this.#hasSourceEnded = true;
    this.#push(bytes);
    this.#close();
    this.#flush();
    return this;
  }

  begin(
    status: number,
    headers: HeaderFields,
    first: Uint8Array | string,
    listener: ClientListener,
  ): boolean {
    this.#listener = listener;
    if (this.#refuses()) return true;
    this.#open(status, headers, isEventStream(headers) && status < 400);
    return this.write(first);
  }

  write(bytes: Uint8Array | string): boolean {
    if (this.#isOver) return true;
    // A copy: whoever writes uses the bytes again.
    this.#push(typeof bytes === "string" ? Buffer.from(bytes) : Buffer.from(bytes));
    this.#flush();
    return this.#isTaking();
  }

  reserve(byteLength: number): number {
    this.room = Buffer.allocUnsafe(byteLength);
    return 0;
  }

  commit(byteLength: number): boolean {
    return this.write(this.room.subarray(0, byteLength));
  }

  nudge(): boolean {
    // A client cannot take what a fault holds back.
    return (!this.#isSlow && this.#heldBytes > 0) || this.#inner.nudge();
  }

  end(ending: ResponseEnding, last?: Uint8Array | string): Untaken | null {
    this.#hasSourceEnded = true;
    this.#listener = undefined;
    if (this.#isOver) return this.#isDone ? null : this;
    if (!this.#hasBegun) {
      if (this.#refuses()) return this.#isDone ? null : this;
      return this.#inner.end(ending, last);
    }
    if (last !== undefined) this.#push(Buffer.from(last as Uint8Array));
    if (ending === "end") this.#close();
    else this.#first.break(ending);
    this.#flush();
    return this.#isDone ? null : this;
  }

  get isKept(): boolean {
    return this.#inner.isKept;
  }

  closeBehind(): void {
    this.#inner.closeBehind();
  }

  tellAlso(fields: Readonly<Record<string, string>>): void {
    this.#inner.tellAlso(fields);
  }

  tellLength(bytes: number): void {
    this.#inner.tellLength(bytes);
  }

  seal(): void {
    this.#inner.seal();
  }

  closeOnReuse(onReused: () => void): void {
    this.#inner.closeOnReuse(onReused);
  }

  /** Of an answer that has ended for whoever made it. */
  listenTaken(listener: ClientListener): void {
    if (this.#isRefused) this.#exchange.status = 0; // whoever answered has noted another one meanwhile
    if (this.#isDone) listener.onDrain();
    else this.#taker = listener;
  }

  /** Of the real writer. */
  onDrain(): void {
    this.#isSlow = false;
    if (this.#isEnded) return this.#done();
    if (!this.#isOver) this.#exchange.engine.wheel.cancel(this);
    this.#flush();
  }

  /** Of the real writer. */
  onLeave(reason?: CutReason | "fault"): void {
    if (this.#isDone) return;
    this.#stop();
    this.#isDone = true;
    this.#exchange.bodyBytes = this.#writtenBytes;
    const heard = this.#taker ?? this.#listener;
    this.#taker = this.#listener = undefined;
    heard?.onLeave(reason);
  }

  freeze(): void {
    this.#inner.freeze();
  }

  override run(): void {
    this.#later?.();
  }

  #take({ bytes, isAlone }: Piece): void {
    if (this.#ending !== undefined || this.#frozenMs >= 0) return;
    if (isAlone) this.#writeOut();
    if (bytes.length > 0) this.#out.push(bytes);
    if (isAlone) this.#writeOut();
  }

  get #heldBytes(): number {
    return this.#stages.reduce((sum, { heldBytes }) => sum + heldBytes, 0);
  }

  #isTaking(): boolean {
    const isTaking = !this.#isSlow && this.#heldBytes <= HELD_BYTES_MAX;
    this.#hasToldSlow ||= !isTaking;
    return isTaking;
  }

  /** Nobody but this knows any more of a client that takes nothing, once the source has said all. */
  #watch(): void {
    if (!this.#isSlow || !this.#hasSourceEnded || this.dueTick >= 0) return;
    this.#wait(this.#exchange.engine.writeTimeoutMs, () => {
      if (this.#inner.nudge()) return this.#watch();
      this.#inner.end("reset");
      this.onLeave("reader_slow");
    });
  }

  /** The source may go on. */
  #tellReady(): void {
    if (!this.#hasToldSlow || this.#isSlow || this.#heldBytes > HELD_BYTES_MAX) return;
    this.#hasToldSlow = false;
    this.#listener?.onDrain();
  }

  /** True: nothing is answered at all. */
  #refuses(): boolean {
    if (!this.#plan.faults.some(({ name }) => name === "refuse")) return false;
    this.#met("refuse");
    this.#isRefused = this.#hasBegun = this.#isOver = true;
    this.#exchange.status = 0;
    this.#inner.end("reset");
    this.#done();
    this.#stopSource();
    return true;
  }

  /** Puts up the stages that an answer can have. */
  #open(status: number, headers: HeaderFields, isStream: boolean): void {
    this.#hasBegun = true;
    this.#head = { status, headers };
    if (isStream) this.#cutter = new SseCutter();
    const { engine: { wheel }, startMs } = this.#exchange;
    const world: StageWorld = {
      wheel,
      startMs,
      isStream,
      totalBytes: this.#totalBytes,
      met: (name) => this.#met(name),
      flush: () => this.#flush(),
    };
    const shape = { isStream, isLengthKnown: this.#totalBytes >= 0 };
    const faults = this.#plan.faults.filter((fault) => this.#whyNot(fault, shape) === undefined);
    const inOrder = STAGE_ORDER.flatMap((kinds) =>
      faults.filter(({ name }) => kinds.some((kind) => kind === FAULT_TRAITS[name].stage))
    );
    // From the last stage to the first: each has the next in hand.
    for (const fault of inOrder.toReversed()) {
      const stage = this.#stageOf(fault, world, this.#first);
      if (stage === undefined) continue;
      this.#stages.unshift(stage);
      this.#first = stage;
    }
    for (const stage of this.#stages) stage.start();
  }

  #stageOf(fault: PlannedFault, world: StageWorld, next: Flow): Stage | undefined {
    switch (FAULT_TRAITS[fault.name].stage) {
      case "edit":
      case "swell": {
        const make = world.isStream ? editOf(fault, this.#edits)?.stream : undefined;
        if (make === undefined) return undefined; // of an answer in one piece, which is edited whole
        const edit = make(fault, this.#drawOf(fault));
        return new EditStage(world, next, fault, edit, FAULT_TRAITS[fault.name].isAtEvent === true);
      }
      case "cut":
        return new CutStage(world, next, fault);
      case "silence":
        return new SilenceStage(world, next, fault);
      case "glue":
        return new GlueStage(world, next, fault);
      case "pace":
        return new PaceStage(world, next, fault);
      case undefined:
        return undefined;
    }
  }

  #drawOf(fault: PlannedFault): (index: number) => number {
    const place = this.#plan.faults.indexOf(fault);
    return (index) => this.#plan.draw(`fault ${place}`, index);
  }

  #editedWhole(bytes: Buffer): Buffer {
    let text: string | undefined;
    for (const fault of this.#plan.faults) {
      const edit = editOf(fault, this.#edits);
      if (edit?.whole === undefined) continue;
      text ??= bytes.toString();
      const edited = edit.whole(text, fault, this.#drawOf(fault));
      if (edited !== text) this.#met(fault.name);
      text = edited;
    }
    return text === undefined ? bytes : Buffer.from(text);
  }

  /** Why an answer of `shape` cannot have `fault`; undefined = it can. */
  #whyNot(fault: PlannedFault, shape: AnswerShape): string | undefined {
    const why = whyNot(fault, shape, this.#edits, this.#exchange.surface);
    if (why !== undefined) return why;
    const isKept = this.#hasBegun || this.#inner.isKept;
    return fault.name === "close-idle" && !isKept ? "its connection is not kept" : undefined;
  }

  #planned(name: FaultName): PlannedFault | undefined {
    return this.#plan.faults.find((fault) => fault.name === name);
  }

  #met(name: FaultName): void {
    this.#exchange.meetFault(name);
  }

  #push(bytes: Buffer): void {
    if (this.#cutter === undefined) return this.#first.piece({ bytes, events: 0 });
    for (const part of this.#cutter.feed(bytes)) {
      this.#first.piece({ bytes: part.bytes, events: part.isEvent ? 1 : 0 });
    }
  }

  /** The source has said all. */
  #close(): void {
    const rest = this.#cutter?.end();
    if (rest !== undefined) this.#first.piece({ bytes: rest.bytes, events: 0 });
    this.#first.end();
  }

  /** Writes what has come through, and how it ends. */
  #flush(): void {
    if (this.#isOver) return;
    // What waits for what stands behind it goes on, where that has room again.
    for (const stage of this.#stages) stage.resume();
    const ending = this.#ending;
    if (this.#frozenMs >= 0) {
      this.#writeOut(true);
      return this.#hold();
    }
    if (ending === undefined) {
      this.#writeOut(true);
      this.#watch();
      return this.#tellReady();
    }
    this.#stop();
    const out = Buffer.concat(this.#out);
    this.#out = [];
    this.#writtenBytes += out.length;
    const late = ending === "end" ? this.#planned("slow-close") : undefined;
    const reused = ending === "end" ? this.#planned("close-idle") : undefined;
    const head = this.#head;
    if (reused !== undefined && this.#inner.isKept) {
      this.#inner.closeOnReuse(() => this.#met("close-idle"));
    }
    if (head !== undefined && ending === "end") this.#totalBytes = out.length;
    if (late !== undefined) return this.#closeLate(late, out);
    if (ending === "reset") return this.#reset(out);
    if (head !== undefined && ending === "end" && this.#planned("length-lie") === undefined) {
      this.#head = undefined;
      this.#settle(this.#inner.whole(head.status, head.headers, out));
    } else {
      if (head !== undefined) this.#sendHead(head, out);
      const last = head === undefined && out.length > 0 ? out : undefined;
      this.#settle(this.#inner.end(ending, last));
    }
    this.#stopSource();
  }

  /** All is written. */
  #settle(untaken: Untaken | null): void {
    this.#isEnded = true;
    if (untaken === null) this.#done();
    else untaken.listenTaken(this);
  }

  /** Resets the connection, once what was sent has had the time to come. */
  #reset(out: Buffer): void {
    const head = this.#head;
    if (head !== undefined) this.#sendHead(head, out);
    else if (out.length > 0) this.#inner.write(out);
    this.#wait(RESET_MS, () => {
      this.#inner.end("reset");
      this.#done();
    });
    this.#stopSource();
  }

  /** Ends the answer, and the connection stays. */
  #closeLate(fault: PlannedFault, out: Buffer): void {
    const head = this.#head;
    if (head !== undefined) this.#sendHead(head, out);
    else if (out.length > 0) this.#inner.write(out);
    if (wordOf(fault, "end") === "sent") this.#inner.seal();
    this.#met("slow-close");
    this.#wait(numberOf(fault, "ms"), () => this.#settle(this.#inner.end("end")));
    this.#stopSource();
  }

  /** Nothing is written or read until the connection is reset. */
  #hold(): void {
    this.#stop();
    this.#inner.freeze();
    this.#wait(this.#frozenMs, () => {
      this.#inner.end("reset");
      this.#done();
      this.#stopSource();
    });
  }

  #wait(ms: number, act: () => void): void {
    const { wheel } = this.#exchange.engine;
    this.#later = act;
    wheel.set(this, wheel.nowMs + ms);
  }

  /** Writes what there is; with `isHeadWanted` the head, even where there is nothing else. */
  #writeOut(isHeadWanted = false): void {
    const head = this.#head;
    if (this.#out.length === 0 && (head === undefined || !isHeadWanted)) return;
    const out = this.#out.length === 1 ? this.#out[0]! : Buffer.concat(this.#out);
    this.#out = [];
    this.#writtenBytes += out.length;
    if (head !== undefined) this.#sendHead(head, out);
    else if (!this.#inner.write(out)) this.#isSlow = true;
  }

  #sendHead({ status, headers }: Head, first: Buffer): void {
    this.#head = undefined;
    const lie = this.#planned("length-lie");
    if (lie !== undefined || this.#planned("slow-close") !== undefined) this.#inner.closeBehind();
    if (lie !== undefined) {
      this.#inner.tellLength(Math.max(0, this.#totalBytes + numberOf(lie, "by")));
      this.#met("length-lie");
    } else if (this.#cutter === undefined && this.#hasSourceEnded) {
      this.#inner.tellLength(this.#cleanBytes());
    }
    if (!this.#inner.begin(status, headers, first, this)) this.#isSlow = true;
  }

  /** Bytes of a body in one piece, as far as it is to come. */
  #cleanBytes(): number {
    const fault = this.#planned("cut-clean");
    const { unit, at } = fault?.place ?? { unit: "share", at: fault === undefined ? 1 : 0.5 };
    return Math.min(this.#totalBytes, unit === "byte" ? at : Math.round(at * this.#totalBytes));
  }

  /** The answer is over for its source, which may not have said all. */
  #stopSource(): void {
    if (this.#hasSourceEnded) return;
    const listener = this.#listener;
    this.#listener = undefined;
    // Whoever writes right now is to find its own state in order.
    queueMicrotask(() => listener?.onLeave("fault"));
  }

  #stop(): void {
    this.#isOver = true;
    this.#exchange.engine.wheel.cancel(this);
    for (const stage of this.#stages) stage.stop();
  }

  #done(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#exchange.bodyBytes = this.#writtenBytes;
    const taker = this.#taker;
    this.#taker = undefined;
    taker?.onDrain();
  }
}

/** True when `headers` tell of events that can be read: not compressed. */
function isEventStream(headers: HeaderFields): boolean {
  const { bytes, length } = headers instanceof HeaderBlock ? headers : HeaderBlock.of(headers);
  const lines = bytes.toString("latin1", 0, length);
  const coding = /^content-encoding:[ \t]*(\S*)/im.exec(lines)?.[1] ?? "identity";
  return /^content-type:[ \t]*text\/event-stream\b/im.test(lines) &&
    coding.toLowerCase() === "identity";
}
