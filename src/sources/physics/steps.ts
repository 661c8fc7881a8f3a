/**
 * The step scheduler: an engine that works in steps, each of which takes some chunks of prompts and
 * gives every request of its batch one token.
 *
 *     step n begins                       step n + 1 begins
 *        │  chunks of the first prompts      │
 *        │  a token for the first requests   │ ← here its tokens leave
 *        ▼  whose next one is wanted         ▼
 *   ─────┼───────────────────────────────────┼──────
 *
 * Where more are wanted than a batch holds, requests take turns: throughput stays at batch_max /
 * step_ms, the knee. Where `queue` of them are wanted and that is more than collapse_threshold batches,
 * the batch shrinks, and throughput with it:
 *
 *   overload = queue / batch_max − collapse_threshold
 *   batch    = batch_max · (1 − min(1 − collapse_floor, overload · collapse_slope)), 1 at least
 *
 * Steps begin at multiples of step_ms on the wheel's clock, so that lateness never adds up. Workers fill
 * one batch together: each takes as large a part of it as it has of all that waits.
 *
 * @module
 */

import type { Tally } from "../../lib/tally.ts";
import { Ticket, type Wheel } from "../../lib/wheel.ts";

/** What of a profile it follows. */
export interface StepRule {
  readonly step_ms: number;
  readonly batch_max: number;
  readonly prefill_chunks_max: number;
  readonly prefill_chunk_tokens: number;
  readonly queue_max: number;
  readonly collapse_threshold: number;
  readonly collapse_slope: number;
  readonly collapse_floor: number;
}

/** Where all workers count what waits. */
export interface StepRows {
  readonly prompts: number;
  readonly tokens: number;
}

/** A request that the engine works at. */
export interface StepJob {
  /** Tokens of its prompt that are to be read. */
  readonly promptTokens: number;
  /** Its first chunk is begun with at `atMs` on the wheel's clock. */
  onBegun(atMs: number): void;
  /** Its prompt is read at `atMs`. Gives when its first token is wanted: the beginning of a step. */
  onRead(atMs: number): number;
  /**
   * It has a token: wanted at `wantedMs`, in a step from `beginMs`, leaving at `endMs`. Gives when the
   * next one is wanted; undefined = that was the last.
   */
  onToken(wantedMs: number, beginMs: number, endMs: number): number | undefined;
}

/** Requests per step when `queue` of them want a token. */
export function batchOf(rule: StepRule, queue: number): number {
  const { batch_max, collapse_threshold, collapse_slope, collapse_floor } = rule;
  const overload = Math.max(0, queue / batch_max - collapse_threshold);
  return Math.max(1, batch_max * (1 - Math.min(1 - collapse_floor, overload * collapse_slope)));
}

type State = "prompt" | "later" | "ready" | "gone";

/** A job on its way. */
export class Place {
  readonly job: StepJob;
  state: State = "prompt";
  chunksLeft: number;
  hasBegun = false;
  wantedMs = 0;

  constructor(job: StepJob, chunks: number) {
    this.job = job;
    this.chunksLeft = chunks;
  }
}

/** Rounding of times must not move a step that falls on its beginning. */
const EPSILON = 1e-9;

/** The engine of one process. */
export class StepScheduler extends Ticket {
  readonly #rule: StepRule;
  readonly #wheel: Wheel;
  readonly #tally: Tally;
  readonly #rows: StepRows;
  readonly #prompts = new Line();
  readonly #ready = new Line();
  /** Who wants a token in which step. */
  readonly #later = new Map<number, Place[]>();
  /** Jobs that are on their way. */
  #count = 0;
  /** The last step that was taken. */
  #step = 0;
  #chunkCredit = 0;
  #tokenCredit = 0;
  #toldPrompts = 0;
  #toldReady = 0;

  constructor(rule: StepRule, wheel: Wheel, tally: Tally, rows: StepRows) {
    super();
    this.#rule = rule;
    this.#wheel = wheel;
    this.#tally = tally;
    this.#rows = rows;
  }

