/**
 * A limiter whose units belong to many: a lender keeps one bucket for all of them, and each borrows blocks
 * of units from it beforehand and lets requests in from what it holds. A request waits for the lender
 * only where nobody knows whether there is something left; who is known to come in vain is told so at
 * once.
 *
 *   lender   bucket ──lend──▶ stock of a, stock of b, …          what is used is never more than what was lent
 *   a        take: stock − units · below half a block: more is borrowed, while requests go on
 *
 * Whatever is taken is noted in the limiter of this machine as well, which holds the limits while the lender is
 * away, from where they were at last; and a lender that has forgotten everything is told of it.
 *
 * @module
 */

import {
  type Bucket,
  type Draft,
  type Gate,
  type Limiter,
  type Reading,
  readingOf,
  type Refusal,
  type Taker,
} from "./limiter.ts";

const SECOND_MS = 1000;
/** A block is what is used in so long, as it was of late. */
const BLOCK_MS = 1000;
/** What is used is measured over this long at least. */
const RATE_MS_MIN = 100;
/** Where little is left, questions are so far apart, and up to half as much again: who waits waits together. */
const POLL_MS = 100;
/** One part of so many of what is left is lent ahead of need, and of a gate's seats may stay free here. */
const AHEAD = 8;
/** Units that nobody has wanted for so long go back. */
const HOLD_MS = 5000;
/** Blocks that may lie here: what answers did not cost comes back and may be more. */
const BLOCKS_MAX = 4;
/** What nobody has asked for so long is forgotten here: no answer takes longer, and has something to settle. */
const FORGET_MS = 3_600_000;
/** Seats are told of so often that the lender knows who still sits. */
const RENEW_MS = 4000;
/** Seats that nobody takes for so long go back. */
const SEAT_HOLD_MS = 1000;
/** Who finds all seats taken looks once more: one may be on its way back. */
const SEAT_PAUSE_MS = 25;
/** How often a request waits for the lender. Others may take what came for it. */
const WAITS_MAX = 3;
/** Parts of a unit that are none. */
const ROUNDING = 1e-6;

/** What is wanted of the lender's bucket. All but the bucket in its units. */
export interface LoanAsk {
  readonly bucket: Bucket;
  /** What was used beyond what was lent; below 0: what goes back. */
  readonly owed: number;
  /** So much is known to be used. */
  readonly used: number;
  /** Less than this is of no use. */
  readonly least: number;
  /** What requests wait for. */
  readonly need: number;
  /** What is wanted together; all of it only where there is plenty. */
  readonly want: number;
}

/** What a lender gives. */
export interface Loan {
  readonly granted: number;
  /** What is left in its bucket, below 0 where there is a debt. */
  readonly left: number;
}

/** What is wanted of the lender's gate. */
export interface SeatsAsk {
  readonly gate: Gate;
  /** Who sits: they stay, whatever there is. */
  readonly inside: number;
  /** Who waits for a seat. */
  readonly need: number;
  /** Seats that are wanted together besides those who sit. */
  readonly want: number;
}

/** The seats that a lender gives. */
export interface Seats {
  /** Those who sit with them. */
  readonly granted: number;
  /** What others have. */
  readonly others: number;
}

/** Who lends. */
export interface Lender {
  /** False: nobody can be asked. */
  readonly isOpen: boolean;
  /** How often it has become open: what was lent before is void. */
  readonly openings: number;
  /** Rejects when it cannot be asked. Settles within a time of its own. */
  lend(ask: LoanAsk): Promise<Loan>;
  /** The same for seats at a gate. Who does not ask for some seconds is taken for dead. */
  seat(ask: SeatsAsk): Promise<Seats>;
}

/** What it needs. */
export interface LeasesDeps {
  readonly limiter: Limiter;
  readonly lender: Lender;
  /** Milliseconds that never go back. */
  readonly nowMs: () => number;
  readonly pause: (ms: number) => Promise<unknown>;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
}

