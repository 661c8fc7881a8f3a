/**
 * Opens many event streams on a schedule made beforehand and measures every event of each: how late
 * it came, what was lost, doubled or merged, and whether the measuring itself can be believed.
 *
 * Raw sockets, because `fetch` costs more than the server it measures.
 *
 * @module
 */

import type { KnownAnswer } from "./event_follower.ts";
import { LoopWatch } from "./loop_watch.ts";
import { MeasuredStream, Tally } from "./measured_stream.ts";
import type { StreamReport } from "./stream_report.ts";

/** A measured window shorter than this is given up for the whole run. */
const WINDOW_MS_MIN = 1000;
/** Streams that are started in one go at most: a listener queues 512. */
const STARTS_MAX = 200;

/** What is asked, and where. */
export interface StreamTarget {
  readonly hostname: string;
  readonly port: number;
  readonly isTls: boolean;
  /** The whole request: head and body. */
  readonly request: Uint8Array;
}

/** What a run does. */
export interface StreamPlan {
  readonly target: StreamTarget;
  /** Streams opened, each on its own connection. */
  readonly streams: number;
  /** The starts are spread over this long. 0 = all at once. */
  readonly rampMs: number;
  /** The answer every stream must be. Without it events are only counted. */
  readonly answer?: KnownAnswer | undefined;
  /** When each event is due, in milliseconds after its stream should have started. */
  readonly dueMs?: Float64Array | undefined;
  /** How many events every stream must have, where neither answer nor schedule says so. */
  readonly eventsPerStream?: number | undefined;
  /** A stream that is not over this long after its last event was due has failed. */
  readonly graceMs: number;
  readonly signal?: AbortSignal | undefined;
}

const HANDLERS: Bun.SocketHandler<MeasuredStream> = {
  open(socket) {
    socket.data.socket = socket;
    socket.data.send();
  },
  drain(socket) {
    if (socket.data.unsent.length > 0) socket.data.send();
  },
  data(socket, bytes) {
    socket.data.read(bytes, performance.now());
  },
  close(socket) {
    socket.data.close();
  },
  end(socket) {
    socket.data.close();
  },
  error(socket, error) {
    socket.data.fail(`socket: ${error.message}`);
  },
  connectError(socket, error) {
    socket.data.fail(`cannot connect: ${error.message}`);
  },
};

/** A run of many streams. `start` it, then await `opened` or `report`. */
export class StreamRun {
  readonly #plan: StreamPlan;
  readonly #tally: Tally;
  readonly #running = new Set<MeasuredStream>();
  readonly #opened = Promise.withResolvers<void>();
  readonly #over = Promise.withResolvers<void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #started = 0;

  constructor(plan: StreamPlan) {
    this.#plan = plan;
    this.#tally = new Tally(plan.dueMs, plan.eventsPerStream);
  }

  /** Streams that had their first event, and streams that are over. */
  get progress(): { readonly opened: number; readonly over: number; readonly events: number } {
    const { opened, over, events } = this.#tally;
    return { opened, over, events };
  }

  /** Settles when every stream had its first event or is over. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** Runs to the end of all streams, at most `graceMs` longer than their schedule. */
  async measure(): Promise<StreamReport> {
    const { streams, rampMs, graceMs, signal } = this.#plan;
    const tally = this.#tally;
    const startMs = performance.now() + 5;
    const lengthMs = tally.dueMs?.at(-1) ?? 0;
    if (lengthMs - rampMs >= WINDOW_MS_MIN) {
      tally.windowFromMs = startMs + rampMs;
      tally.windowToMs = startMs + lengthMs;
    }
    const watch = new LoopWatch(() => performance.now());
    const cpu = process.cpuUsage();
    watch.start();
    this.#startDue(startMs, spreadStarts(streams, rampMs));
    const deadline = setTimeout(() => this.stop("timed out"), rampMs + lengthMs + graceMs);
    const onAbort = () => this.stop("aborted");
    signal?.addEventListener("abort", onAbort, { once: true });
    await this.#over.promise;
    signal?.removeEventListener("abort", onAbort);
    clearTimeout(deadline);
    watch.stop();
    const tookMs = performance.now() - startMs;
    const { user, system } = process.cpuUsage(cpu);
    return this.#report(tookMs, watch, (user + system) / 1000 / tookMs);
  }

