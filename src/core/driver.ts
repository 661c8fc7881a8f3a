/**
 * The driver of every exchange: lets a request in, reads it, asks the source, and has the answer
 * written, whichever of the kinds it is. Leaving and shutdown before the first byte are dealt with
 * here, and after it by the outlet.
 *
 * @module
 */

import { Abort } from "../lib/abort.ts";
import { Fields } from "../lib/http1/fields.ts";
import type { RequestHead } from "../lib/http1/request_head.ts";
import type { Answer, Ask, Relay, Schedule, Script, StepBatches } from "./answer.ts";
import {
  BodyLimits,
  type BodyOptions,
  type BodyReceiver,
  readBody,
  type RequestBody,
  type WholeBody,
} from "./body.ts";
import { type AppError, clientLeft } from "./errors.ts";
import { outcomeOf } from "./events.ts";
import type { Client } from "./facts.ts";
import { type Call, type Engine, Exchange, type OpenStream, type Payer } from "./exchange.ts";
import { FaultyWriter } from "./faulty_writer.ts";
import { type Frames, FramesCache, Labelled, type Layout } from "./frames.ts";
import { type Gathered, Gathering } from "./gathering.ts";
import { Keeping } from "./keeping.ts";
import type { RowOpens } from "./keys.ts";
import { toldFields } from "./route_fields.ts";
import { cutFrames } from "./cut.ts";
import { scheduledFrames, untilKnown } from "./schedule.ts";
import { PacedStream } from "./paced_stream.ts";
import { checkStatus, RelayOutlet, type RelayOwner, relayWhole, wholeOf } from "./relay.ts";
import { HeadersDown } from "./relay_headers.ts";
import { isDueAtOnce, reply } from "./reply.ts";
import type { ClientListener, ResponseWriter } from "./response_writer.ts";
import { LiveTelling, Speech } from "./speak.ts";
import { stampTexts } from "./stamp.ts";
import {
  type Asking,
  type EventsOutput,
  type FramesOutput,
  Inbound,
  type Manner,
  type Output,
  type Passing,
  type StreamManner,
  type Surface,
  type Whole,
} from "./surface.ts";
import { completeTaken, endTaken } from "./taken.ts";
import type { Upload } from "./upload.ts";
import { noteSaid, noteUsage } from "./usage.ts";

/** A request as a server has it. */
export interface Incoming {
  readonly head: RequestHead;
  /** What the path's placeholders stand for, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly body: RequestBody;
  /** Absent: nobody looks clients up. */
  readonly client?: Client | undefined;
  /** Which keys open what is asked; absent = those without limits. */
  readonly opens?: RowOpens | undefined;
}

/**
 * A script of more steps takes milliseconds to be laid and written: such answers begin one per turn of
 * the loop, so that whatever else comes in is answered between two of them.
 */
const LONG_STEPS = 4096;
/** Longer than anybody waits: for what has no time yet. */
const ENDLESS_MS = 2 ** 31;

/**
 * Has faults on purpose happen to a request that no source is asked about. undefined = its answer comes as
 * it would; a relay comes in place of it.
 *
 * @throws {AppError} an error in its place (also as a rejection).
 */
export type StrikeUnasked = (call: Call) => Relay | undefined | Promise<Relay | undefined>;

/** Drives exchanges: the only maker of them. One for the whole process. */
export class Driver {
  readonly engine: Engine;
  readonly bodyLimits: BodyLimits;
  readonly frames = new FramesCache();
  readonly labelled = new Labelled<Layout>();
  readonly #gathered = new WeakMap<Script, ScriptGathered>();
  /** What begins long answers, in the order that they are asked for. */
  readonly #long: (() => void)[] = [];
  /** How each upstream's headers go down, by its host and what stays behind. */
  readonly #headersDown = new Map<string, HeadersDown>();

  /** Absent: nobody wants faults. */
  readonly strike: StrikeUnasked | undefined;