/** What is held of one bucket. */
class Stock {
  /** Units that may be taken; below 0: what is owed. */
  held = 0;
  opening: number;
  /** True until the lender has been told what was used before. */
  isFresh = true;
  /** What the lender had left, and when. */
  left = Infinity;
  leftAtMs = 0;
  /** Not before may it be asked for what is needed, or wanted. */
  needAtMs = 0;
  wantAtMs = 0;
  /** What requests wait for together, and the least of them. */
  waiting = 0;
  least = Infinity;
  flight: Promise<void> | undefined;
  taken = 0;
  measuredMs: number;
  perSecond = 0;
  usedMs: number;
  bucket: Bucket;

  constructor(bucket: Bucket, nowMs: number, opening: number) {
    this.bucket = bucket;
    this.measuredMs = this.usedMs = nowMs;
    this.opening = opening;
  }

  /** What the lender may have now: others take from it, too. */
  leftAt(nowMs: number): number {
    const { limit, windowMs } = this.bucket;
    return Math.min(limit, this.left + (nowMs - this.leftAtMs) * limit / windowMs);
  }

  /** How long it will be in vain to ask for `units`, behind all who wait; 0 = it may be worth it. */
  waitMs(units: number, nowMs: number): number {
    const { limit, windowMs } = this.bucket;
    const short = this.waiting + units - this.held - this.leftAt(nowMs);
    return short > ROUNDING ? short * windowMs / limit : 0;
  }

  /** Units that refill in the time of a block. */
  get refill(): number {
    return this.bucket.limit * BLOCK_MS / this.bucket.windowMs;
  }

  /** What is worth a question: some time's use. */
  block(nowMs: number): number {
    const forMs = Math.max(RATE_MS_MIN, nowMs - this.measuredMs);
    const perSecond = Math.max(this.perSecond, this.taken * SECOND_MS / forMs);
    return Math.max(
      1,
      Math.floor(this.refill),
      Math.ceil(perSecond * BLOCK_MS / SECOND_MS),
    );
  }

  measure(nowMs: number): void {
    this.perSecond = this.taken * SECOND_MS / Math.max(RATE_MS_MIN, nowMs - this.measuredMs);
    this.taken = 0;
    this.measuredMs = nowMs;
  }
}

/** Who sits at one gate. */
class Row {
  inside = 0;
  /** Seats of those inside, and free ones. */
  granted = 0;
  /** Seats that others have, as it was told last. */
  others = 0;
  /** Free seats of those that were granted last. */
  spare = 0;
  waiting = 0;
  /** Before that nobody asks for one more: there was none. */
  askAtMs = 0;
  renewAtMs = 0;
  usedMs = 0;
  opening: number;
  flight: Promise<void> | undefined;
  gate: Gate;

  constructor(gate: Gate, opening: number) {
    this.gate = gate;
    this.opening = opening;
  }
}

/** Takes units from what it has borrowed. */
export class Leases implements Taker {
  readonly #deps: LeasesDeps;
  readonly #stocks = new Map<string, Stock>();
  readonly #rows = new Map<string, Row>();
  /** True from a look at an open lender until it is found away. */
  #isJoined = false;

  constructor(deps: LeasesDeps) {
    this.#deps = deps;
  }

