/**
 * How long bytes may have lain in the client before it read them. What is measured is when bytes were
 * read, and not when they came: a client that is busy with other answers makes all times longer.
 *
 *   turn of the loop   │ ask ▒▒▒▒▒▒▒▒▒▒▒▒ │ ask ▒▒▒▒▒▒▒▒▒ │ ask … sleeps …  ▒▒▒
 *   bytes may have come   ◀──────────── since here ──── read           ◀─ since here: it slept
 *
 * In each turn the loop asks the system once for all sockets that have something, and reads one after
 * the other. What is read in this turn was not there when the turn before asked. So it lay for no
 * longer than since the turn before began; and after a turn in which there was nothing at all, for no
 * longer than since this one began. Where the loop slept, what the system needed to wake it is not seen
 * here: see `LoopWatch`.
 *
 * @module
 */

/** After so many reads the end of the turn is looked for. It costs 2 µs, a read some 6. */
const READS_MIN = 8;
/** From one read of a turn to the next it takes some 5 µs, and to the next turn some 20. */
const SLEEP_MS = 0.15;

/** Watches the reads of one event loop. */
export class ReadWatch {
  readonly #clock: () => number;
  /** When the turn of the loop began, and the one before. */
  #turnMs = 0;
  #beforeMs = 0;
  /** When something was last done. */
  #leftMs = 0;
  #reads = 0;
  #isIdle = true;
  #isLooking = false;
  #immediate: ReturnType<typeof setImmediate> | undefined = undefined;

  /** `clock` gives milliseconds that never go back. */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Ends the watch. */
  stop(): void {
    clearImmediate(this.#immediate);
    this.#isLooking = false;
  }

  /** Something else than a read is done: it ends with `leave`, too. */
  begin(nowMs: number): void {
    if (this.#isIdle || (!this.#isLooking && nowMs - this.#leftMs > SLEEP_MS)) {
      this.#isIdle = false;
      this.#turnMs = this.#beforeMs = nowMs;
      this.#reads = 0;
    }
  }

  /** A socket has something. Gives for how many milliseconds at most it has had it. */
  enter(nowMs: number): number {
    this.begin(nowMs);
    if (++this.#reads >= READS_MIN && !this.#isLooking) {
      this.#isLooking = true;
      this.#immediate = setImmediate(this.#look);
    }
    return nowMs - this.#beforeMs;
  }

  /** It has been done. */
  leave(): void {
    this.#leftMs = this.#clock();
  }

  /** A turn of the loop has found nothing. */
  rest(): void {
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
    this.#beforeMs = this.#turnMs;
    this.#turnMs = nowMs;
    this.#immediate = setImmediate(this.#look);
  };
}
