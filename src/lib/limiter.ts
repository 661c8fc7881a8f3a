/**
 * A limiter that several processes share: buckets of units that refill all the time, and gates through
 * which only so many may be at once. It keeps nothing but one piece of memory.
 *
 * A bucket is one word: the instant at which it is full again, in nanoseconds since 1970 (the "generic
 * cell rate algorithm", ITU-T I.371 annex A). What is taken moves that instant on by as long as it takes
 * to refill, and what the clock has passed is full: nobody has to refill anything, and what is left is
 *
 *   level = limit − (full_at − now) × limit ÷ window
 *
 * A gate is a row of counts, one for each process: when one dies, its row is set to 0 and nobody else's
 * share is touched.
 *
 * @module
 */

import { type NameHash, nameHash, NameTable, nameTableBytes, VALUE } from "./name_table.ts";

const NS_PER_MS = 1e6;
/**
 * Shares of a unit are cut off at the nanosecond. What stands so little before a whole millisecond is that
 * one.
 */
const ROUNDING_NS = 1000;
/** Counts of a gate: processes whose numbers differ by so many share one. */
const LANES = 128;
/** Words of 32 bits in one of 64. */
const PAIR = 2;
/** In a table that is nine tenths full, three names in a thousand have no room within so many slots. */
const REACH = 128;
/** In the table's header: how many lanes were ever used. */
const LANES_USED = 1;
/** Two that come to the last place of a gate at once may both see it taken: each looks again. */
const GATE_TRIES = 4;
/** A debt may be as long as a window. A clock that was set back owes no more than that, either. */
const DEBT_WINDOWS = 2;

/** The most units that a limit may have: below a nanosecond each, costs would be cut off too coarsely. */
export const LIMIT_MAX = 1_000_000_000;

/** Bytes of a page with room for `slots` names, a power of two. */
export function limiterBytes(slots: number): number {
  return nameTableBytes(slots) + slots * LANES * Int32Array.BYTES_PER_ELEMENT;
}

/** Who has no room for its own name shares that of `rest`, which was reserved. */
interface Named {
  readonly name: string;
  readonly rest: string;
}

/** So many units refill within a window; the bucket holds as many. */
export class Bucket implements Named {
  readonly name: string;
  readonly rest: string;
  /** 1 to `LIMIT_MAX`. */
  readonly limit: number;
  readonly windowMs: number;
  readonly windowNs: number;
  readonly hash: NameHash;
  readonly restHash: NameHash;

  constructor(name: string, rest: string, limit: number, windowMs: number) {
    this.name = name;
    this.rest = rest;
    this.limit = limit;
    this.windowMs = windowMs;
    this.windowNs = windowMs * NS_PER_MS;
    this.hash = nameHash(name);
    this.restHash = nameHash(rest);
  }

  /** Nanoseconds in which `units` refill. */
  costNs(units: number): number {
    return Math.floor(units * this.windowNs / this.limit);
  }
}

/** So many may be in at once. */
export class Gate implements Named {
  readonly name: string;
  readonly rest: string;
  readonly max: number;
  readonly hash: NameHash;
  readonly restHash: NameHash;

  constructor(name: string, rest: string, max: number) {
    this.name = name;
    this.rest = rest;
    this.max = max;
    this.hash = nameHash(name);
    this.restHash = nameHash(rest);
  }
}

/** Units that are wanted of a bucket. */
export interface Draft {
  readonly bucket: Bucket;
  /** Parts of one count. */
  readonly units: number;
}

/** How a bucket is. */
export interface Reading {
  readonly limit: number;
  /** Whole units that are there. */
  readonly remaining: number;
  /** Whole milliseconds until it is full. */
  readonly resetMs: number;
  /** Units that are not there, parts with them; above `limit` where there is a debt. */
  readonly used: number;
}