  /**
   * Takes all of `drafts` and enters `gate`, or does nothing and says why. A promise: the lender must be
   * asked; it never rejects.
   */
  take(
    drafts: readonly Draft[],
    gate?: Gate,
  ): Refusal | undefined | Promise<Refusal | undefined> {
    if (!this.#deps.lender.isOpen) return this.#takeAlone(drafts, gate);
    this.#isJoined = true;
    const outcome = this.#try(drafts, gate);
    return outcome instanceof Promise ? this.#waited(outcome, drafts, gate) : outcome;
  }

  /** Gives `units` back to `bucket`, or takes them whether or not they are there. */
  give(bucket: Bucket, units: number): void {
    this.#deps.limiter.give(bucket, units);
    if (!this.#deps.lender.isOpen) return;
    const stock = this.#stockOf(bucket);
    if (!stock.isFresh) stock.held += units; // else it is among what the lender will be told is used
  }

  /** Leaves `gate`, which was entered. */
  leave(gate: Gate): void {
    this.#deps.limiter.leave(gate);
    const row = this.#rowOf(gate);
    if (row.inside > 0) row.inside--;
    row.usedMs = this.#deps.nowMs();
    const { max } = gate;
    const isMuch = row.granted - row.inside > Math.floor(max / AHEAD);
    if (isMuch && this.#deps.lender.isOpen) this.#shrink(row, Math.floor(max / AHEAD / 2));
  }

  /** How `bucket` is now, as far as it is known here. */
  read(bucket: Bucket): Reading {
    const { limiter, lender, nowMs } = this.#deps;
    const stock = this.#stocks.get(bucket.name);
    const isKnown = lender.isOpen && stock?.opening === lender.openings && stock.left < Infinity;
    if (!isKnown) return limiter.read(bucket);
    const used = bucket.limit - stock.held - stock.leftAt(nowMs());
    return readingOf(used * bucket.windowNs / bucket.limit, bucket.limit, bucket.windowMs);
  }

  /** Brings to the lender what is owed, gives back what is not wanted, says who still sits. Twice a second. */
  tick(): void {
    const { lender, nowMs } = this.#deps;
    const now = nowMs();
    if (this.#isJoined && !lender.isOpen) this.#part();
    for (const [name, stock] of this.#stocks) {
      const idleMs = now - stock.usedMs;
      if (now - stock.measuredMs >= BLOCK_MS / 2) stock.measure(now);
      if (!lender.isOpen || stock.opening !== lender.openings) {
        if (idleMs > FORGET_MS) this.#stocks.delete(name);
      } else if (stock.flight !== undefined) continue;
      else if (stock.held < 0) void this.#borrow(stock, 0);
      else if (stock.held > 0 && idleMs > HOLD_MS) this.#giveBack(stock, stock.held);
      else if (stock.held > BLOCKS_MAX * stock.block(now)) {
        this.#giveBack(stock, Math.floor(stock.held - stock.block(now)));
      } else if (idleMs > FORGET_MS) this.#stocks.delete(name);
    }
    for (const [name, row] of this.#rows) {
      const isIdle = row.inside === 0 && now - row.usedMs > SEAT_HOLD_MS;
      if (!lender.isOpen) {
        if (isIdle) this.#rows.delete(name);
      } else if (row.flight !== undefined) continue;
      else if (isIdle && (row.granted === 0 || row.opening !== lender.openings)) {
        this.#rows.delete(name);
      } else if (isIdle) this.#shrink(row, 0);
      else if (row.opening !== lender.openings || now >= row.renewAtMs) {
        this.#shrink(this.#fresh(row), row.spare);
      }
    }
  }

  /** Gives everything back. Settles when the lender has it, or is away. */
  async close(): Promise<void> {
    const { lender } = this.#deps;
    await Promise.all(
      [...this.#stocks.values(), ...this.#rows.values()].map(({ flight }) => flight),
    );
    if (!lender.isOpen) return;
    const told: Promise<unknown>[] = [];
    for (const stock of this.#stocks.values()) {
      if (stock.held === 0 || stock.opening !== lender.openings) continue;
      told.push(lender.lend({ ...NOTHING, bucket: stock.bucket, owed: -stock.held }));
      stock.held = 0;
    }
    for (const row of this.#rows.values()) {
      if (row.granted === 0 || row.opening !== lender.openings) continue;
      told.push(lender.seat({ gate: row.gate, inside: 0, need: 0, want: 0 }));
    }
    await Promise.allSettled(told);
  }

  #takeAlone(drafts: readonly Draft[], gate: Gate | undefined): Refusal | undefined {
    if (this.#isJoined) this.#part();
    const refusal = this.#deps.limiter.take(drafts, gate);
    if (refusal === undefined && gate !== undefined) this.#sit(this.#rowOf(gate));
    return refusal;
  }

  /** The lender has gone: this machine's limits go on from where those of all were, as it was told last. */
  #part(): void {
    const { limiter, lender, nowMs } = this.#deps;
    const now = nowMs();
    this.#isJoined = false;
    for (const stock of this.#stocks.values()) {
      const { bucket, opening, left, held } = stock;
      if (opening !== lender.openings || left === Infinity) continue;
      const more = bucket.limit - stock.leftAt(now) - held - limiter.read(bucket).used;
      if (more > ROUNDING) limiter.give(bucket, -more);
    }
  }

  #sit(row: Row): void {
    row.inside++;
    row.usedMs = this.#deps.nowMs();
  }

  /** Takes, or refuses, or asks the lender: a promise, after which it may be tried again. */
  #try(
    drafts: readonly Draft[],
    gate: Gate | undefined,
  ): Refusal | undefined | Promise<unknown> {
    const now = this.#deps.nowMs();
    let worst: Extract<Refusal, { kind: "bucket" }> | undefined;
    let isShort = false;
    for (const draft of drafts) {
      const { bucket, units } = draft;
      const stock = this.#stockOf(bucket);
      if (stock.held >= units) continue;
      isShort = true;
      const waitMs = units > bucket.limit ? Infinity : Math.ceil(stock.waitMs(units, now));
      if (waitMs === 0 || (worst !== undefined && worst.waitMs >= waitMs)) continue;
      const used = bucket.limit - stock.held - stock.leftAt(now);
      worst = { kind: "bucket", draft, used: Math.max(0, used), waitMs };
    }
    if (worst !== undefined) return worst;
    const row = gate === undefined ? undefined : this.#fresh(this.#rowOf(gate));
    const isFull = row !== undefined && row.inside >= row.granted;
    if (isFull && now < row.askAtMs) return fullAt(row);
    if (isShort || isFull) return this.#ask(drafts, isFull ? row : undefined);
    if (gate !== undefined) {
      const refusal = this.#deps.limiter.take(NO_DRAFTS, gate);
      if (refusal !== undefined) return refusal;
      this.#sit(row!);
    }
    for (const draft of drafts) this.#takeOne(draft, now);
    return undefined;
  }

  #takeOne({ bucket, units }: Draft, now: number): void {
    const stock = this.#stockOf(bucket);
    stock.held -= units;
    stock.taken += units;
    stock.usedMs = now;
    this.#deps.limiter.give(bucket, -units);
    if (stock.flight !== undefined || now < stock.wantAtMs || stock.leftAt(now) < AHEAD) return;
    const block = stock.block(now);
    if (stock.held * 2 < block) void this.#borrow(stock, block);
  }

  async #ask(drafts: readonly Draft[], row: Row | undefined): Promise<void> {
    const flights: Promise<void>[] = [];
    const now = this.#deps.nowMs();
    for (const { bucket, units } of drafts) {
      const stock = this.#stockOf(bucket);
      if (stock.held >= units) continue;
      stock.waiting += units;
      stock.least = Math.min(stock.least, units);
      stock.usedMs = now;
      flights.push(this.#borrow(stock, stock.block(now)));
    }
    if (row !== undefined) {
      row.waiting++;
      flights.push(this.#reserve(row, Math.ceil(row.inside / 4) + 1));
    }
    await Promise.all(flights);
  }

  async #waited(
    asked: Promise<unknown>,
    drafts: readonly Draft[],
    gate: Gate | undefined,
  ): Promise<Refusal | undefined> {
    let hasPaused = false;
    for (let waits = 1;; waits++) {
      await asked;
      if (!this.#deps.lender.isOpen) return this.#takeAlone(drafts, gate);
      const outcome = this.#try(drafts, gate);
      if (outcome instanceof Promise) {
        if (waits >= WAITS_MAX) {
          await outcome;
          return this.#givenUp(drafts, gate);
        }
        asked = outcome;
      } else if (outcome?.kind === "gate" && !hasPaused) {
        hasPaused = true;
        await this.#deps.pause(SEAT_PAUSE_MS);
        this.#rowOf(outcome.gate).askAtMs = 0;
        asked = Promise.resolve();
      } else return outcome;
    }
  }

  /** Others were quicker each time. */
  #givenUp(drafts: readonly Draft[], gate: Gate | undefined): Refusal | undefined {
    const outcome = this.#try(drafts, gate);
    if (!(outcome instanceof Promise)) return outcome;
    const now = this.#deps.nowMs();
    const draft = drafts.find(({ bucket, units }) => this.#stockOf(bucket).held < units);
    if (draft === undefined) return fullAt(this.#rowOf(gate!));
    const { limit } = draft.bucket;
    const stock = this.#stockOf(draft.bucket);
    const used = Math.max(0, limit - stock.held - stock.leftAt(now));
    return { kind: "bucket", draft, used, waitMs: POLL_MS };
  }

  /** Borrows for all who begin to wait meanwhile. It never rejects. */
  #borrow(stock: Stock, block: number): Promise<void> {
    if (stock.flight !== undefined) return stock.flight;
    const { nowMs, pause } = this.#deps;
    const restMs = stock.needAtMs - nowMs();
    const turn = restMs > 0 ? pause(restMs) : Promise.resolve();
    return stock.flight = turn.then(() => this.#fly(stock, block));
  }

  async #fly(stock: Stock, block: number): Promise<void> {
    const { lender, limiter, nowMs, random } = this.#deps;
    const owed = Math.max(0, -stock.held);
    stock.held += owed;
    const need = Math.max(0, Math.ceil(stock.waiting - stock.held));
    const least = need === 0 ? 0 : Math.max(0, Math.ceil(stock.least - stock.held));
    const { bucket } = stock;
    const used = stock.isFresh ? limiter.read(bucket).used : 0;
    stock.isFresh = false;
    const want = need + Math.max(0, Math.ceil(block - stock.held));
    try {
      const { granted, left } = await lender.lend({ bucket, owed, used, least, need, want });
      const now = nowMs();
      stock.held += granted;
      stock.left = left;
      stock.leftAtMs = now;
      const nextMs = now + POLL_MS * (1 + random() / 2);
      if (granted < want) stock.wantAtMs = nextMs;
      if (granted < want && left < Math.max(1, stock.refill)) stock.needAtMs = nextMs;
    } catch {
      stock.held -= owed; // whoever lent is away
    } finally {
      stock.flight = undefined;
      stock.waiting = 0; // all look again
      stock.least = Infinity;
    }
  }

  #giveBack(stock: Stock, units: number): void {
    stock.held -= units;
    // Who does not hear of it is short of them until they have refilled.
    this.#deps.lender.lend({ ...NOTHING, bucket: stock.bucket, owed: -units }).catch(() => {});
  }

  /** Asks for seats for all who begin to wait in this turn, and for `spare` besides. It never rejects. */
  #reserve(row: Row, spare: number): Promise<void> {
    row.flight ??= Promise.resolve().then(() => this.#seatAll(row, spare));
    return row.flight;
  }

  async #seatAll(row: Row, spare: number): Promise<void> {
    const { lender, nowMs } = this.#deps;
    const { gate, inside, opening, waiting: need } = row;
    try {
      const { granted, others } = await lender.seat({ gate, inside, need, want: need + spare });
      if (row.opening !== opening) return;
      const now = nowMs();
      row.granted = granted;
      row.others = others;
      row.spare = Math.max(0, granted - inside - need);
      row.renewAtMs = now + RENEW_MS;
      if (granted < inside + need) row.askAtMs = now + POLL_MS;
    } catch {
      // Whether it is away, it says itself.
    } finally {
      row.flight = undefined;
      row.waiting = 0;
    }
  }

