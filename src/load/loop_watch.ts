/**
 * How late the client's own event loop was. What is measured is when bytes were read, and not when
 * they came: a client that is busy with other answers makes all times longer, and has to know by how
 * much.
 *
 *   turn of the loop   │ ask ▒▒▒▒▒▒▒▒▒▒▒▒ │ ask ▒▒▒▒▒▒▒▒▒ │ ask … sleeps …  ▒▒▒
 *   bytes may have come   ◀──────────── since here ──── read           ◀─ since here: it slept
 *
 * In each turn the loop asks the system once for all sockets that have something, and reads one after
 * the other. What is read in this turn was not there when the turn before asked. So it lay for no
 * longer than since the turn before began; and after a turn in which there was nothing at all, for no
 * longer than since this one began.
 *
 * A loop that sleeps is woken by a timer every so often, and says how late it woke. Where it slept on
 * although that timer was due, what is read then may have lain there since it was last awake.
 *
 * @module
 */

import { Histogram } from "../lib/histogram.ts";

/** How often a loop that sleeps is woken. Every time that a stall prevented is counted as well. */
const LOOK_MS = 2;
/** A timer that is later than this was held up. */
const TIMER_LATE_MS = 0.3;
/** After so many reads the end of the turn is looked for. It costs 2 µs, a read some 6. */
const READS_MIN = 8;
/** From one read of a turn to the next it takes some 5 µs, and to the next turn some 20. */
const SLEEP_MS = 0.15;

/** Watches the event loop between `start` and `stop`. */
export class LoopWatch {
  /** How late it woke where it had nothing to do, in milliseconds. */
  readonly delayMs = new Histogram();
  readonly #clock: () => number;
  /** When the turn of the loop began, and when what is read in it may have come at the earliest. */
  #turnMs = 0;
  #sinceMs = 0;
  /** When something was last done. */
  #leftMs = 0;
  #reads = 0;
  #isIdle = true;
  #isLooking = false;
  #immediate: ReturnType<typeof setImmediate> | undefined = undefined;
  /** When it is to wake. */
  #dueMs = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;

  /** `clock` gives milliseconds that never go back. */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Begins to watch. */
  start(): void {
    this.#leftMs = this.#clock();
    this.#setTimer(this.#leftMs);
  }

  /** Ends the watch. */
  stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#isLooking = false;
  }

  /** Something else than a read is done: it ends with `leave`, too. */
  begin(nowMs: number): void {
    if (!this.#isIdle && (this.#isLooking || nowMs - this.#leftMs <= SLEEP_MS)) return;
    const isHeldUp = nowMs > this.#dueMs + TIMER_LATE_MS;
    this.#isIdle = false;
    this.#turnMs = nowMs;
    // It was awake when that timer was set.
    this.#sinceMs = isHeldUp ? Math.max(this.#leftMs, this.#dueMs - LOOK_MS) : nowMs;
    this.#reads = 0;
  }

  /** A socket has something. Gives for how many milliseconds at most it has had it. */
  enter(nowMs: number): number {
    this.begin(nowMs);
    if (++this.#reads >= READS_MIN && !this.#isLooking) {
      this.#isLooking = true;
      this.#immediate = setImmediate(this.#look);
    }
    return nowMs - this.#sinceMs;
  }

  /** It has been done. Gives the time. */
  leave(): number {
    return this.#leftMs = this.#clock();
  }

  /** A turn of the loop has found nothing. */
  rest(): void {
    this.#leftMs = this.#clock();
    this.#isIdle = true;
  }

  /** Between two turns. */
  readonly #look = (): void => {
    const nowMs = this.#clock();
    this.#leftMs = nowMs;
    this.#isLooking = this.#reads > 0;
    this.#isIdle = !this.#isLooking;
    if (!this.#isLooking) return;
    this.#reads = 0;
    this.#sinceMs = this.#turnMs;
    this.#turnMs = nowMs;
    this.#immediate = setImmediate(this.#look);
  };

  /** Where it was awake since then, reads have told how late it was. */
  readonly #wake = (): void => {
    const nowMs = this.#clock();
    this.delayMs.recordCorrected(nowMs - Math.max(this.#dueMs, this.#leftMs), LOOK_MS);
    this.#setTimer(nowMs);
  };

  /** Whole milliseconds: a timer cuts off the rest, and would come too early to be late. */
  #setTimer(nowMs: number): void {
    this.#dueMs = nowMs + LOOK_MS;
    this.#timer = setTimeout(this.#wake, LOOK_MS);
  }
}
