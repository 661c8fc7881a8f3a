/**
 * A hashed timer wheel: thousands of waiting streams, one timer of the operating system.
 *
 *        cursor
 *          │                       a ticket due at tick t waits in slot t % SLOTS, if that is less than
 *   ┌──┬──┬▼─┬──┬──┬──┬──┬──┐      one turn away; else in block t / SLOTS of a second wheel, from where
 *   │  │  │  │● │  │●●│  │● │      it comes over when the cursor enters that block: limits that are
 *   └──┴──┴──┴──┴──┴──┴──┴──┘      far away wake nobody.
 *
 *   set: O(1)   cancel: O(1)   turn: O(tickets in the slots and blocks passed)
 *
 * Times are absolute, so rounding to ticks never adds up. The wheel reads the clock it is given and
 * asks the alarm it is given to be woken; a test hands it both and turns it by hand.
 *
 * A ticket is an object that its owner keeps and re-uses: waiting allocates nothing.
 *
 * @module
 */

import type { AbortLike } from "./abort.ts";

/** Slots in the wheel. A power of two, so that the slot number is a mask and not a division. */
const SLOTS = 1024;
const MASK = SLOTS - 1;

/** Milliseconds a tick lasts: the finest timer Bun has. */
const TICK_MS = 1;

/**
 * Tickets run in one go before the wheel lets the event loop breathe. One run is one small write of
 * some 5 µs, so that accepts and disconnects wait 5 ms at the most.
 */
const RUNS_MAX = 1000;

/** Something that will happen. Extend it, and hand it to `Wheel.set` as often as needed. */
export abstract class Ticket {
  /** The tick this ticket is due at; -1 while it is not on a wheel. Only the wheel writes it. */
  dueTick = -1;
  /** True while it waits in a block. Only the wheel writes it. */
  isFar = false;
  /** Neighbours in the slot or block. Only the wheel writes them. */
  next: Ticket | null = null;
  previous: Ticket | null = null;

  /** Called once, at the first tick at or after the time asked for. Must not throw. */
  abstract run(nowMs: number): void;
}

/** Wakes the wheel: calls `run` once, `delayMs` from now; a second call replaces the first. */
export type Alarm = (delayMs: number, run: () => void) => void;

/** An alarm on the one timer of the operating system. */
export function timerAlarm(): Alarm {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let immediate: ReturnType<typeof setImmediate> | undefined;
  return (delayMs, run) => {
    clearTimeout(timer);
    clearImmediate(immediate);
    if (delayMs <= 0) immediate = setImmediate(run);
    else timer = setTimeout(run, delayMs);
  };
}