  /** Gives free seats back, all but `spare` of them. Nobody takes one meanwhile. */
  #shrink(row: Row, spare: number): void {
    if (row.flight !== undefined) return;
    row.granted = Math.min(row.granted, row.inside);
    void this.#reserve(row, spare);
  }

  #stockOf(bucket: Bucket): Stock {
    const { lender, nowMs } = this.#deps;
    let stock = this.#stocks.get(bucket.name);
    if (stock === undefined || stock.opening !== lender.openings) {
      // What was lent before is void, and what was owed is among what the lender is told is used.
      stock = new Stock(bucket, nowMs(), lender.openings);
      this.#stocks.set(bucket.name, stock);
    }
    stock.bucket = bucket;
    return stock;
  }

  #rowOf(gate: Gate): Row {
    let row = this.#rows.get(gate.name);
    if (row === undefined) {
      row = new Row(gate, this.#deps.lender.openings);
      this.#rows.set(gate.name, row);
    }
    row.gate = gate;
    return row;
  }

  /** `row`, without what was granted before the lender was away. */
  #fresh(row: Row): Row {
    const { openings } = this.#deps.lender;
    if (row.opening === openings) return row;
    row.opening = openings;
    row.granted = row.spare = row.askAtMs = 0;
    return row;
  }
}

function fullAt({ gate, inside, others }: Row): Refusal {
  return { kind: "gate", gate, inside: inside + others };
}

const NO_DRAFTS: readonly Draft[] = [];
const NOTHING = { used: 0, least: 0, need: 0, want: 0 } as const;
