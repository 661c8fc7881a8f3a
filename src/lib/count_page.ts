/**
 * Counts by name in one piece of memory that several processes may share: a table with open addressing,
 * whose counts are touched by nothing but atomic operations.
 *
 *   ┌────────┬──────────────────┬──────────────────┬───
 *   │ header │ slot 0           │ slot 1           │ …      slot: hash (2 words) · count · length · name
 *   └────────┴──────────────────┴──────────────────┴───
 *
 * Look-ups take no lock. Names are put in and taken out under one, which is rare: a lock whose owner has
 * died is taken over.
 *
 * @module
 */

const WORD_BYTES = 4;
const SLOT_WORDS = 32;
const HEADER_WORDS = 32;
/** Words of a slot: two of the name's hash, its count, the bytes of its name, and the name. */
const HASH = 0;
const COUNT = 2;
const LENGTH = 3;
const NAME = 4;
/** Of a longer name the beginning is kept: it is found by its hash, and reset by its beginning. */
const NAME_BYTES = (SLOT_WORDS - NAME) * WORD_BYTES;

/** `LENGTH` of a slot that nobody has. Behind a free one a name may still stand; behind an empty one none. */
const EMPTY = 0;
const FREE = -1;
/** Added to the length, so that no name is no empty slot. */
const TAKEN = 1;

/**
 * Tries to get the lock, a tenth of a second or more: whoever holds it needs some microseconds, unless the
 * system lets it wait for a processor.
 */
const LOCK_TRIES_MAX = 20_000_000;

const encoder = new TextEncoder();

/** The page has a name in each of its slots. */
export class CountPageFull extends Error {
  override readonly name = "CountPageFull";
}

/** Bytes of a page of `slots` slots, a power of two. */
export function countPageBytes(slots: number): number {
  return (HEADER_WORDS + slots * SLOT_WORDS) * WORD_BYTES;
}

/** Counts from 0 to 2³² − 1. */
export class CountPage {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #slots: number;