  constructor(engine: Engine, options: BodyOptions, strike?: StrikeUnasked) {
    this.engine = engine;
    this.strike = strike;
    this.bodyLimits = new BodyLimits(engine.wheel, options);
  }

  /** Answers `incoming` at `surface` through `writer`. Never throws. */
  answer(surface: Surface, incoming: Incoming, writer: ResponseWriter): void {
    const { engine } = this;
    const { head, client, opens } = incoming;
    const exchange = new Exchange(engine, surface.name, {
      method: head.method,
      client,
      opens,
      trace: engine.startTrace?.(head.fields),
    });
    exchange.source = surface.source;
    if (surface.isUnnoted !== true) exchange.note = engine.note?.(exchange, head);
    new Run(this, surface, incoming, exchange, writer).start();
  }

  /** A call for a job that is no request. It gives up as soon as `signal` aborts. */
  call(surface: string, signal: AbortSignal, payer?: Payer): Call {
    const exchange = new Exchange(this.engine, surface, {
      method: "",
      trace: this.engine.startTrace?.(Fields.NONE),
    });
    if (payer !== undefined) {
      exchange.tokenName = payer.tokenName;
      exchange.key = payer.key;
    }
    if (signal.aborted) exchange.abort(signal.reason);
    else signal.addEventListener("abort", () => exchange.abort(signal.reason), { once: true });
    return exchange;
  }

  /** What `script` says in one piece, and how long that takes: gathered once. */
  gathered(script: Script): ScriptGathered {
    const known = this.#gathered.get(script);
    if (known !== undefined) return known;
    const said = new Gathering();
    let totalMs = 0;
    for (const step of script.steps) {
      totalMs += step.afterMs;
      said.add(step);
    }
    const made = { said, totalMs };
    this.#gathered.set(script, made);
    return made;
  }

  /** Calls `begin`, which must not throw, in a turn of the loop that is no other long answer's. */
  beginLong(begin: () => void): void {
    if (this.#long.push(begin) === 1) setImmediate(this.#beginNext);
  }

  readonly #beginNext = (): void => {
    this.#long[0]!();
    this.#long.shift();
    if (this.#long.length > 0) setImmediate(this.#beginNext);
  };

  /** How the headers of an upstream's answers go down, but for those that begin with `except`; "" = all. */
  headersDown(host: string, except: string): HeadersDown {
    const name = `${host} ${except}`;
    let down = this.#headersDown.get(name);
    if (down === undefined) this.#headersDown.set(name, down = new HeadersDown(except));
    return down;
  }
}

/** A script in one piece. */
interface ScriptGathered {
  readonly said: Gathering;
  readonly totalMs: number;
}

/**
 * One request until its answer begins. Among the open streams it stands for one that is waited for.
 */
class Run implements BodyReceiver, ClientListener, OpenStream, RelayOwner {
  readonly #driver: Driver;
  readonly #surface: Surface;
  #incoming: Incoming | undefined;
  readonly #exchange: Exchange;
  #writer: ResponseWriter;
  /** The writer, where faults are planned. */
  #faulty: FaultyWriter | undefined = undefined;
  #asking: Asking | Passing | undefined = undefined;
  #keeping: Keeping | undefined = undefined;
  /** The request's body, where it goes up while it comes. */
  #upload: Upload | undefined = undefined;
  #isWaiting = false;
  /** True once the answer has begun, or was refused. */
  #isOver = false;
  /** Frees what is waited for when the answer will not begin. */
  #forgo: (() => void) | undefined = undefined;
  /** True: whatever faults it has are planned. */
  #isStruck = false;
  /** True when the answer is known: what is to be finished of it needs no time. */
  #isKnown = false;

  constructor(
    driver: Driver,
    surface: Surface,
    incoming: Incoming,
    exchange: Exchange,
    writer: ResponseWriter,
  ) {
    this.#driver = driver;
    this.#surface = surface;
    this.#incoming = incoming;
    this.#exchange = exchange;
    this.#writer = writer;
  }

