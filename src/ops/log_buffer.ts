/**
 * Lines on their way out, many in one write. A log whose reader has stopped reading holds up nobody
 * and takes a bounded amount of memory: what does not fit is dropped and counted.
 *
 * @module
 */

import { Ticket, type Wheel } from "../lib/wheel.ts";

/** A line waits this long for others at the most. */
const WAIT_MS = 100;
/** So many UTF-16 units are worth a write of their own. */
const BATCH_CHARS = 32 * 1024;
/** UTF-16 units that wait while a write is under way: 3 MiB of UTF-8 at the most. */
const WAITING_CHARS_MAX = 1024 * 1024;

/** Writes `text`, and calls `done` once it has been taken. */
export type WriteLog = (text: string, done: () => void) => void;

/** Collects lines and writes them. */
export class LogBuffer extends Ticket {
  readonly #wheel: Wheel;
  readonly #write: WriteLog;
  /** Makes the line that tells of lines that were dropped. */
  readonly #droppedLine: (count: number) => string;
  #waiting = "";
  #isWriting = false;
  #dropped = 0;
  /** Those of `#dropped` that no line has told of. */
  #untold = 0;
  #idle: (() => void) | undefined = undefined;

  constructor(wheel: Wheel, write: WriteLog, droppedLine: (count: number) => string) {
    super();
    this.#wheel = wheel;
    this.#write = write;
    this.#droppedLine = droppedLine;
  }

  /** Lines that were lost since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Takes a line with its end; an urgent one takes all that wait along at once. */
  add(line: string, isUrgent = false): void {
    if (this.#waiting.length + line.length > WAITING_CHARS_MAX) {
      this.#dropped++;
      this.#untold++;
      return;
    }
    this.#waiting += line;
    if (isUrgent || this.#waiting.length >= BATCH_CHARS) this.#flush();
    else if (this.dueTick < 0 && !this.#isWriting) {
      this.#wheel.set(this, this.#wheel.nowMs + WAIT_MS);
    }
  }

  /** Everything that waits, for whoever writes it himself since the process ends. */
  take(): string {
    const text = this.#waiting;
    this.#waiting = "";
    return text;
  }

  /** Settles when everything has been taken. */
  flushed(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle = resolve;
      this.#flush();
    });
  }

  override run(): void {
    this.#flush();
  }

  #flush(): void {
    if (this.#isWriting) return;
    this.#wheel.cancel(this);
    if (this.#waiting === "") {
      this.#idle?.();
      return;
    }
    if (this.#untold > 0) {
      this.#waiting += this.#droppedLine(this.#untold);
      this.#untold = 0;
    }
    this.#isWriting = true;
    this.#write(this.take(), () => {
      this.#isWriting = false;
      this.#flush();
    });
  }
}