  /** Takes a job; undefined = too many prompts wait. */
  add(job: StepJob): Place | undefined {
    const { step_ms, prefill_chunk_tokens, queue_max } = this.#rule;
    const others = this.#tally.total(this.#rows.prompts) - this.#toldPrompts;
    if (others + this.#prompts.count >= queue_max) return undefined;
    const chunks = Math.max(1, Math.ceil(job.promptTokens / prefill_chunk_tokens));
    const place = new Place(job, chunks);
    this.#prompts.push(place);
    if (this.#count++ === 0) {
      // Nothing was to be done: steps begin anew with the next one.
      this.#step = Math.floor(this.#wheel.nowMs / step_ms);
      this.#chunkCredit = this.#tokenCredit = 0;
      this.#wheel.set(this, (this.#step + 1) * step_ms);
    }
    return place;
  }

  /** Nobody wants the rest of a job. */
  leave(place: Place): void {
    if (place.state === "gone") return;
    if (place.state === "prompt") this.#prompts.forget();
    if (place.state === "ready") this.#ready.forget();
    place.state = "gone";
    this.#count--;
  }

  /** Of the wheel: takes every step whose time has come. */
  override run(nowMs: number): void {
    const { step_ms } = this.#rule;
    const last = Math.floor(nowMs / step_ms + EPSILON);
    while (this.#step < last && this.#count > 0) this.#take(++this.#step);
    if (this.#count > 0) return this.#wheel.set(this, (this.#step + 1) * step_ms);
    this.#later.clear();
    this.#tell(0, 0);
  }

  #take(step: number): void {
    const { step_ms, prefill_chunks_max } = this.#rule;
    const beginMs = step * step_ms;
    const endMs = beginMs + step_ms;
    for (const place of this.#later.get(step) ?? []) {
      if (place.state !== "later") continue;
      place.state = "ready";
      this.#ready.push(place);
    }
    this.#later.delete(step);
    this.#tell(this.#prompts.count, this.#ready.count);
    this.#chunkCredit += this.#partOf(prefill_chunks_max, this.#prompts, this.#rows.prompts);
    for (let left = this.#prompts.count; left > 0 && this.#chunkCredit >= 1; left--) {
      this.#chunkCredit--;
      this.#read(this.#prompts.take("prompt")!, step, beginMs, endMs);
    }
    this.#chunkCredit %= 1;
    const queue = this.#tally.total(this.#rows.tokens);
    const batch = batchOf(this.#rule, queue);
    this.#tokenCredit += this.#partOf(batch, this.#ready, this.#rows.tokens);
    for (let left = this.#ready.count; left > 0 && this.#tokenCredit >= 1; left--) {
      this.#tokenCredit--;
      const place = this.#ready.take("ready")!;
      const wantedMs = place.job.onToken(place.wantedMs, beginMs, endMs);
      if (wantedMs === undefined) this.#end(place);
      else this.#want(place, wantedMs, step);
    }
    this.#tokenCredit %= 1;
  }

  /** A chunk of a prompt. The rest of it waits behind the others'. */
  #read(place: Place, step: number, beginMs: number, endMs: number): void {
    if (!place.hasBegun) {
      place.hasBegun = true;
      place.job.onBegun(beginMs);
    }
    if (--place.chunksLeft > 0) this.#prompts.push(place);
    else this.#want(place, place.job.onRead(endMs), step);
  }

  #want(place: Place, wantedMs: number, step: number): void {
    if (place.state === "gone") return; // whoever was told of the last token has left
    place.state = "later";
    place.wantedMs = wantedMs;
    const at = Math.max(step + 1, Math.ceil(wantedMs / this.#rule.step_ms - EPSILON));
    const list = this.#later.get(at);
    if (list === undefined) this.#later.set(at, [place]);
    else list.push(place);
  }

  #end(place: Place): void {
    if (place.state === "gone") return;
    place.state = "gone";
    this.#count--;
  }

  /** This worker's part of a `whole`: as much of it as of all that waits. */
  #partOf(whole: number, line: Line, row: number): number {
    const total = this.#tally.total(row);
    return total <= line.count ? whole : whole * line.count / total;
  }

  /** Tells the other workers what waits here at the beginning of a step, until the next one begins. */
  #tell(prompts: number, ready: number): void {
    if (prompts !== this.#toldPrompts) {
      this.#tally.add(this.#rows.prompts, prompts - this.#toldPrompts);
      this.#toldPrompts = prompts;
    }
    if (ready !== this.#toldReady) {
      this.#tally.add(this.#rows.tokens, ready - this.#toldReady);
      this.#toldReady = ready;
    }
  }
}

/** First in, first out; who has gone is passed over, and is not counted. */
class Line {
  #places: Place[] = [];
  #head = 0;
  count = 0;

  push(place: Place): void {
    this.#places.push(place);
    this.count++;
  }

  /** One of those behind `#head` has gone. */
  forget(): void {
    this.count--;
  }

  /** The first that is still in `state`. */
  take(state: State): Place | undefined {
    while (this.#head < this.#places.length) {
      const place = this.#places[this.#head++]!;
      if (this.#head > 1024 && 2 * this.#head > this.#places.length) {
        this.#places = this.#places.slice(this.#head);
        this.#head = 0;
      }
      if (place.state !== state) continue;
      this.count--;
      return place;
    }
    return undefined;
  }
}
