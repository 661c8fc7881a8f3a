/**
 * What the clients of one process leave unread of their answers, together: bounded, so that who does
 * not read cannot fill the memory within the time that it has.
 *
 * @module
 */

/** A connection whose client has not taken all that was written. */
export interface UnreadOwner {
  /** Tries again what the client has not taken. True = it has taken something since. */
  nudge(): boolean;
  /** Ends the connection at once: there is no room for what waits in it. */
  cutUnread(): void;
}

/**
 * Up to so many bytes nobody is cut off for the sake of the others: `connectionsMax` bounds those.
 */
const SMALL_BYTES_MAX = 65_536;

/** Counts what waits. One for all servers of a process. */
export class Unread {
  readonly #bytesMax: number;
  /** The bytes of each, who has taken nothing for longest first. */
  readonly #owners = new Map<UnreadOwner, number>();
  #bytes = 0;
  #isCutting = false;

  /**
   * `bytesMax`: bytes of all answers that wait with more than 64 KiB; one alone may have more.
   */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes that wait now. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * `bytes` wait in `owner` now; fewer than before = it has taken some. Above the limit those are cut
   * that have taken nothing for longest: not at once, as an answer may just be written.
   */
  note(owner: UnreadOwner, bytes: number): void {
    const before = this.#owners.get(owner) ?? 0;
    const counted = bytes > SMALL_BYTES_MAX ? bytes : 0;
    if (before === 0 && counted === 0) return;
    this.#bytes += counted - before;
    if (counted < before) this.#owners.delete(owner);
    if (counted > 0) this.#owners.set(owner, counted);
    if (this.#isFull && !this.#isCutting) {
      this.#isCutting = true;
      queueMicrotask(() => this.#cut());
    }
  }

  get #isFull(): boolean {
    return this.#bytes > this.#bytesMax && this.#owners.size > 1;
  }

  #cut(): void {
    for (const owner of [...this.#owners.keys()]) {
      if (!this.#isFull) break;
      if (!owner.nudge()) owner.cutUnread();
    }
    this.#isCutting = false;
  }
}
