/**
 * Watches the machine while a gateway is audited: how late this process's own loop was, and how late
 * another process was that does nothing but send back what it gets. What the machine was too late
 * for is no fault of the gateway.
 *
 * @module
 */

import { readFileSync } from "node:fs";

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
/** How often it is asked how long others have waited for a processor. */
const WAITED_EVERY_MS = 20;
/** From this share of a time on in which something waits for a processor, the machine is busy. */
export const BUSY_SHARE = 0.2;

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

/**
 * For how many milliseconds something on this machine has waited for a processor since it was
 * started; undefined where the system does not tell (Linux does, in `/proc/pressure/cpu`).
 */
export function processorWaitedMs(): number | undefined {
  try {
    const [, total] = /^some .*total=(\d+)/.exec(readFileSync("/proc/pressure/cpu", "utf8")) ?? [];
    return total === undefined ? undefined : Number(total) / 1000;
  } catch {
    return undefined;
  }
}

/** Watches from `start` to `stop`. */
export class MachineWatch {
  readonly #clock: () => number;
  readonly #echo: Echo | undefined;
  readonly #waitedMs: () => number | undefined;
  readonly #notes: Note[] = [];
  readonly #waits: { readonly atMs: number; readonly waitedMs: number }[] = [];
  #dueMs = 0;
  /** When the byte that is under way left; undefined = none is. */
  #sentMs: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * `clock` gives milliseconds that never go back. Without an echo only the loop is watched, and the
   * processors' waiting (`waitedMs`).
   */
  constructor(clock: () => number, echo?: Echo, waitedMs = processorWaitedMs) {
    this.#clock = clock;
    this.#waitedMs = waitedMs;
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

  /**
   * The share (0 to 1) of the time between the two in which something waited for a processor: then
   * the gateway may have waited too, although neither this process nor the echo did. 0 where the
   * system does not tell.
   */
  pressure(fromMs: number, toMs: number): number {
    this.#noteWait(this.#clock());
    const before = this.#waits.findLast(({ atMs }) => atMs <= fromMs) ?? this.#waits[0];
    const after = this.#waits.find(({ atMs }) => atMs >= toMs) ?? this.#waits.at(-1);
    if (before === undefined || after === undefined || after.atMs <= before.atMs) return 0;
    return Math.min(1, (after.waitedMs - before.waitedMs) / (after.atMs - before.atMs));
  }

  /** True when the machine had other work between the two, so that a late gateway proves nothing. */
  isBusy(fromMs: number, toMs: number): boolean {
    return this.pressure(fromMs, toMs) > BUSY_SHARE;
  }

  #noteWait(atMs: number): void {
    const waitedMs = this.#waitedMs();
    if (waitedMs === undefined) return;
    this.#waits.push({ atMs, waitedMs });
    if (this.#waits.length > NOTES_MAX) this.#waits.splice(0, NOTES_MAX / 2);
  }

  readonly #look = (): void => {
    const nowMs = this.#clock();
    if (nowMs - (this.#waits.at(-1)?.atMs ?? -Infinity) >= WAITED_EVERY_MS) this.#noteWait(nowMs);
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
