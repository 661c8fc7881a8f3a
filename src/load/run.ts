/**
 * One run of a load: sends requests when they are due, and hands on the record of each.
 *
 *   closed   N slots; each sends its next request when the one before is over
 *   open     a schedule made beforehand; a request is due whether or not others are over
 *
 * A request counts from when it should have been sent. Where it had to wait in the client, for a
 * connection that it is not allowed or for a timer, that is in its times and is told apart.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { EventShapes } from "./event_shapes.ts";
import { Link, type LinkOwner, type LinkRequest, type LinkTarget } from "./link.ts";
import { LoopWatch } from "./loop_watch.ts";
import { known } from "./metrics/values.ts";
import { Recording, type RequestRecord } from "./record.ts";
import { teller } from "./told.ts";
import { type Part, partOf, type Shard, shareOf, timesOf, WHOLE } from "./shape/shards.ts";
import type { Histogram } from "../lib/histogram.ts";

/** A request as its maker gives it. */
export interface PreparedRequest extends LinkRequest {
  /** Which of the run's endpoints; undefined = they take turns. */
  readonly endpoint?: number | undefined;
  readonly session: number;
  readonly turn: number;
  readonly promptTokens: number;
  readonly tokensMax: number;
}

/** Makes requests. */
export interface RequestMaker {
  /**
   * The next request of a slot: of a user in a closed loop, of an arrival in an open one. `number`
   * counts the requests of the whole load, of which this run may be a part.
   */
  next(slot: number, dueMs: number, number: number): PreparedRequest;
  /**
   * A slot's request is over. Gives how many milliseconds later the slot asks again; in an open loop
   * undefined means that it never does.
   */
  over(slot: number, record: RequestRecord): number | undefined;
}

/** When requests are due, of the whole load. */
export type Load =
  | { readonly kind: "closed"; readonly concurrency: number; readonly rampMs: number }
  | {
    readonly kind: "open";
    /** Milliseconds after the start, never falling. */
    readonly times: Iterator<number, unknown, void>;
    /** Requests at once; more wait in the client. */
    readonly concurrencyMax: number;
  };

/** What a run does. */
export interface LoadPlan {
  /** Which part of the load this run has; undefined = all of it. All numbers here are the whole's. */
  readonly shard?: Shard | undefined;
  readonly targets: readonly LinkTarget[];
  readonly maker: RequestMaker;
  readonly load: Load;
  /** From the end of the warm-up: nothing is due later; Infinity = until `requestsMax`. */
  readonly durationMs: number;
  /** Requests besides those that warm up. */
  readonly requestsMax: number;
  /** Requests due up to that warm up, and are no part of figures; 0 = none do. */
  readonly warmupMs: number;
  /**
   * The first requests of the whole load that warm up: of an open loop those arrivals that are due up
   * to `warmupMs`, of a closed one instead of `warmupMs`. There the warm-up ends when the first request
   * behind them is sent.
   */
  readonly warmupRequests: number;
  /** What is not over so long after `durationMs` is `unfinished`, or was never sent. */
  readonly graceMs: number;
  /** A request that is not over so long after it was sent has failed. */
  readonly timeoutMs: number;
  /** One whose connection is not ready so long after it was asked for has failed. */
  readonly connectMs: number;
  /** False: a connection for each request. */
  readonly keepsConnections: boolean;
  /** Tokens of a text, for clients that leave in the middle of an answer. */
  readonly countTokens: (text: string) => number;
  /** Takes secrets out of what servers say; undefined = there are none. */
  readonly clean?: ((text: string) => string) | undefined;
  /** Gets the record of each request when it is over. It may not keep it. */
  readonly observe: (record: RequestRecord) => void;
  readonly signal?: AbortSignal | undefined;
}

/** How far a run is. */
export interface Progress {
  readonly sent: number;
  readonly over: number;
  readonly active: number;
  /** Due, and waiting in the client. */
  readonly waiting: number;
}

/** What a run says of itself, besides its records. */
export interface RunFacts {
  /**
   * From the end of the warm-up to the end of the last request, and no less than `offeredMs`: the first
   * request of a schedule is due after a gap, and that gap is part of it.
   */
  readonly measuredMs: number;
  /** From the end of the warm-up to the moment after which nothing was due. */
  readonly offeredMs: number;
  readonly isInterrupted: boolean;
  readonly connectionsOpened: number;
  readonly requestsOnKept: number;
  readonly activeMax: number;
  readonly waitingMax: number;
  /** How late the client's own event loop was. */
  readonly loopDelayMs: Histogram;
  /** Processor time of the client as a share of one core, what it waited actively left out. */
  readonly cpuShare: number;
  /**
   * Share of the time in which the client wanted to run and another program had the processor; null =
   * the system does not say.
   */
  readonly waitShare: number | null;
}