  start(): void {
    try {
      const admitted = this.#surface.admit?.(this.#incoming!.head, this.#exchange);
      if (admitted === undefined) return this.#read();
      admitted.then(() => this.#read(), (error) => this.#refuse(error));
    } catch (error) {
      this.#refuse(error);
    }
  }

  #read(): void {
    const { body } = this.#incoming!;
    if (this.#surface.takes === "nothing") {
      if (body.bodyLengthBytes !== 0) body.dropBody();
      return this.onBody(undefined);
    }
    readBody(body, this.#driver.bodyLimits, this.#surface, this);
  }

  /** Of the body: it is whole. */
  onBody(body: WholeBody | undefined): void {
    const { head, params } = this.#incoming!;
    this.#answer(new Inbound(head, params, body));
  }

  /** Of the body: it is large, and goes up while it comes. */
  onUpload(upload: Upload, here: WholeBody): void {
    const { head, params } = this.#incoming!;
    this.#upload = upload;
    this.#answer(new Inbound(head, params, here, upload));
  }

  #answer(inbound: Inbound): void {
    // A stream must not hold the megabytes of its question.
    this.#incoming = undefined;
    this.#exchange.request = inbound;
    if (this.#exchange.note?.wantsBody === true) this.#exchange.note.body(inbound.text);
    try {
      const output = this.#surface.answer(inbound, this.#exchange);
      if (!(output instanceof Promise)) return this.#put(output);
      this.#wait();
      output.then((settled) => this.#put(settled), (error) => this.#turnDown(error));
    } catch (error) {
      this.#turnDown(error);
    }
  }

  /** Of the body. What goes up of it is called off, even when it is being answered already. */
  onBodyError(error: AppError): void {
    if (this.#isOver) this.#exchange.abort(error);
    else this.fail(error);
  }

  /** Writes what the surface gives. */
  #put(output: Output): void {
    if (this.#isOver) return discard(output);
    try {
      if (output.kind === "ask") return this.#ask(output, output);
      if (output.kind === "pass") return this.#ask(output, passingAsk(output));
      this.#strike(() => this.#give(output), () => discard(output));
    } catch (error) {
      this.#turnDown(error);
    }
  }

  /** Writes what no source has a part in. */
  #give(output: FramesOutput | EventsOutput | Whole): void {
    if (this.#exchange.faults !== undefined) this.#bendOutput(output);
    switch (output.kind) {
      case "whole":
        return this.#whole(output);
      case "frames":
        return this.#frames(output.frames, output.manner);
      case "events":
        return this.#events(output);
    }
  }

  /** Answers with what the surface says is wrong. */
  #turnDown(error: unknown): void {
    if (this.#isOver) return;
    if (this.#isStruck) return this.#refuse(error);
    try {
      this.#strike(() => this.#refuse(error));
    } catch (fault) {
      this.#refuse(fault);
    }
  }

  /**
   * Goes on with `next` where no source is asked, behind the faults of the request that come before its
   * answer. `forgo`: there will be no such answer.
   */
  #strike(next: () => void, forgo?: () => void): void {
    const exchange = this.#exchange;
    const { strike } = this.#driver;
    this.#isStruck = true;
    if (strike === undefined || this.#surface.isSpared === true || exchange.faults !== undefined) {
      return next();
    }
    let given: ReturnType<StrikeUnasked>;
    try {
      given = strike(exchange);
    } catch (error) {
      forgo?.();
      throw error;
    }
    if (given === undefined) return next();
    const put = (relay: Relay | undefined) => {
      if (relay === undefined && !this.#isOver) return next();
      forgo?.();
      if (relay === undefined || this.#isOver) return;
      this.#bend();
      this.#relay(relay, UNTOLD);
    };
    if (!(given instanceof Promise)) return put(given);
    this.#wait();
    given.then(put).catch((error) => {
      forgo?.();
      this.#refuse(error);
    });
  }

  /** Asks the source, and has its answer said. */
  #ask(asking: Asking | Passing, ask: Ask): void {
    const exchange = this.#exchange;
    this.#asking = asking;
    if (asking.kind === "ask" && asking.keeper !== undefined) {
      this.#keeping = new Keeping(asking.keeper, exchange);
    }
    exchange.isDraining = asking.isDraining === true;
    exchange.model ||= ask.model();
    this.#isStruck = true; // by its source
    const answer = asking.source.answer(ask, exchange);
    if (!(answer instanceof Promise)) return this.#take(answer, asking);
    this.#wait();
    answer.then((settled) => {
      if (this.#isOver) forget(settled);
      else this.#take(settled, asking);
    }, (error) => this.#refuse(error));
  }

  #take(answer: Answer, asking: Asking | Passing): void {
    this.#exchange.request = undefined;
    if (this.#exchange.faults !== undefined) this.#bend();
    if (answer.kind !== "script" || answer.script.steps.length <= LONG_STEPS) {
      return this.#sayOrFree(answer, asking);
    }
    this.#wait();
    this.#driver.beginLong(() => {
      if (!this.#isOver) this.#sayOrFree(answer, asking);
    });
  }

  #bendOutput(output: FramesOutput | EventsOutput | Whole): void {
    const isStream = output.kind !== "whole";
    const { faultEdits } = output.kind === "events"
      ? output
      : output.kind === "frames"
      ? output.manner
      : UNTOLD;
    this.#bend(faultEdits);
    if (output.kind === "whole" && output.status >= 400) return;
    this.#faulty!.expect({ isStream, isLengthKnown: output.kind !== "events" });
    if (output.kind === "frames") this.#faulty!.know(output.frames.ends.at(-1)!);
  }

  /** Whatever is written from now on has its faults. */
  #bend(edits = this.#asking?.manner.faultEdits): void {
    const { faults } = this.#exchange;
    if (faults === undefined || this.#faulty !== undefined) return;
    this.#faulty = new FaultyWriter(this.#writer, this.#exchange, faults, edits);
    this.#writer = this.#faulty;
  }

  /** Has an answer said; one that cannot be said is freed. */
  #sayOrFree(answer: Answer, asking: Asking | Passing): void {
    try {
      this.#say(answer, asking);
    } catch (error) {
      forget(answer);
      this.#refuse(error);
    }
  }

  /** Writes an answer, in the way that its kind and the client want. */
  #say(answer: Answer, asking: Asking | Passing): void {
    if (answer.kind === "relay") {
      this.#keeping?.drop(); // nobody reads its text
      return this.#relay(answer, asking.manner);
    }
    if (answer.kind === "script" && answer.cut?.afterEvents === 0) return this.#hangUp();
    if (asking.kind === "pass") {
      throw new TypeError(`Cannot pass on a ${answer.kind} answer of ${asking.source.name}`);
    }
    const exchange = this.#exchange;
    exchange.isStream = asking.isStream;
    const isKnown = !asking.isStream || answer.kind === "script";
    this.#faulty?.expect({ isStream: asking.isStream, isLengthKnown: isKnown });
    if (!asking.isStream) return void this.#gather(answer, asking);
    if (answer.kind === "live") return this.#live(answer.steps, asking);
    const { script, usage, labels, cut, schedule } = answer;
    if (usage !== undefined) noteUsage(exchange, usage);
    const layout = labels === undefined
      ? asking.layout
      : this.#driver.labelled.of(asking.layout, labels);
    let frames = this.#driver.frames.of(script, layout, usage);
    this.#faulty?.know(frames.ends.at(-1)!);
    if (cut !== undefined) frames = cutFrames(frames, cut);
    if (schedule !== undefined) frames = scheduledFrames(frames, schedule);
    this.#faulty?.know(frames.ends.at(-1)!);
    if (cut === undefined) this.#frames(frames, asking.manner, script, schedule);
    else this.#paced(frames, asking.manner, script, true, schedule);
  }

  /** Ends the connection without an answer, as an answer wants it that breaks off before it begins. */
  #hangUp(): void {
    this.#keeping?.drop();
    this.#begun();
    this.#writer.end("fin");
    this.#exchange.end("completed");
  }

  #frames(frames: Frames, manner: Manner, script?: Script, schedule?: Schedule): void {
    const exchange = this.#exchange;
    const keeping = this.#keeping;
    exchange.isStream = true;
    if (keeping === undefined && isDueAtOnce(frames)) {
      this.#begun();
      return reply(frames, exchange, manner, this.#writer);
    }
    this.#paced(frames, manner, script, false, schedule);
  }

  /** `isCut`: the connection ends where the last frame would leave. */
  #paced(
    frames: Frames,
    manner: Manner,
    script: Script | undefined,
    isCut: boolean,
    schedule: Schedule | undefined,
  ): void {
    const exchange = this.#exchange;
    const keeping = this.#keeping;
    const kept = keeping && script && { keeping, script };
    const options = { kept, isCut, schedule };
    const stream = new PacedStream(frames, exchange, manner, this.#writer, options);
    if (exchange.isMetered) exchange.progress = stream;
    if (stream.firstMs === 0) {
      this.#begun();
      return stream.start();
    }
    this.#isKnown = true;
    this.#wait(() => stream.forgo());
    const begun = stream.isFirstKnown
      ? this.#until(exchange.startMs + stream.firstMs)
      : this.#untilBegun(stream);
    void begun.then((isTime) => {
      if (!isTime) return;
      this.#begun();
      stream.start();
    });
  }

  /** Waits until a response begins whose first frame has no time yet: with that, or with a comment. */
  async #untilBegun(stream: PacedStream): Promise<boolean> {
    const { engine, startMs, signal } = this.#exchange;
    const { firstMs } = stream;
    if (signal.aborted) return this.#until(startMs);
    const isDecided = new Abort();
    stream.onFirstKnown = () => isDecided.abort(undefined);
    signal.addEventListener("abort", { handleEvent: () => isDecided.abort(undefined) });
    await engine.wheel.until(startMs + Math.min(firstMs, ENDLESS_MS), isDecided);
    return this.#until(startMs + Math.min(stream.firstMs, firstMs));
  }