/** How a bucket is that will be full in `usedNs` nanoseconds. */
export function readingOf(usedNs: number, limit: number, windowMs: number): Reading {
  const used = Math.max(0, usedNs) * limit / (windowMs * NS_PER_MS);
  return {
    limit,
    remaining: Math.max(0, Math.floor(limit - used)),
    resetMs: Math.floor((Math.max(0, usedNs) + ROUNDING_NS) / NS_PER_MS),
    used,
  };
}

/** Why nothing was taken. */
export type Refusal =
  | {
    readonly kind: "bucket";
    readonly draft: Draft;
    readonly used: number;
    /** Whole milliseconds after which there will be enough, unless others take it; Infinity = never. */
    readonly waitMs: number;
  }
  | { readonly kind: "gate"; readonly gate: Gate; readonly inside: number }
  /** There is no room for another name, and nothing was reserved for the rest. */
  | { readonly kind: "full" };

/** Takes from buckets and enters gates, for this machine or for many. */
export interface Taker {
  /** Takes all of `drafts` and enters `gate`, or does nothing and says why: undefined = taken. */
  take(drafts: readonly Draft[], gate?: Gate): Refusal | undefined | Promise<Refusal | undefined>;
  /** Gives `units` back to `bucket`, or takes them whether or not they are there: below 0. */
  give(bucket: Bucket, units: number): void;
  /** Leaves `gate`, which was entered. */
  leave(gate: Gate): void;
  /** How `bucket` is now. */
  read(bucket: Bucket): Reading;
}

/** A name that tells something, or its beginning, and what. */
export interface Entry {
  readonly name: string;
  /** Nanoseconds until its bucket is full. */
  readonly usedNs: number;
  /** How many are behind its gate. */
  readonly inside: number;
}

/** A mark is a value that no clock comes to. */
const MARKS = 2n ** 62n;

/** The limiter. */
export class Limiter implements Taker {
  readonly #table: NameTable;
  readonly #values: BigInt64Array;
  readonly #lanes: Int32Array;
  readonly #lane: number;
  readonly #nowMs: () => number;
  /** Slots that stay, whatever their values are. */
  readonly #reserved = new Set<number>();