  /** Ends every stream that is still open; each counts as failed for `reason`. */
  stop(reason: string): void {
    clearTimeout(this.#timer);
    for (; this.#started < this.#plan.streams; this.#started++) {
      this.#tally.fail(reason);
      this.#tally.over++;
    }
    for (const stream of this.#running) stream.fail(reason);
    this.#settle();
  }

  /** Starts the streams that are due, and comes back for the next. */
  #startDue(startMs: number, startsMs: Float64Array): void {
    const { target, answer } = this.#plan;
    const nowMs = performance.now();
    for (let burst = 0; burst < STARTS_MAX && this.#started < startsMs.length; burst++) {
      const dueMs = startMs + startsMs[this.#started]!;
      if (dueMs > nowMs) break;
      this.#started++;
      this.#tally.startDelayMs.record(nowMs - dueMs);
      const stream = new MeasuredStream(target.request, answer, this.#tally, dueMs, (changed) => {
        if (changed.isOver) this.#running.delete(changed);
        this.#settle();
      });
      this.#running.add(stream);
      Bun.connect({
        hostname: target.hostname,
        port: target.port,
        socket: HANDLERS,
        data: stream,
        ...(target.isTls ? { tls: { serverName: target.hostname } } : {}),
      }).catch((error: Error) => stream.fail(`cannot connect: ${error.message}`));
    }
    this.#settle();
    if (this.#started === startsMs.length) return;
    const waitMs = startMs + startsMs[this.#started]! - performance.now();
    this.#timer = setTimeout(() => this.#startDue(startMs, startsMs), Math.max(0, waitMs));
  }

  #settle(): void {
    const { opened, over } = this.#tally;
    const { streams } = this.#plan;
    if (over >= streams) this.#over.resolve();
    if (opened >= streams || over >= streams) this.#opened.resolve();
  }

  #report(tookMs: number, watch: LoopWatch, clientCpuShare: number): StreamReport {
    const tally = this.#tally;
    const isWindowed = Number.isFinite(tally.windowToMs);
    const windowMs = isWindowed ? tally.windowToMs - tally.windowFromMs : tookMs;
    return {
      streams: this.#plan.streams,
      completed: tally.completed,
      failed: Object.fromEntries(tally.failed),
      events: tally.events,
      bytes: tally.bytes,
      lost: tally.lost,
      doubled: tally.doubled,
      strange: tally.strange,
      merged: tally.merged,
      windowMs,
      eventsPerSecond: (1000 * tally.windowEvents) / windowMs,
      bytesPerSecond: (1000 * tally.windowBytes) / windowMs,
      eventsPerRead: tally.reads === 0 ? 0 : tally.events / tally.reads,
      firstEventMs: tally.firstEventMs.summary(),
      gapMs: tally.gapMs.summary(),
      latenessMs: tally.latenessMs.summary(),
      driftMs: tally.driftMs.summary(),
      driftPercent: tally.driftPercent.summary(),
      startDelayMs: tally.startDelayMs.summary(),
      loopDelayMs: watch.delayMs.summary(),
      clientCpuShare,
    };
  }
}

/**
 * When each stream starts: evenly over `rampMs`, shifted within its own share by a golden-ratio
 * sequence, so that the starts are in phase with no gap between events.
 */
export function spreadStarts(streams: number, rampMs: number): Float64Array {
  const shareMs = rampMs / streams;
  return Float64Array.from(
    { length: streams },
    (_, i) => (i + (i * 0.6180339887498949) % 1) * shareMs,
  );
}