/** A timer takes no more, and then fires at once: some 24 days. */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** A listener queues 512 connections: no more are opened in one go. */
const BURST_MAX = 256;
/** Deadlines are looked at this often. */
const SWEEP_MS = 50;
/** Idle connections that are older are not used: below the 5 s of Node's servers. */
const IDLE_MS_MAX = 4000;
/** A closed loop whose request failed before its head waits so long before it asks again. */
const FAILED_WAIT_MS = 50;
/**
 * Timers of the event loop are whole milliseconds, cut off, and come some 0.1 ms late. The rest of a
 * wait is spent looking at the clock between reads.
 */
const TIMER_LATE_MS = 0.3;
/** A look takes some 5 µs. What took longer was taken by another process, and is in nobody's time. */
const LOOK_MS_MAX = 0.02;

interface Pause {
  readonly slot: number;
  readonly dueMs: number;
}

interface Waiting extends Pause {
  /** Of an open loop, where that is known when a request is due. */
  readonly isWarmup: boolean;
}

/** One run. Made, measured once, and thrown away. */
export class LoadRun {
  readonly #plan: LoadPlan;
  readonly #clock = () => performance.now() - this.#originMs;
  #originMs = performance.now();
  readonly #watch = new LoopWatch(this.#clock);
  readonly #shard: Shard;
  readonly #part: Part;
  /** Of a closed loop its users, of an open one the most requests at once. */
  readonly #places: number;
  readonly #requestsMax: number;
  readonly #warmupRequests: number;
  readonly #times: Iterator<number, unknown, void>;
  readonly #owners: readonly LinkOwner[];
  readonly #idle: readonly Link[][];
  readonly #active = new Map<Link, number>();
  /** Requests that are due and wait for a place, from `#waitingAt` on. */
  #waiting: Waiting[] = [];
  #waitingAt = 0;
  readonly #pool: Recording[] = [];
  readonly #done = Promise.withResolvers<void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #immediate: ReturnType<typeof setImmediate> | undefined;
  /** Slots that ask again, and when. */
  #pauses = new Map<ReturnType<typeof setTimeout>, Pause>();
  #nextDueMs = Infinity;
  #slots = 0;
  /** Requests that are or were due, those that warm up left out. */
  #planned = 0;
  /** Those that warm up. */
  #warmed = 0;
  #sent = 0;
  #over = 0;
  /** The schedule has come to its end; conversations that began may go on. */
  #isDrained = false;
  #isStopped = false;
  #isInterrupted = false;
  /** When the warm-up was over; NaN = it is not, or of a closed loop without any nothing was sent. */
  #measuredFromMs = NaN;
  /** Nothing is due later. */
  #stopMs = Infinity;
  #lastDueMs = 0;
  /** After that nothing was due; NaN = the last request says when. */
  #untilMs = NaN;
  #lastEndMs = 0;
  #opened = 0;
  #kept = 0;
  #activeMax = 0;
  #waitingMax = 0;
  #activity = 0;
  #spinSeen = -1;
  #spinMs = 0;
  #spunAtMs = 0;

