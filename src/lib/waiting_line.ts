/**
 * A waiting line: many things that may all wait equally long, with one ticket on the wheel for all.
 * Joining and leaving read no clock, so that a request whose body is already here pays next to
 * nothing (some 100 ns, bench case "mock").
 *
 * Time is counted in steps of a quarter of the limit: a wait ends between 1 and 1.25 times the limit.
 *
 * @module
 */

import { Ticket, type Wheel } from "./wheel.ts";

/** Steps of the line that a wait may last. */
const STEPS = 4;

/** Something that waits in a line. Extend it, and let it join. */
export abstract class Waiting {
  /** The step in which it joined; -1 while it is in no line. Only the line writes these three. */
  step = -1;
  next: Waiting | null = null;
  previous: Waiting | null = null;

  /** Called when it has waited too long, and is no longer in the line. Must not throw. */
  abstract expire(): void;
}

/** What waits longest stands first. */
export class WaitingLine extends Ticket {
  readonly #wheel: Wheel;
  readonly #stepMs: number;
  #step = 0;
  #first: Waiting | null = null;
  #last: Waiting | null = null;

  /** Everything in it may wait `limitMs` milliseconds, and up to a quarter more. */
  constructor(wheel: Wheel, limitMs: number) {
    super();
    this.#wheel = wheel;
    this.#stepMs = limitMs / STEPS;
  }

  /** Puts `waiting`, which is in no line, at the end. */
  join(waiting: Waiting): void {
    waiting.step = this.#step;
    waiting.previous = this.#last;
    if (this.#last === null) this.#first = waiting;
    else this.#last.next = waiting;
    this.#last = waiting;
    if (this.dueTick < 0) this.#wheel.set(this, this.#wheel.nowMs + this.#stepMs);
  }

  /** Takes `waiting` out. False: it was not in, having left or expired. */
  leave(waiting: Waiting): boolean {
    if (waiting.step < 0) return false;
    const { previous, next } = waiting;
    if (previous === null) this.#first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    waiting.step = -1;
    waiting.previous = waiting.next = null;
    return true;
  }

  override run(nowMs: number): void {
    this.#step++;
    for (let first = this.#first; first !== null; first = this.#first) {
      if (this.#step - first.step <= STEPS) break;
      this.leave(first);
      first.expire();
    }
    if (this.#first !== null) this.#wheel.set(this, nowMs + this.#stepMs);
  }
}
