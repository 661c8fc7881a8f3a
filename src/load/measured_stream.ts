/**
 * One stream under measurement, and the tally that all streams of a run keep together.
 *
 * Time counts from when a stream *should* have started, and an event belongs to the measured window
 * by when it was *due*: a slow server or a slow client cannot make its own delay disappear
 * ("coordinated omission").
 *
 * @module
 */

import { EventFollower, type KnownAnswer } from "./event_follower.ts";
import { Histogram } from "../lib/histogram.ts";
import type { AnswerFollower } from "./link.ts";
import type { Head } from "./response_reader.ts";

/** Events of one chunk may be due this far apart before they count as merged: a timer's grain. */
const MERGE_TOLERANCE_MS = 2;

/** Everything that the streams of a run count together. */
export class Tally {
  readonly firstEventMs = new Histogram();
  readonly gapMs = new Histogram();
  readonly latenessMs = new Histogram();
  readonly driftMs = new Histogram();
  readonly driftPercent = new Histogram();
  readonly startDelayMs = new Histogram();
  /** How long what was read may have lain there, by read. */
  readonly unreadMs = new Histogram();
  readonly failed = new Map<string, number>();
  readonly dueMs: Float64Array | undefined;
  readonly eventsPerStream: number | undefined;
  /** What is wrong with the known answer, however whole it comes; "" = nothing. */
  readonly fault: string;
  lost = 0;
  doubled = 0;
  strange = 0;
  merged = 0;
  opened = 0;
  over = 0;
  completed = 0;
  events = 0;
  bytes = 0;
  reads = 0;
  windowEvents = 0;
  windowBytes = 0;
  /** Only events due in between are measured; rates count what came in between. */
  windowFromMs = -Infinity;
  windowToMs = Infinity;

  /** `eventsPerStream`: what a stream without a known answer must have; undefined = any number. */
  constructor(dueMs: Float64Array | undefined, eventsPerStream = dueMs?.length, fault = "") {
    this.fault = fault;
    this.dueMs = dueMs;
    this.eventsPerStream = eventsPerStream;
  }

  fail(reason: string): void {
    this.failed.set(reason, (this.failed.get(reason) ?? 0) + 1);
  }
}

/** One stream: what was read, and what it means. */
export class MeasuredStream implements AnswerFollower {
  readonly #tally: Tally;
  readonly #startMs: number;
  readonly #follower: EventFollower;
  /** Where the answer is known, it was judged once for all. */
  readonly isJudged: boolean;
  readonly #onFirst: () => void;
  #readMs = 0;
  #firstMs = -1;
  #lastMs = 0;
  #lastDueMs = 0;
  /** When the event before, in this same chunk, was due; -1 when it is the first. */
  #chunkDueMs = -1;
  #hasChunks = false;

  /** `onFirst` is called at its first event. */
  constructor(
    answer: KnownAnswer | undefined,
    tally: Tally,
    startMs: number,
    onFirst: () => void,
  ) {
    this.#tally = tally;
    this.#startMs = startMs;
    this.#onFirst = onFirst;
    this.isJudged = answer === undefined;
    this.#follower = new EventFollower(answer, tally, (index) => this.#event(index));
  }

  /** Takes what the socket gave at `nowMs`. */
  read(nowMs: number, bytes: number, lateMs: number): void {
    const tally = this.#tally;
    tally.unreadMs.record(lateMs);
    this.#readMs = nowMs;
    tally.reads++;
    tally.bytes += bytes;
    if (nowMs >= tally.windowFromMs && nowMs < tally.windowToMs) tally.windowBytes += bytes;
    if (!this.#hasChunks) this.#chunkDueMs = -1;
  }

  head(head: Head): void {
    this.#hasChunks = head.framing === "chunked";
  }

  data(bytes: Uint8Array, from: number, to: number): void {
    this.#follower.data(bytes, from, to);
  }

  cut(): void {
    this.#chunkDueMs = -1;
  }

  #event(index: number): void {
    const tally = this.#tally;
    const nowMs = this.#readMs;
    tally.events++;
    if (this.#firstMs < 0) {
      this.#firstMs = nowMs;
      tally.opened++;
      tally.firstEventMs.record(nowMs - this.#startMs);
      this.#onFirst();
    }
    const dueMs = tally.dueMs === undefined ? -1 : tally.dueMs[index] ?? -1;
    const isSameDue = dueMs >= 0 && dueMs - this.#lastDueMs <= MERGE_TOLERANCE_MS;
    if (this.#chunkDueMs >= 0 && dueMs - this.#chunkDueMs > MERGE_TOLERANCE_MS) tally.merged++;
    const atMs = this.#startMs + dueMs;
    if (nowMs >= tally.windowFromMs && nowMs < tally.windowToMs) tally.windowEvents++;
    if (dueMs < 0 || (atMs >= tally.windowFromMs && atMs < tally.windowToMs)) {
      if (dueMs >= 0) tally.latenessMs.record(Math.abs(nowMs - atMs));
      if (this.#lastMs > 0 && !isSameDue) tally.gapMs.record(nowMs - this.#lastMs);
    }
    this.#chunkDueMs = dueMs;
    this.#lastDueMs = dueMs;
    this.#lastMs = nowMs;
  }

  /** It is over. `reason`: why it broke off; "" = it came to its end. */
  end(reason: string): void {
    const tally = this.#tally;
    tally.over++;
    this.#follower.end();
    const { dueMs, eventsPerStream = this.#follower.events } = tally;
    const { events, isComplete } = this.#follower;
    if (reason !== "") tally.fail(reason);
    else if (this.isJudged ? events !== eventsPerStream : !isComplete) {
      tally.fail("answer not whole");
    } else if (tally.fault !== "") {
      tally.fail(tally.fault);
    } else {
      tally.completed++;
      if (dueMs !== undefined && dueMs.length > 1) {
        const plannedMs = dueMs.at(-1)! - dueMs[0]!;
        const offMs = Math.abs(this.#lastMs - this.#firstMs - plannedMs);
        tally.driftMs.record(offMs);
        if (plannedMs > 0) tally.driftPercent.record((100 * offMs) / plannedMs);
      }
    }
  }
}
