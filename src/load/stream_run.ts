/**
 * Opens many event streams on a schedule made beforehand and measures every event of each: how late
 * it came, what was lost, doubled or merged, and whether the measuring itself can be believed.
 *
 * A load in an open loop, each stream on a connection of its own, followed byte by byte.
 *
 * @module
 */

import type { KnownAnswer } from "./event_follower.ts";
import { MeasuredStream, Tally } from "./measured_stream.ts";
import type { RequestRecord } from "./record.ts";
import { LoadRun, type RunFacts } from "./run.ts";
import type { StreamReport } from "./stream_report.ts";
import { teller } from "./told.ts";

/** A measured window shorter than this is given up for the whole run. */
const WINDOW_MS_MIN = 1000;
/** What all requests have in common. */
const REQUEST = {
  wantsEvents: true,
  leaveTokens: Infinity,
  readBytesPerSecond: Infinity,
  turn: 0,
  promptTokens: NaN,
  tokensMax: NaN,
} as const;

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
  /** What is wrong with `answer`, however whole it comes, as it says it; "" = nothing. */
  readonly fault?: string;
  /** Takes secrets out of what the server says. */
  readonly clean?: ((text: string) => string) | undefined;
  /** A stream that is not over this long after its last event was due has failed. */
  readonly graceMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** A run of many streams. `start` it, then await `opened` or `report`. */
export class StreamRun {
  readonly #plan: StreamPlan;
  readonly #tally: Tally;
  readonly #opened = Promise.withResolvers<void>();
  readonly #run: LoadRun;
  /** Why what has not ended was ended; undefined = it was not. */
  #reason: string | undefined = undefined;

  constructor(plan: StreamPlan) {
    const { target, streams, rampMs, answer, dueMs, eventsPerStream, fault, clean } = plan;
    this.#plan = plan;
    const told = teller(clean ?? ((text) => text))(fault ?? "");
    this.#tally = new Tally(dueMs, eventsPerStream, told);
    const { hostname, port, isTls } = target;
    const running = new Map<number, MeasuredStream>();
    this.#run = new LoadRun({
      targets: [{ hostname, port, ...(isTls ? { tls: { serverName: hostname } } : {}) }],
      maker: {
        next: (slot, dueMs) => {
          const follower = new MeasuredStream(answer, this.#tally, dueMs, () => this.#settle());
          running.set(slot, follower);
          return { ...REQUEST, bytes: target.request, session: slot, follower };
        },
        over: () => undefined,
      },
      load: {
        kind: "open",
        times: spreadStarts(streams, rampMs).values(),
        concurrencyMax: Infinity,
      },
      durationMs: Infinity,
      requestsMax: streams,
      warmupMs: 0,
      warmupRequests: 0,
      graceMs: Infinity,
      timeoutMs: Infinity,
      connectMs: Infinity,
      keepsConnections: false,
      countTokens: () => 0,
      clean,
      observe: (record) => {
        this.#tally.startDelayMs.record(record.sentMs - record.dueMs);
        running.get(record.session)!.end(this.#reason ?? reasonOf(record));
        running.delete(record.session);
        this.#settle();
      },
    });
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
    const { rampMs, graceMs, signal } = this.#plan;
    const tally = this.#tally;
    const lengthMs = tally.dueMs?.at(-1) ?? 0;
    if (lengthMs - rampMs >= WINDOW_MS_MIN) {
      tally.windowFromMs = rampMs;
      tally.windowToMs = lengthMs;
    }
    const deadline = setTimeout(() => this.stop("timed out"), rampMs + lengthMs + graceMs);
    const onAbort = () => this.stop("aborted");
    signal?.addEventListener("abort", onAbort, { once: true });
    const facts = await this.#run.measure();
    signal?.removeEventListener("abort", onAbort);
    clearTimeout(deadline);
    return this.#report(this.#run.nowMs, facts);
  }

  /** Ends every stream that is still open; each counts as failed for `reason`. */
  stop(reason: string): void {
    this.#reason = reason;
    this.#run.fail(reason);
    for (const { streams } = this.#plan; this.#tally.over < streams;) {
      this.#tally.fail(reason);
      this.#tally.over++;
    }
    this.#settle();
  }

  #settle(): void {
    const { opened, over } = this.#tally;
    const { streams } = this.#plan;
    if (opened >= streams || over >= streams) this.#opened.resolve();
  }

  #report(tookMs: number, { loopDelayMs, cpuShare }: RunFacts): StreamReport {
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
      eventsPerRead: tally.events === 0 ? null : tally.events / tally.reads,
      firstEventMs: tally.firstEventMs.summary(),
      gapMs: tally.gapMs.summary(),
      latenessMs: tally.latenessMs.summary(),
      driftMs: tally.driftMs.summary(),
      driftPercent: tally.driftPercent.summary(),
      startDelayMs: tally.startDelayMs.summary(),
      loopDelayMs: loopDelayMs.summary(),
      unreadMs: tally.unreadMs.summary(),
      clientCpuShare: cpuShare,
    };
  }
}

/** Why a stream broke off; "" = it came to its end. */
function reasonOf({ failure }: RequestRecord): string {
  if (failure === undefined) return "";
  const { phase, status, text } = failure;
  if (status !== undefined && status !== 200) {
    return `status ${status}${text === "" ? "" : `: ${text}`}`;
  }
  const isUnreached = phase === "dns" || phase === "connect" || phase === "tls";
  return isUnreached ? `cannot connect: ${text}` : text;
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