  /** Waits, unless the answer is given up meanwhile: false. */
  async #until(dueMs: number): Promise<boolean> {
    const { engine, signal } = this.#exchange;
    const isTime = await engine.wheel.until(dueMs, signal);
    if (!isTime && !this.#isOver) this.#refuse(signal.reason);
    return isTime && !this.#isOver;
  }

  #live(steps: Extract<Answer, { kind: "live" }>["steps"], asking: Asking): void {
    const exchange = this.#exchange;
    const { manner, layout } = asking;
    const telling = new LiveTelling(
      layout.writer(
        stampTexts(manner.stamps.own(layout.idLengths.length)),
        { usage: asking.foretold?.() },
      ),
      { headers: () => manner.headers(exchange), errorEvent: manner.errorEvent },
      exchange,
      this.#keeping,
    );
    this.#speak(new Speech(steps, telling, exchange, this.#writer));
  }

  #events({ events, headers, errorEvent }: EventsOutput): void {
    this.#exchange.isStream = true;
    const telling = {
      headers: () => headers,
      errorEvent,
      say: (text: string) => text,
      close: () => "",
      cut() {},
    };
    this.#speak(new Speech(events, telling, this.#exchange, this.#writer));
  }

  /** Begins with the first thing that is said: what fails before it is refused and not streamed. */
  #speak<Item>(speech: Speech<Item>): void {
    this.#wait(() => speech.forgo());
    speech.first().then((first) => {
      if (this.#isOver) return speech.forgo();
      this.#begun();
      speech.start(first);
    }, (error) => this.#refuse(error));
  }

  #relay(relay: Relay, manner: StreamManner): void {
    const exchange = this.#exchange;
    checkStatus(relay.status);
    const { keyLimits } = exchange;
    const down = this.#driver.headersDown(exchange.upstream?.host ?? "", keyLimits?.prefix ?? "");
    if (keyLimits !== undefined) this.#writer.tellAlso(keyLimits.fieldsOf(keyLimits.note));
    const head = down.of(relay.fields);
    const bytes = wholeOf(relay);
    if (this.#faulty !== undefined && relay.status < 400) {
      const { isPlainEventStream: isStream } = head;
      const known = bytes?.length ?? lengthOf(relay);
      this.#faulty.expect({ isStream, isLengthKnown: known !== undefined });
      if (known !== undefined) this.#faulty.know(known);
    }
    if (bytes !== undefined) {
      this.#begun();
      return relayWhole(relay, bytes, head, manner, exchange, this.#writer);
    }
    const outlet = new RelayOutlet(relay, down, manner, exchange, this.#writer, this);
    this.#wait(() => outlet.forgo());
    outlet.start();
  }

  /** Of a relay. */
  onBegun(): void {
    this.#begun();
  }

  /** Of a relay. */
  onFailed(error: AppError): void {
    this.#refuse(error);
  }

  /** The answer in one piece, not before its last word would have left. */
  #gather(answer: Exclude<Answer, Relay>, asking: Asking): void {
    if (answer.kind === "live") return void this.#gatherLive(answer.steps, asking);
    const { said, totalMs } = this.#driver.gathered(answer.script);
    const whole: Gathered = {
      choices: said.choices,
      usage: answer.usage,
      labels: answer.labels,
    };
    const { schedule } = answer;
    if (schedule === undefined && totalMs === 0 && this.#keeping === undefined) {
      return this.#tell(whole, asking);
    }
    this.#wait();
    const { startMs } = this.#exchange;
    const due = schedule !== undefined
      ? this.#untilScheduled(schedule)
      : totalMs === 0
      ? Promise.resolve(true)
      : this.#until(startMs + totalMs);
    due.then(async (isTime) => {
      if (!isTime) return;
      await this.#keeping?.whole(said.text);
      if (!this.#isOver) this.#tell(whole, asking);
    }).catch((error) => this.#refuse(error));
  }

  /** Waits for the last step, whose time may not be known yet, unless the answer is given up. */
  async #untilScheduled(schedule: Schedule): Promise<boolean> {
    const { startMs, signal } = this.#exchange;
    const isKnown = await untilKnown(schedule, schedule.dueMs.length, signal);
    return isKnown && this.#until(startMs + schedule.dueMs.at(-1)!);
  }

  async #gatherLive(batches: StepBatches, asking: Asking): Promise<void> {
    const steps = batches[Symbol.asyncIterator]();
    const said = new Gathering();
    this.#wait(() => steps.return?.().catch(() => {})); // it is over, whatever it says to that
    try {
      for (let turn = await steps.next(); !turn.done; turn = await steps.next()) {
        for (const step of turn.value) said.add(step);
      }
      if (this.#isOver) return;
      await this.#keeping?.whole(said.text);
      if (!this.#isOver) this.#tell(said, asking);
    } catch (error) {
      this.#refuse(error);
    }
  }

  #tell(said: Gathered, asking: Asking): void {
    if (said.usage !== undefined) noteSaid(this.#exchange, said.usage);
    this.#whole(asking.whole!(said, this.#exchange));
  }

  #whole({ status, headers, body, failure }: Whole): void {
    if (this.#isOver) return;
    this.#begun();
    const bytes = body === null
      ? 0
      : typeof body === "string"
      ? Buffer.byteLength(body)
      : body.length;
    const exchange = this.#exchange;
    if (failure === undefined) exchange.last(status);
    const untaken = this.#writer.whole(status, headers, body);
    if (failure === undefined) return completeTaken(exchange, status, bytes, untaken);
    exchange.begin(status);
    exchange.bodyBytes = bytes;
    const outcome = exchange.hasLeft ? "client_left" : outcomeOf(failure);
    endTaken(exchange, untaken, outcome, failure);
  }

  /** Answers with an error, unless the answer has begun. */
  #refuse(thrown: unknown): void {
    if (this.#isOver) return;
    const asking = this.#asking;
    if (this.#exchange.faults !== undefined) this.#bend();
    this.#begun();
    // Nothing was sent, so nothing is kept.
    this.#keeping?.drop();
    const exchange = this.#exchange;
    exchange.upstream?.end(thrown);
    const error = exchange.errorOf(thrown);
    let answer: Pick<Whole, "status" | "headers" | "body">;
    try {
      // What is said with a status of success is no failure of whoever was asked: each says it as its own.
      answer = this.#surface.refuse(error, exchange, error.status < 400 ? undefined : asking);
    } catch (bug) {
      // Whatever is wrong with the refusal, nobody waits in vain.
      exchange.engine.watch({ kind: "bug", where: exchange.surface, error: bug });
      answer = { status: 500, headers: {}, body: null };
    }
    exchange.refuse(error, answer.status);
    this.#writer.whole(answer.status, answer.headers, answer.body);
  }

  /** From now on shutdown finds it, and its client's leaving is noticed. */
  #wait(forgo?: () => void): void {
    this.#forgo = forgo;
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#driver.engine.streams.add(this);
    this.#writer.listen(this);
  }

  /** The answer begins, or is refused: whoever writes it notices the rest. */
  #begun(): void {
    this.#isOver = true;
    const told = toldFields(this.#exchange, this.#driver.engine.tellsRoutes === true);
    if (told !== undefined) this.#writer.tellAlso(told);
    this.#exchange.request = undefined;
    this.#forgo = undefined;
    this.#upload?.settle();
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#driver.engine.streams.delete(this);
  }

  /** Of the writer, while nothing is written. */
  onDrain(): void {}

  /** Of the writer: nobody waits for the answer any more. */
  onLeave(): void {
    if (this.#isOver) return;
    this.#exchange.leave();
    // What is to be finished goes on, to nobody.
    if (!this.#exchange.isDraining || this.#isKnown) this.fail(clientLeft());
  }

  /** Ends the wait: the client has left, or weir ends. */
  fail(error: AppError): void {
    if (this.#isOver) return;
    const forgo = this.#forgo;
    this.#exchange.abort(error);
    forgo?.();
    this.#refuse(error);
  }
}

/** Bytes of the body of `relay` as its head tells; undefined = it does not. */
function lengthOf({ fields }: Relay): number | undefined {
  const text = fields.get("content-length");
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** How what has no words of a dialect breaks off. */
const UNTOLD: StreamManner = { errorEvent: () => null };

/** A request that nobody reads. */
function passingAsk({ wire, model }: Passing): Ask {
  return {
    wire,
    model: () => model,
    turn() {
      throw new TypeError(`Cannot read a turn out of ${wire.method} ${wire.path}`);
    },
  };
}

/** Nobody wants `output` any more. */
function discard(output: Output): void {
  if (output.kind === "ask") output.keeper?.finish();
  else if (output.kind === "events") {
    output.events[Symbol.asyncIterator]().return?.().catch(() => {});
  }
}

/** Nobody wants `answer` any more. */
function forget(answer: Answer): void {
  if (answer.kind === "relay") answer.body.cancel();
  else if (answer.kind === "live") {
    answer.steps[Symbol.asyncIterator]().return?.().catch(() => {});
  }
}