/** Runs tickets at absolute times. One for the whole process. */
export class Wheel {
  readonly #clock: () => number;
  readonly #alarm: Alarm;
  readonly #slots: (Ticket | null)[] = new Array<Ticket | null>(SLOTS).fill(null);
  /** Tickets that are a turn away or more, by block: SLOTS ticks each. */
  readonly #blocks: (Ticket | null)[] = new Array<Ticket | null>(SLOTS).fill(null);
  /** The last tick whose tickets have all been run. */
  #cursor: number;
  /** The block whose tickets are in `#slots`; those of later ones are in `#blocks`. */
  #block: number;
  /** The tick the alarm is set for; Infinity when it is not set. */
  #armedTick = Infinity;
  /** The ticket that `turn` looks at next: `cancel` moves it on when that ticket leaves. */
  #upcoming: Ticket | null = null;
  #waiting = 0;
  #isTurning = false;
  readonly #wake = () => {
    this.#armedTick = Infinity;
    this.turn();
  };

  /** `clock` gives milliseconds that never go back; `alarm` may do nothing if the caller turns. */
  constructor(clock: () => number, alarm: Alarm) {
    this.#clock = clock;
    this.#alarm = alarm;
    this.#cursor = Math.floor(clock() / TICK_MS);
    this.#block = blockOf(this.#cursor + 1);
  }

  /** The clock of this wheel, in milliseconds. */
  get nowMs(): number {
    return this.#clock();
  }

  /** Tickets that are neither run nor cancelled. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Puts `ticket` on the wheel: it runs at the first tick at or after `dueMs`. What is overdue runs
   * at the next tick, never inside this call. A ticket that is already waiting is moved.
   */
  set(ticket: Ticket, dueMs: number): void {
    if (ticket.dueTick >= 0) this.cancel(ticket);
    // An idle wheel has not followed the clock: without this the cursor would walk the idle time.
    if (this.#waiting === 0 && !this.#isTurning) {
      this.#cursor = Math.floor(this.#clock() / TICK_MS) - 1;
      this.#block = blockOf(this.#cursor + 1);
    }
    const tick = Math.max(this.#cursor + 1, Math.ceil(dueMs / TICK_MS));
    const wakeTick = this.#insert(ticket, tick);
    this.#waiting++;
    if (wakeTick < this.#armedTick && !this.#isTurning) this.#arm(wakeTick);
  }

  /** Puts `ticket` where it belongs, and gives the tick at which something is to be done for it. */
  #insert(ticket: Ticket, tick: number): number {
    const block = blockOf(tick);
    ticket.isFar = block > this.#block;
    const lists = ticket.isFar ? this.#blocks : this.#slots;
    const at = ticket.isFar ? block & MASK : tick & MASK;
    const head = lists[at] as Ticket | null;
    ticket.dueTick = tick;
    ticket.previous = null;
    ticket.next = head;
    if (head !== null) head.previous = ticket;
    lists[at] = ticket;
    return ticket.isFar ? block * SLOTS : tick;
  }

  /** The cursor enters `block`: its tickets come over, but for those of a later turn. */
  #enter(block: number): void {
    this.#block = block;
    let ticket = this.#blocks[block & MASK] as Ticket | null;
    this.#blocks[block & MASK] = null;
    while (ticket !== null) {
      const { next } = ticket;
      this.#insert(ticket, Math.max(ticket.dueTick, this.#cursor + 1));
      ticket = next;
    }
  }

  /** Takes `ticket` off the wheel. Safe to call again, or after it ran. */
  cancel(ticket: Ticket): void {
    if (ticket.dueTick < 0) return;
    if (ticket === this.#upcoming) this.#upcoming = ticket.next;
    if (ticket.previous !== null) ticket.previous.next = ticket.next;
    else if (ticket.isFar) this.#blocks[blockOf(ticket.dueTick) & MASK] = ticket.next;
    else this.#slots[ticket.dueTick & MASK] = ticket.next;
    if (ticket.next !== null) ticket.next.previous = ticket.previous;
    ticket.next = null;
    ticket.previous = null;
    ticket.dueTick = -1;
    this.#waiting--;
  }

  /** A promise that settles `true` at `dueMs`, or `false` as soon as `signal` aborts. */
  until(dueMs: number, signal?: AbortLike): Promise<boolean> {
    if (signal?.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const settle = (isTime: boolean) => {
        this.cancel(ticket);
        signal?.removeEventListener("abort", onAbort);
        resolve(isTime);
      };
      const onAbort = { handleEvent: () => settle(false) };
      const ticket = new Waiter(() => settle(true));
      signal?.addEventListener("abort", onAbort);
      this.set(ticket, dueMs);
    });
  }

  /** Runs what is due by now. Called by the alarm; a test calls it after moving its clock. */
  turn(): void {
    if (this.#isTurning) return;
    this.#isTurning = true;
    let runsLeft = RUNS_MAX;
    const nowTick = Math.floor(this.#clock() / TICK_MS);
    let tick = this.#cursor + 1;
    for (; tick <= nowTick && runsLeft > 0; tick++) {
      if ((tick & MASK) === 0) {
        const isEmpty = this.#blocks[blockOf(tick) & MASK] === null;
        this.#enter(blockOf(tick));
        // After a long stall: nothing can be due in a block that nothing came over to.
        if (isEmpty && nowTick - tick >= SLOTS) {
          tick += MASK;
          this.#cursor = tick;
          continue;
        }
      }
      let ticket = this.#slots[tick & MASK] as Ticket | null;
      while (ticket !== null) {
        this.#upcoming = ticket.next;
        if (ticket.dueTick <= nowTick) {
          if (runsLeft === 0) break;
          this.cancel(ticket);
          runsLeft--;
          // What this run sets anew lands behind the cursor, so this loop ends.
          this.#cursor = Math.max(this.#cursor, tick);
          ticket.run(this.#clock());
        }
        ticket = this.#upcoming;
      }
      this.#upcoming = null;
      if (runsLeft === 0) break;
      this.#cursor = tick;
    }
    if (runsLeft === 0) this.#cursor = tick - 1; // the slot may hold more: look at it again
    this.#isTurning = false;
    if (this.#waiting === 0) return;
    if (runsLeft === 0) this.#arm(this.#cursor + 1);
    else this.#arm(this.#nextTick());
  }

  /**
   * The first tick after the cursor at which there is something to do: a slot or a block that is not
   * empty. What is in it may be due in a later turn.
   */
  #nextTick(): number {
    const end = (this.#block + 1) * SLOTS;
    for (let tick = this.#cursor + 1; tick < end; tick++) {
      if (this.#slots[tick & MASK] !== null) return tick;
    }
    let block = this.#block + 1;
    while (this.#blocks[block & MASK] === null && block < this.#block + SLOTS) block++;
    return block * SLOTS;
  }

  #arm(tick: number): void {
    this.#armedTick = tick;
    this.#alarm(tick * TICK_MS - this.#clock(), this.#wake);
  }
}

function blockOf(tick: number): number {
  return Math.floor(tick / SLOTS);
}

class Waiter extends Ticket {
  readonly #resolve: () => void;

  constructor(resolve: () => void) {
    super();
    this.#resolve = resolve;
  }

  override run(): void {
    this.#resolve();
  }
}