  /**
   * `bytes` are `limiterBytes` of them, all 0 at first; whoever has the same ones shares the limits.
   * `nowMs` gives milliseconds since 1970, from a clock that all of them share. `process` is this one's
   * number.
   *
   * @throws {RangeError} when the slots are no power of two.
   */
  constructor(bytes: Uint8Array, nowMs: () => number, process = 0) {
    const perSlot = limiterBytes(1) - limiterBytes(0);
    const tableBytes = nameTableBytes((bytes.byteLength - limiterBytes(0)) / perSlot);
    const isSpent = (at: number) => this.#isSpent(at);
    this.#table = new NameTable(bytes.subarray(0, tableBytes), isSpent, REACH);
    this.#values = new BigInt64Array(bytes.buffer, bytes.byteOffset, tableBytes / 8);
    this.#lanes = new Int32Array(
      bytes.buffer,
      bytes.byteOffset + tableBytes,
      this.#table.slots * LANES,
    );
    this.#lane = process % LANES;
    this.#nowMs = nowMs;
  }

  /** Keeps room for a name that others share when there is none for their own. */
  reserve(rest: string): void {
    const at = this.#table.put(rest, nameHash(rest));
    if (at !== undefined) this.#reserved.add(at);
  }

  /** Takes all of `drafts` and enters `gate`, or does nothing and says why: undefined = taken. */
  take(drafts: readonly Draft[], gate?: Gate): Refusal | undefined {
    for (;;) {
      const refusal = this.#look(drafts);
      if (refusal !== undefined) return refusal;
      if (gate !== undefined) {
        const refused = this.#enter(gate);
        if (refused !== undefined) return refused;
      }
      let taken = 0;
      while (taken < drafts.length && this.#takeOne(drafts[taken]!)) taken++;
      if (taken === drafts.length) return undefined;
      // Somebody else was quicker: what was taken goes back, and the look says who is to wait for what.
      for (const draft of drafts.slice(0, taken)) this.#move(draft.bucket, -draft.units);
      if (gate !== undefined) this.leave(gate);
    }
  }

  /** Gives `units` back to `bucket`, or takes them whether or not they are there: below 0. */
  give(bucket: Bucket, units: number): void {
    this.#move(bucket, -units);
  }

  /** Leaves `gate`, which was entered. */
  leave(gate: Gate): void {
    const at = this.#slotOf(gate);
    if (at === undefined) return;
    const place = this.#table.slotOf(at) * LANES + this.#lane;
    // A process that is said to be dead may be alive: what was set to 0 stays 0.
    for (;;) {
      const count = Atomics.load(this.#lanes, place);
      if (count <= 0) return;
      if (Atomics.compareExchange(this.#lanes, place, count, count - 1) === count) return;
    }
  }

  /** How `bucket` is now. */
  read(bucket: Bucket): Reading {
    const at = this.#find(bucket);
    const usedNs = at === undefined ? 0 : this.#usedNs(at, bucket, this.#nowNs());
    return readingOf(usedNs, bucket.limit, bucket.windowMs);
  }

  /** How many are behind `gate`. */
  inside(gate: Gate): number {
    const at = this.#find(gate);
    return at === undefined ? 0 : this.#count(at);
  }

  /** Process `number` has ended: what it held at gates is free. */
  release(number: number): void {
    const lane = number % LANES;
    this.#table.each("", (at) => {
      Atomics.store(this.#lanes, this.#table.slotOf(at) * LANES + lane, 0);
    });
  }

  /**
   * Fills each bucket whose name begins with `prefix`, up to 100 characters, and takes such marks away. Who is
   * behind a gate stays there.
   */
  fill(prefix: string): void {
    this.#table.each(prefix, (at) => Atomics.store(this.#values, (at + VALUE) / PAIR, 0n));
  }

  /** What begins with `prefix`: buckets that are not full, gates that are not empty. */
  entries(prefix: string): readonly Entry[] {
    const nowNs = this.#nowNs();
    const entries: Entry[] = [];
    this.#table.each(prefix, (at) => {
      if (this.#isIdle(at)) return;
      const usedNs = Number(Atomics.load(this.#values, (at + VALUE) / PAIR) - nowNs);
      entries.push({ name: this.#table.nameAt(at), usedNs, inside: this.#count(at) });
    });
    return entries;
  }

  /** Marks a name for all processes. False: there is no room for it, and none was reserved. */
  mark(name: string, mark: number): boolean {
    const at = this.#table.put(name, nameHash(name));
    if (at === undefined) return false;
    Atomics.store(this.#values, (at + VALUE) / PAIR, mark === 0 ? 0n : MARKS + BigInt(mark));
    return true;
  }

  /** The mark of a name; 0 = it has none. */
  markOf(hash: NameHash): number {
    const at = this.#table.find(hash);
    const value = at === undefined ? 0n : Atomics.load(this.#values, (at + VALUE) / PAIR);
    return value < MARKS ? 0 : Number(value - MARKS);
  }

  /** The first of `drafts` that would have to wait longest; undefined = none would. */
  #look(drafts: readonly Draft[]): Refusal | undefined {
    const nowNs = this.#nowNs();
    let worst: Extract<Refusal, { kind: "bucket" }> | undefined;
    for (const draft of drafts) {
      const { bucket, units } = draft;
      const at = this.#slotOf(bucket);
      if (at === undefined) return { kind: "full" };
      const usedNs = this.#usedNs(at, bucket, nowNs);
      const overNs = usedNs + bucket.costNs(units) - bucket.windowNs;
      if (overNs <= 0) continue;
      const waitMs = units > bucket.limit ? Infinity : Math.ceil(overNs / NS_PER_MS);
      if (worst !== undefined && worst.waitMs >= waitMs) continue;
      worst = {
        kind: "bucket",
        draft,
        waitMs,
        used: readingOf(usedNs, bucket.limit, bucket.windowMs).used,
      };
    }
    return worst;
  }

  /** False: there is not enough any more. */
  #takeOne({ bucket, units }: Draft): boolean {
    return this.#move(bucket, units, bucket.windowNs);
  }

  /** Takes `units`, unless the bucket would then be full later than `mostNs` from now. */
  #move(bucket: Bucket, units: number, mostNs = Infinity): boolean {
    const values = this.#values;
    const costNs = BigInt(bucket.costNs(Math.abs(units))) * (units < 0 ? -1n : 1n);
    for (;;) {
      const at = this.#slotOf(bucket);
      if (at === undefined) return false;
      const word = (at + VALUE) / PAIR;
      const nowNs = this.#nowNs();
      const before = Atomics.load(values, word);
      const usedNs = BigInt(this.#clamped(Number(before - nowNs), bucket));
      const after = nowNs + usedNs + costNs;
      if (Number(usedNs + costNs) > mostNs) return false;
      if (Atomics.compareExchange(values, word, before, after) !== before) continue;
      if (this.#isOf(at, bucket)) return true;
      Atomics.sub(values, word, costNs); // taken out meanwhile, and perhaps another's
    }
  }

  #enter(gate: Gate): Refusal | undefined {
    for (let tries = 1;; tries++) {
      const at = this.#slotOf(gate);
      if (at === undefined) return { kind: "full" };
      const place = this.#table.slotOf(at) * LANES + this.#lane;
      this.#useLane();
      Atomics.add(this.#lanes, place, 1);
      const isOurs = this.#isOf(at, gate);
      if (isOurs && this.#count(at) <= gate.max) return undefined;
      Atomics.sub(this.#lanes, place, 1);
      const inside = this.#count(at);
      if (isOurs && (inside >= gate.max || tries >= GATE_TRIES)) {
        return { kind: "gate", gate, inside };
      }
    }
  }

  /** Sums end behind the last lane that was ever used. */
  #useLane(): void {
    const { words } = this.#table;
    for (;;) {
      const used = Atomics.load(words, LANES_USED);
      if (used > this.#lane) return;
      Atomics.compareExchange(words, LANES_USED, used, this.#lane + 1);
    }
  }

  #count(at: number): number {
    const first = this.#table.slotOf(at) * LANES;
    const used = Atomics.load(this.#table.words, LANES_USED);
    let count = 0;
    for (let lane = 0; lane < used; lane++) count += Atomics.load(this.#lanes, first + lane);
    return count;
  }

  /** The slot of what is named, or of the rest; undefined = neither has one. */
  #find({ hash, restHash }: Bucket | Gate): number | undefined {
    return this.#table.find(hash) ?? this.#table.find(restHash);
  }

  /** The same, put in where there is room. */
  #slotOf({ name, hash, restHash }: Bucket | Gate): number | undefined {
    return this.#table.find(hash) ?? this.#table.put(name, hash) ?? this.#table.find(restHash);
  }

  #isOf(at: number, { hash, restHash }: Bucket | Gate): boolean {
    return this.#table.is(at, hash) || this.#table.is(at, restHash);
  }

  #isIdle(at: number): boolean {
    return Atomics.load(this.#values, (at + VALUE) / PAIR) <= this.#nowNs() &&
      this.#count(at) === 0;
  }

  #isSpent(at: number): boolean {
    return !this.#reserved.has(at) && this.#isIdle(at);
  }

  #usedNs(at: number, bucket: Bucket, nowNs: bigint): number {
    return this.#clamped(Number(Atomics.load(this.#values, (at + VALUE) / PAIR) - nowNs), bucket);
  }

  #clamped(usedNs: number, { windowNs }: Bucket): number {
    return Math.min(Math.max(0, usedNs), DEBT_WINDOWS * windowNs);
  }

  #nowNs(): bigint {
    return BigInt(Math.floor(this.#nowMs() * 1000)) * 1000n;
  }
}