  constructor(plan: LoadPlan) {
    const { shard = WHOLE, load } = plan;
    const isClosed = load.kind === "closed";
    this.#plan = plan;
    this.#shard = shard;
    this.#part = partOf(shard, isClosed ? load.concurrency : shard.count);
    this.#places = shareOf(isClosed ? load.concurrency : load.concurrencyMax, shard);
    const { requestsMax, warmupRequests, warmupMs, durationMs } = plan;
    this.#warmupRequests = this.#part.countOf(warmupRequests);
    this.#requestsMax = this.#part.countOf(requestsMax + warmupRequests) - this.#warmupRequests;
    if (!isClosed || warmupMs > 0) this.#measuredFromMs = warmupMs;
    if (!isClosed || warmupRequests === 0) this.#stopMs = warmupMs + durationMs;
    this.#times = timesOf(isClosed ? [].values() : load.times, shard);
    const tell = teller(plan.clean ?? ((text) => text));
    this.#owners = plan.targets.map((_, endpoint) => ({
      clock: this.#clock,
      shapes: new EventShapes(),
      countTokens: plan.countTokens,
      tell,
      onEnter: (nowMs) => {
        this.#activity++;
        return this.#watch.enter(nowMs);
      },
      onLeave: () => {
        // With very many sockets the loop asks again and again before it looks at its timers.
        const nowMs = this.#watch.leave();
        if (nowMs >= this.#graceEndMs) this.#sweep();
        else if (nowMs >= Math.min(this.#nextDueMs, this.#stopMs) && !this.#isStopped) this.#turn();
      },
      onStale: (link, request, recording) => this.#resend(endpoint, link, request, recording),
      onOver: (link, recording, isFree) => this.#onOver(endpoint, link, recording, isFree),
      onLost: (link) => this.#onLost(endpoint, link),
    }));
    this.#idle = plan.targets.map(() => []);
  }