  /**
   * `bytes` are `countPageBytes` of them, all 0 at first, at an offset that is a multiple of 4; whoever
   * has the same ones counts with this one.
   *
   * @throws {RangeError} when the slots are no power of two.
   */
  constructor(bytes: Uint8Array) {
    const slots = (bytes.byteLength / WORD_BYTES - HEADER_WORDS) / SLOT_WORDS;
    if (!(slots >= 1) || (slots & (slots - 1)) !== 0) {
      throw new RangeError(`Cannot count in ${bytes.byteLength} bytes: no power of two of slots`);
    }
    this.#bytes = bytes;
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / WORD_BYTES);
    this.#slots = slots;
  }

  /**
   * Counts `name` once more, and gives what its count was.
   *
   * @throws {CountPageFull} when there is no room for another name.
   */
  add(name: string): number {
    const hash = hashOf(name);
    for (;;) {
      const at = this.#find(hash) ?? this.#put(name, hash);
      const before = Atomics.add(this.#words, at + COUNT, 1);
      if (this.#is(at, hash)) return before >>> 0;
      Atomics.sub(this.#words, at + COUNT, 1); // taken out meanwhile, and perhaps another's
    }
  }

  /** The count of `name`; 0 = it has none. */
  get(name: string): number {
    const at = this.#find(hashOf(name));
    return at === undefined ? 0 : Atomics.load(this.#words, at + COUNT) >>> 0;
  }

  /**
   * Makes `count` the count of `name`.
   *
   * @throws {CountPageFull} when there is no room for another name.
   */
  set(name: string, count: number): void {
    const hash = hashOf(name);
    Atomics.store(this.#words, (this.#find(hash) ?? this.#put(name, hash)) + COUNT, count | 0);
  }

  /** All names that begin with `prefix`, up to 100 characters, count from 0 again. */
  reset(prefix: string): void {
    this.#each(prefix, (at) => Atomics.store(this.#words, at + COUNT, 0));
  }

  /** The same, and their room is free: nobody may be counting them. */
  forget(prefix: string): void {
    this.#locked(() => this.#each(prefix, (at) => this.#free(at)));
  }

  /** The same for one name, without a look at all others. */
  remove(name: string): void {
    this.#locked(() => {
      const at = this.#find(hashOf(name));
      if (at !== undefined) this.#free(at);
    });
  }

  /** Names there are; whoever counts them looks at every slot. */
  get size(): number {
    let size = 0;
    this.#each("", () => size++);
    return size;
  }

  #each(prefix: string, visit: (at: number) => void): void {
    const wanted = encoder.encode(prefix);
    for (let slot = 0; slot < this.#slots; slot++) {
      const at = HEADER_WORDS + slot * SLOT_WORDS;
      const length = Atomics.load(this.#words, at + LENGTH) - TAKEN;
      if (length < wanted.length) continue;
      const from = (at + NAME) * WORD_BYTES;
      let i = 0;
      while (i < wanted.length && this.#bytes[from + i] === wanted[i]) i++;
      if (i === wanted.length) visit(at);
    }
  }

  /** Where the slot of a name begins. */
  #find(hash: Hash): number | undefined {
    const words = this.#words;
    const mask = this.#slots - 1;
    for (let i = 0; i <= mask; i++) {
      const at = HEADER_WORDS + ((hash.low + i) & mask) * SLOT_WORDS;
      if (Atomics.load(words, at + LENGTH) === EMPTY) return undefined;
      if (this.#is(at, hash)) return at;
    }
    return undefined;
  }

  #is(at: number, { low, high }: Hash): boolean {
    const words = this.#words;
    return Atomics.load(words, at + LENGTH) >= TAKEN && Atomics.load(words, at + HASH) === low &&
      Atomics.load(words, at + HASH + 1) === high;
  }

  /** Puts a name in, unless somebody has done so meanwhile. */
  #put(name: string, hash: Hash): number {
    return this.#locked(() => {
      const at = this.#find(hash) ?? this.#room(hash);
      if (at === undefined) {
        throw new CountPageFull(`All ${this.#slots} counters are in use: reset some`);
      }
      if (this.#is(at, hash)) return at;
      const from = (at + NAME) * WORD_BYTES;
      const { written } = encoder.encodeInto(name, this.#bytes.subarray(from, from + NAME_BYTES));
      Atomics.store(this.#words, at + COUNT, 0);
      Atomics.store(this.#words, at + HASH, hash.low);
      Atomics.store(this.#words, at + HASH + 1, hash.high);
      Atomics.store(this.#words, at + LENGTH, written + TAKEN);
      return at;
    });
  }

  /** A slot for a name that has none: one that nobody has, or whose count is 0, which says no more. */
  #room({ low }: Hash): number | undefined {
    const mask = this.#slots - 1;
    const slotAt = (i: number) => HEADER_WORDS + ((low + i) & mask) * SLOT_WORDS;
    for (let i = 0; i <= mask; i++) {
      if (Atomics.load(this.#words, slotAt(i) + LENGTH) <= EMPTY) return slotAt(i);
    }
    for (let i = 0; i <= mask; i++) {
      if (Atomics.load(this.#words, slotAt(i) + COUNT) !== 0) continue;
      Atomics.store(this.#words, slotAt(i) + LENGTH, FREE);
      return slotAt(i);
    }
    return undefined;
  }

  /** Free slots behind which nothing follows are empty again, or look-ups in vain would grow. */
  #free(at: number): void {
    const words = this.#words;
    Atomics.store(words, at + LENGTH, FREE);
    Atomics.store(words, at + COUNT, 0);
    const mask = this.#slots - 1;
    const slotAt = (slot: number) => HEADER_WORDS + (slot & mask) * SLOT_WORDS;
    let slot = (at - HEADER_WORDS) / SLOT_WORDS;
    if (Atomics.load(words, slotAt(slot + 1) + LENGTH) !== EMPTY) return;
    for (; Atomics.load(words, slotAt(slot) + LENGTH) === FREE; slot--) {
      Atomics.store(words, slotAt(slot) + LENGTH, EMPTY);
    }
  }

  #locked<Result>(work: () => Result): Result {
    const words = this.#words;
    for (let i = 0; i < LOCK_TRIES_MAX && Atomics.compareExchange(words, 0, 0, 1) !== 0; i++);
    Atomics.store(words, 0, 1); // its owner has died, or it is ours
    try {
      return work();
    } finally {
      Atomics.store(words, 0, 0);
    }
  }
}

/** 64 bits of a name: two of a page's names have the same once in 10¹¹ pages. */
interface Hash {
  readonly low: number;
  readonly high: number;
}

/** Two sums of FNV-1a's kind with different factors, mixed at the end as MurmurHash3 does. */
function hashOf(name: string): Hash {
  let low = 0x811c9dc5 | 0;
  let high = 0x9747b28c | 0;
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit, 0x5bd1e995) ^ (high >>> 15);
  }
  return { low: mixed(low), high: mixed(high) };
}

function mixed(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
