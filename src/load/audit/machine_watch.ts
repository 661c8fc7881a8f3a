/**
 * Watches the machine while a gateway is audited: how late this process's own loop was, and how late
 * another process was that does nothing but send back what it gets. What the machine was too late
 * for is no fault of the gateway.
 *
 * @module
 */

/** How often the loop is looked at. */
const LOOK_MS = 2;
/** A timer of Bun runs up to this much later on an idle machine. */
const TIMER_SLACK_MS = 0.6;
/** An echo of an idle machine is back sooner than this. */
const ECHO_SLACK_MS = 0.4;
/** Less than this is not remembered. */
const NOTED_MS = 0.25;
/** Times that are remembered; the oldest are forgotten. */
const NOTES_MAX = 200_000;

/** Another process that sends back what it is sent. */
export interface Echo {
  /** Sends one byte. */
  send(): void;
  /** Called for each byte that is back. */
  onEcho: () => void;
}

interface Note {
  readonly fromMs: number;
  readonly toMs: number;
  readonly lateMs: number;
}

/** Watches from `start` to `stop`. */
export class MachineWatch {
  readonly #clock: () => number;
  readonly #echo: Echo | undefined;
  readonly #notes: Note[] = [];
  #dueMs = 0;
  /** When the byte that is under way left; undefined = none is. */
  #sentMs: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `clock` gives milliseconds that never go back. Without an echo only the loop is watched. */
  constructor(clock: () => number, echo?: Echo) {
    this.#clock = clock;
    this.#echo = echo;
    if (echo !== undefined) echo.onEcho = this.#back;
  }

  /** Begins to watch. */
  start(): void {
    this.#dueMs = this.#clock() + LOOK_MS;
    this.#timer = setTimeout(this.#look, LOOK_MS);
  }

  /** Ends the watch. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** By how many milliseconds the machine was late at the worst between `fromMs` and `toMs`. */
  worst(fromMs: number, toMs: number): number {
    const open = this.#sentMs === undefined ? 0 : Math.min(toMs, this.#clock()) - this.#sentMs;
    let worst = Math.max(0, open - ECHO_SLACK_MS);
    for (let i = this.#notes.length - 1; i >= 0; i--) {
      const note = this.#notes[i]!;
      if (note.fromMs > toMs) continue;
      // Notes end in their order, so that all before this one ended earlier.
      if (note.toMs < fromMs) break;
      worst = Math.max(worst, note.lateMs);
    }
    return worst;
  }

  /** How often the machine was later than `overMs` between the two, what overlaps counted once. */
  stalls(fromMs: number, toMs: number, overMs: number): number {
    let count = 0;
    let endMs = -Infinity;
    for (const note of this.#notes) {
      if (note.lateMs <= overMs || note.toMs < fromMs || note.fromMs > toMs) continue;
      if (note.fromMs > endMs) count++;
      endMs = Math.max(endMs, note.toMs);
    }
    return count;
  }

  readonly #look = (): void => {
    const nowMs = this.#clock();
    this.#note(this.#dueMs, nowMs, nowMs - this.#dueMs - TIMER_SLACK_MS);
    if (this.#echo !== undefined && this.#sentMs === undefined) {
      this.#sentMs = nowMs;
      this.#echo.send();
    }
    this.#dueMs = nowMs + LOOK_MS;
    this.#timer = setTimeout(this.#look, LOOK_MS);
  };

  readonly #back = (): void => {
    if (this.#sentMs === undefined) return;
    const nowMs = this.#clock();
    this.#note(this.#sentMs, nowMs, nowMs - this.#sentMs - ECHO_SLACK_MS);
    this.#sentMs = undefined;
  };

  #note(fromMs: number, toMs: number, lateMs: number): void {
    if (lateMs < NOTED_MS) return;
    this.#notes.push({ fromMs, toMs, lateMs });
    if (this.#notes.length > NOTES_MAX) this.#notes.splice(0, NOTES_MAX / 2);
  }
}