  /** How far it is. */
  get progress(): Progress {
    const waiting = this.#waiting.length - this.#waitingAt;
    return { sent: this.#sent, over: this.#over, active: this.#active.size, waiting };
  }

  /** Ends it at once: what is under way has failed, for `reason`. */
  fail(reason: string): void {
    this.#breakOff();
    for (const link of [...this.#active.keys()]) link.giveUp(reason);
    this.#settle();
  }

  /** Milliseconds since its start. */
  get nowMs(): number {
    return this.#clock();
  }

  /** Runs to the end. `startMs`: the moment of `performance.now()` that its times count from. */
  async measure(startMs: number = performance.now()): Promise<RunFacts> {
    const { signal, load } = this.#plan;
    this.#originMs = startMs;
    const cpu = process.cpuUsage();
    const waitedMs = processorWaitMs();
    const interrupt = () => this.#interrupt();
    if (signal?.aborted === true) interrupt();
    else signal?.addEventListener("abort", interrupt, { once: true });
    // Others have it all.
    const count = this.#warmupRequests + this.#requestsMax;
    if (count === 0 || this.#places === 0) this.#stop();
    this.#watch.start();
    const sweep = setInterval(() => this.#sweep(), SWEEP_MS);
    if (load.kind === "open") this.#nextDueMs = this.#drawTime();
    this.#turn();
    await this.#done.promise;
    clearInterval(sweep);
    this.#watch.stop();
    signal?.removeEventListener("abort", interrupt);
    for (const links of this.#idle) for (const link of links) link.close();
    const endMs = this.#clock();
    const { user, system } = process.cpuUsage(cpu);
    const waitMs = waitedMs === undefined ? NaN : processorWaitMs()! - waitedMs;
    const fromMs = this.#measuredFromMs;
    const untilMs = known(this.#untilMs) ?? this.#lastDueMs;
    return {
      measuredMs: Math.max(0, Math.max(this.#lastEndMs, untilMs) - fromMs) || 0,
      offeredMs: Math.max(0, untilMs - fromMs) || 0,
      isInterrupted: this.#isInterrupted,
      connectionsOpened: this.#opened,
      requestsOnKept: this.#kept,
      activeMax: this.#activeMax,
      waitingMax: this.#waitingMax,
      loopDelayMs: this.#watch.delayMs,
      cpuShare: Math.max(0, (user + system) / 1000 - this.#spinMs) / endMs,
      waitShare: Number.isNaN(waitMs) ? null : waitMs / endMs,
    };
  }

  /** Sends what is due, and comes back for the next. */
  readonly #turn = (): void => {
    const { load } = this.#plan;
    const nowMs = this.#clock();
    // Between two looks in which nothing was read there was nothing but waiting.
    if (this.#spinSeen === this.#activity) {
      this.#spinMs += Math.min(LOOK_MS_MAX, nowMs - this.#spunAtMs);
      this.#watch.rest();
    }
    this.#watch.begin(nowMs);
    if (load.kind === "open") this.#sendDue(Math.min(nowMs, this.#stopMs));
    if (nowMs >= this.#stopMs) this.#endTime();
    if (nowMs >= this.#graceEndMs) return this.end();
    if (this.#isStopped) return;
    if (load.kind === "closed") this.#openSlots(load.rampMs / load.concurrency, nowMs);
    this.#wake();
    this.#watch.leave();
  };

  /** Starts the slots of a closed loop, spread over its ramp. */
  #openSlots(everyMs: number, nowMs: number): void {
    const { index, count } = this.#shard;
    let burst = 0;
    this.#nextDueMs = Infinity;
    while (this.#slots < this.#places && !this.#isStopped) {
      const dueMs = everyMs * (this.#slots * count + index);
      if (dueMs > nowMs || burst++ === BURST_MAX) {
        this.#nextDueMs = Math.max(dueMs, nowMs);
        return;
      }
      // There is no schedule: a request is due when it can be sent, and timers are late by themselves.
      this.#enqueue({ slot: this.#slots++, dueMs: nowMs, isWarmup: this.#warmsUp(nowMs) });
    }
  }

  /** Sends what an open loop has due up to `untilMs`. */
  #sendDue(untilMs: number): void {
    for (let burst = 0; this.#nextDueMs <= untilMs && burst < BURST_MAX; burst++) {
      if (this.#isStopped || (burst > 0 && this.#clock() >= this.#graceEndMs)) return;
      this.#enqueue(this.#nextArrival());
    }
  }

  #nextArrival(): Waiting {
    const slot = this.#slots++;
    const arrival = { slot, dueMs: this.#nextDueMs, isWarmup: slot < this.#warmupRequests };
    this.#nextDueMs = this.#drawTime();
    return arrival;
  }

  #drawTime(): number {
    const { value, done } = this.#times.next();
    return done === true ? Infinity : value as number;
  }

  /** Comes back when the next one is due: by a timer, and for the last fraction by looking. */
  #wake(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    const nowMs = this.#clock();
    const wakeMs = Math.min(this.#nextDueMs, this.#stopMs);
    if (this.#plan.load.kind === "open" && this.#nextDueMs === Infinity) {
      this.#isDrained = true;
      this.#settle();
    }
    if (wakeMs === Infinity || this.#isStopped) return;
    const waitMs = Math.floor(wakeMs - nowMs - TIMER_LATE_MS);
    // When a closed loop begins is no part of any figure.
    if (waitMs >= 1 || this.#plan.load.kind === "closed") {
      this.#spinSeen = -1;
      this.#timer = setTimeout(this.#turn, Math.min(TIMER_MS_MAX, Math.max(0, waitMs)));
      return;
    }
    this.#spinSeen = this.#activity;
    this.#spunAtMs = nowMs;
    this.#immediate = setImmediate(this.#turn);
  }

  #enqueue(request: Waiting): void {
    const { load } = this.#plan;
    if (this.#isStopped) return;
    this.#count(request);
    if (load.kind === "open" && this.#active.size >= this.#places) {
      this.#waiting.push(request);
      this.#waitingMax = Math.max(this.#waitingMax, this.#waiting.length - this.#waitingAt);
    } else {
      this.#launch(request, false);
    }
    if (this.#planned >= this.#requestsMax && this.#warmed >= this.#warmupRequests) this.#stop();
  }

  #count({ dueMs, isWarmup }: Waiting): void {
    if (isWarmup) this.#warmed++;
    else this.#planned++;
    this.#lastDueMs = Math.max(this.#lastDueMs, dueMs);
  }

  /** True for what is due while it warms up, arrivals apart. */
  #warmsUp(dueMs: number): boolean {
    const { warmupMs, load } = this.#plan;
    return (warmupMs > 0 && dueMs <= warmupMs) ||
      (load.kind === "closed" && this.#warmed < this.#warmupRequests);
  }

  /** The first request that does not warm up is due: from now on the time counts. */
  #beginMeasuring(nowMs: number): void {
    const { warmupRequests, durationMs } = this.#plan;
    this.#measuredFromMs = nowMs;
    if (warmupRequests === 0) return;
    this.#stopMs = nowMs + durationMs;
    this.#wake();
  }

  /** `hasWaited`: for another request, of which there may be only so many. */
  #launch({ slot, dueMs: wantedMs, isWarmup }: Waiting, hasWaited: boolean): void {
    const { maker, targets, keepsConnections, load } = this.#plan;
    const own = this.#sent++;
    const number = this.#part.numberOf(own);
    const request = maker.next(slot, wantedMs, number);
    // Without a schedule, what it takes to make a request is nobody's time.
    const dueMs = load.kind === "closed" ? this.#clock() : wantedMs;
    const endpoint = request.endpoint ?? number % targets.length;
    const recording = this.#pool.pop() ?? new Recording();
    recording.reset();
    recording.number = number;
    recording.endpoint = endpoint;
    recording.session = request.session;
    recording.turn = request.turn;
    recording.dueMs = dueMs;
    recording.promptTokens = request.promptTokens;
    recording.tokensMax = request.tokensMax;
    recording.isWarmup = isWarmup;
    if (!isWarmup && Number.isNaN(this.#measuredFromMs)) this.#beginMeasuring(dueMs);
    const kept = keepsConnections ? this.#takeIdle(endpoint) : undefined;
    const link = kept ?? new Link(targets[endpoint]!, this.#owners[endpoint]!);
    this.#active.set(link, slot);
    this.#activeMax = Math.max(this.#activeMax, this.#active.size);
    link.send(request, recording);
    if (!hasWaited) recording.sendLateMs = recording.sentMs - dueMs;
    link.deadlineMs = recording.sentMs + this.#plan.timeoutMs;
    link.connectDeadlineMs = kept === undefined
      ? recording.sentMs + this.#plan.connectMs
      : Infinity;
  }

  /** Once, on a new connection, within the time that it has. */
  #resend(endpoint: number, stale: Link, request: LinkRequest, recording: Recording): void {
    const slot = this.#active.get(stale)!;
    this.#active.delete(stale);
    const link = new Link(this.#plan.targets[endpoint]!, this.#owners[endpoint]!);
    this.#active.set(link, slot);
    link.deadlineMs = stale.deadlineMs;
    link.connectDeadlineMs = this.#clock() + this.#plan.connectMs;
    link.send(request, recording);
  }

  /** The connection used last is used next, so that the others grow old and go. */
  #takeIdle(endpoint: number): Link | undefined {
    const idle = this.#idle[endpoint]!;
    const oldestMs = this.#clock() - IDLE_MS_MAX;
    for (let link = idle.pop(); link !== undefined; link = idle.pop()) {
      if (link.idleSinceMs >= oldestMs && link.isFree) return link;
      link.close();
    }
    return undefined;
  }

  #onOver(endpoint: number, link: Link, recording: Recording, isFree: boolean): void {
    const { maker, observe, keepsConnections, load } = this.#plan;
    const slot = this.#active.get(link)!;
    this.#active.delete(link);
    this.#over++;
    if (!Number.isNaN(recording.connectedMs)) this.#opened++;
    else if (!Number.isNaN(recording.writtenMs)) this.#kept++;
    this.#lastEndMs = recording.endMs;
    if (isFree && keepsConnections) {
      link.idleSinceMs = recording.endMs;
      this.#idle[endpoint]!.push(link);
    } else if (isFree) {
      link.close();
    }
    observe(recording);
    const thinkMs = maker.over(slot, recording);
    const hasNoHead = recording.outcome === "failed" && Number.isNaN(recording.headMs);
    const { endMs } = recording;
    this.#pool.push(recording);
    if (load.kind === "closed") {
      this.#again(slot, endMs, (thinkMs ?? 0) + (hasNoHead ? FAILED_WAIT_MS : 0));
    } else {
      if (thinkMs !== undefined) this.#again(slot, endMs, thinkMs);
      this.#sendWaiting();
    }
    this.#settle();
  }

  /** The slot asks again, so many milliseconds behind the answer that ended at `endMs`. */
  #again(slot: number, endMs: number, afterMs: number): void {
    if (this.#isStopped) return;
    const next = { slot, dueMs: endMs + afterMs };
    // Whatever comes behind the end is not sent for the timer being late.
    if (this.#plan.load.kind === "closed" && next.dueMs > this.#stopMs) return;
    if (afterMs <= 0) this.#askAgain(next);
    else this.#pause(next);
  }

  /** Timers may come a little before their time: then the rest is waited for. */
  #pause(pause: Pause): void {
    const timer = setTimeout(() => {
      this.#pauses.delete(timer);
      if (this.#clock() < pause.dueMs) return this.#pause(pause);
      this.#askAgain(pause);
      this.#settle();
    }, Math.min(TIMER_MS_MAX, Math.max(0, pause.dueMs - this.#clock())));
    this.#pauses.set(timer, pause);
  }

  /** Without a schedule it is due when it is asked: a warm-up counts by the same moment. */
  #askAgain(pause: Pause): void {
    const dueMs = this.#plan.load.kind === "closed" ? this.#clock() : pause.dueMs;
    this.#enqueue({ slot: pause.slot, dueMs, isWarmup: this.#warmsUp(dueMs) });
  }

  /** Those that waited for a place, in their order. */
  #sendWaiting(): void {
    const { load } = this.#plan;
    if (load.kind === "closed") return;
    while (this.#waitingAt < this.#waiting.length && this.#active.size < this.#places) {
      this.#launch(this.#waiting[this.#waitingAt++]!, true);
    }
    if (this.#waitingAt > 1024 && 2 * this.#waitingAt > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#waitingAt);
      this.#waitingAt = 0;
    }
  }

  #onLost(endpoint: number, link: Link): void {
    const idle = this.#idle[endpoint]!;
    const at = idle.indexOf(link);
    if (at >= 0) idle.splice(at, 1);
  }

  #sweep(): void {
    const nowMs = this.#clock();
    this.#watch.begin(nowMs);
    if (nowMs >= this.#stopMs && !this.#isStopped) this.#turn();
    if (nowMs >= this.#graceEndMs) this.end();
    for (const link of [...this.#active.keys()]) {
      if (nowMs >= link.deadlineMs) link.giveUp("timed out");
      else if (nowMs >= link.connectDeadlineMs && link.isConnecting) {
        link.giveUp(`no connection after ${this.#plan.connectMs / 1000} s (--connect-timeout)`);
      }
    }
    this.#settle();
    this.#watch.leave();
  }

  /** When what is under way, or was due and has not been sent, has had its time. */
  get #graceEndMs(): number {
    return this.#stopMs + this.#plan.graceMs;
  }

  /** The time is over: what is under way has its grace. Where all requests are sent, nobody waits. */
  #endTime(): void {
    // A client that is late at the end has not been asked for less: the rest goes out in the next turns.
    const isLate = this.#plan.load.kind === "open" && this.#nextDueMs <= this.#stopMs;
    if (this.#isStopped || isLate) return;
    for (const [timer, pause] of [...this.#pauses]) {
      if (pause.dueMs > this.#stopMs) continue;
      this.#pauses.delete(timer);
      clearTimeout(timer);
      this.#askAgain(pause);
    }
    this.#untilMs = this.#stopMs;
    this.#stop();
  }

  /** Nothing new is sent. What waits in the client was due, and still goes out within the grace. */
  #stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    for (const timer of this.#pauses.keys()) clearTimeout(timer);
    this.#pauses.clear();
    queueMicrotask(() => this.#settle());
  }

  #interrupt(): void {
    this.#isInterrupted = true;
    this.end();
  }

  /** Ends it at once: what is under way is unfinished. */
  end(): void {
    this.#breakOff();
    for (const link of [...this.#active.keys()]) link.giveUp("", true);
    this.#settle();
  }

  /** Nothing more goes out, though it is due by now. */
  #breakOff(): void {
    const { load } = this.#plan;
    if (!this.#isStopped) {
      this.#untilMs = Math.min(this.#clock(), this.#stopMs);
      while (
        load.kind === "open" && this.#nextDueMs <= this.#untilMs &&
        this.#planned < this.#requestsMax
      ) {
        const arrival = this.#nextArrival();
        this.#count(arrival);
        this.#waiting.push(arrival);
      }
    }
    this.#stop();
    this.#dropWaiting();
  }

  /** Requests that were due and never went out: each has a record that says so. */
  #dropWaiting(): void {
    const left = this.#waiting.slice(this.#waitingAt);
    this.#waiting = [];
    this.#waitingAt = 0;
    const nowMs = this.#clock();
    for (const { dueMs, isWarmup } of left) {
      const recording = new Recording();
      const own = this.#sent++;
      recording.number = this.#part.numberOf(own);
      recording.dueMs = dueMs;
      recording.endMs = nowMs;
      recording.isWarmup = isWarmup;
      this.#over++;
      this.#plan.observe(recording);
    }
  }

  #settle(): void {
    if (this.#active.size > 0 || this.#waitingAt < this.#waiting.length) return;
    if (this.#isDrained && this.#pauses.size === 0) this.#stop();
    if (this.#isStopped) this.#done.resolve();
  }
}

/** How long this thread has waited for a processor so far. Linux says so; elsewhere undefined. */
function processorWaitMs(): number | undefined {
  try {
    const [, waitedNs] = readFileSync("/proc/thread-self/schedstat", "latin1").split(" ");
    return Number(waitedNs) / 1e6;
  } catch {
    return undefined;
  }
}
