/**
 * Names in one piece of memory that several processes may share, each with a word of 64 bits: a table
 * with open addressing. Whoever has a name's place touches its word with nothing but atomic operations.
 *
 *   ┌────────┬──────────────────┬──────────────────┬───
 *   │ header │ slot 0           │ slot 1           │ …      slot: hash (2 words) · value (2) · length · name
 *   └────────┴──────────────────┴──────────────────┴───
 *
 * Look-ups take no lock. Names are put in and taken out under one, which is rare: a lock whose owner
 * has died is taken over. A name may be taken out by others at any time its value says no more, so
 * whoever has changed a value looks whether the place `is` still its own, and undoes it else.
 *
 * @module
 */

const WORD_BYTES = 4;
const SLOT_WORDS = 32;
const HEADER_WORDS = 32;
/** Words of a slot: two of the name's hash, two of its value, the bytes of its name, and the name. */
const HASH = 0;
/** Where the value of a slot stands, in 32-bit words behind the slot's beginning. */
export const VALUE = 2;
const LENGTH = 4;
const NAME = 5;
/** Of a longer name the beginning is kept: it is found by its hash, and reset by its beginning. */
export const NAME_BYTES = (SLOT_WORDS - NAME) * WORD_BYTES;

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
const decoder = new TextDecoder();

/** 64 bits of a name: two of a table's names have the same once in 10¹¹ tables. */
export interface NameHash {
  readonly low: number;
  readonly high: number;
}

/** Bytes of a table of `slots` slots, a power of two. */
export function nameTableBytes(slots: number): number {
  return (HEADER_WORDS + slots * SLOT_WORDS) * WORD_BYTES;
}

/** The table. Places are 32-bit words from its beginning. */
export class NameTable {
  readonly words: Int32Array;
  readonly slots: number;
  readonly #bytes: Uint8Array;
  readonly #isSpent: (at: number) => boolean;
  readonly #reach: number;

  /**
   * `bytes` are `nameTableBytes` of them, all 0 at first, at an offset that is a multiple of 8; whoever
   * has the same ones has the same names. `isSpent`: the value at a place says no more than that of a
   * name that is not there, so the place may be another's. `reach`: a name stands within so many slots of
   * its first one, or has no room, so that a full table costs no more to look into.
   *
   * @throws {RangeError} when the slots are no power of two.
   */
  constructor(bytes: Uint8Array, isSpent: (at: number) => boolean, reach = Infinity) {
    const slots = (bytes.byteLength / WORD_BYTES - HEADER_WORDS) / SLOT_WORDS;
    if (!(slots >= 1) || (slots & (slots - 1)) !== 0) {
      throw new RangeError(`Cannot count in ${bytes.byteLength} bytes: no power of two of slots`);
    }
    this.#bytes = bytes;
    this.words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / WORD_BYTES);
    this.slots = slots;
    this.#isSpent = isSpent;
    this.#reach = Math.min(reach, slots);
  }

  /** Where the slot of a name begins; undefined = it has none. */
  find(hash: NameHash): number | undefined {
    const words = this.words;
    const mask = this.slots - 1;
    for (let i = 0; i < this.#reach; i++) {
      const at = HEADER_WORDS + ((hash.low + i) & mask) * SLOT_WORDS;
      if (Atomics.load(words, at + LENGTH) === EMPTY) return undefined;
      if (this.is(at, hash)) return at;
    }
    return undefined;
  }

  /** True while the slot at `at` is that of the name with this hash. */
  is(at: number, { low, high }: NameHash): boolean {
    const words = this.words;
    return Atomics.load(words, at + LENGTH) >= TAKEN && Atomics.load(words, at + HASH) === low &&
      Atomics.load(words, at + HASH + 1) === high;
  }

  /** The number of the slot at `at`, from 0. */
  slotOf(at: number): number {
    return (at - HEADER_WORDS) / SLOT_WORDS;
  }

  /** The slot of `name`, put in unless somebody has done so meanwhile; undefined = there is no room. */
  put(name: string, hash: NameHash): number | undefined {
    return this.#locked(() => {
      const at = this.find(hash) ?? this.#room(hash);
      if (at === undefined || this.is(at, hash)) return at;
      const from = (at + NAME) * WORD_BYTES;
      const { written } = encoder.encodeInto(name, this.#bytes.subarray(from, from + NAME_BYTES));
      Atomics.store(this.words, at + HASH, hash.low);
      Atomics.store(this.words, at + HASH + 1, hash.high);
      Atomics.store(this.words, at + LENGTH, written + TAKEN);
      return at;
    });
  }

  /** Visits each name that begins with `prefix`, up to 100 characters. */
  each(prefix: string, visit: (at: number) => void): void {
    const wanted = encoder.encode(prefix);
    for (let slot = 0; slot < this.slots; slot++) {
      const at = HEADER_WORDS + slot * SLOT_WORDS;
      const length = Atomics.load(this.words, at + LENGTH) - TAKEN;
      if (length < wanted.length) continue;
      const from = (at + NAME) * WORD_BYTES;
      let i = 0;
      while (i < wanted.length && this.#bytes[from + i] === wanted[i]) i++;
      if (i === wanted.length) visit(at);
    }
  }

  /** The name at `at`, or its beginning. */
  nameAt(at: number): string {
    const from = (at + NAME) * WORD_BYTES;
    const length = Math.max(0, Atomics.load(this.words, at + LENGTH) - TAKEN);
    return decoder.decode(this.#bytes.slice(from, from + length)); // a decoder takes no shared memory
  }

  /** Takes out each name that begins with `prefix`: nobody may be changing their values. */
  forget(prefix: string): void {
    this.#locked(() => this.each(prefix, (at) => this.#free(at)));
  }

  /** The same for one name, without a look at all others. */
  remove(hash: NameHash): void {
    this.#locked(() => {
      const at = this.find(hash);
      if (at !== undefined) this.#free(at);
    });
  }

  /**
   * A slot for a name that has none: one that nobody has, or whose value is spent. The value stays: what
   * somebody is just doing to it, he undoes.
   */
  #room({ low }: NameHash): number | undefined {
    const mask = this.slots - 1;
    const slotAt = (i: number) => HEADER_WORDS + ((low + i) & mask) * SLOT_WORDS;
    for (let i = 0; i < this.#reach; i++) {
      if (Atomics.load(this.words, slotAt(i) + LENGTH) <= EMPTY) return slotAt(i);
    }
    for (let i = 0; i < this.#reach; i++) {
      if (!this.#isSpent(slotAt(i))) continue;
      Atomics.store(this.words, slotAt(i) + LENGTH, FREE);
      return slotAt(i);
    }
    return undefined;
  }

  /** Free slots behind which nothing follows are empty again, or look-ups in vain would grow. */
  #free(at: number): void {
    const words = this.words;
    Atomics.store(words, at + LENGTH, FREE);
    Atomics.store(words, at + VALUE, 0);
    Atomics.store(words, at + VALUE + 1, 0);
    const mask = this.slots - 1;
    const slotAt = (slot: number) => HEADER_WORDS + (slot & mask) * SLOT_WORDS;
    let slot = this.slotOf(at);
    if (Atomics.load(words, slotAt(slot + 1) + LENGTH) !== EMPTY) return;
    for (; Atomics.load(words, slotAt(slot) + LENGTH) === FREE; slot--) {
      Atomics.store(words, slotAt(slot) + LENGTH, EMPTY);
    }
  }

  #locked<Result>(work: () => Result): Result {
    const words = this.words;
    for (let i = 0; i < LOCK_TRIES_MAX && Atomics.compareExchange(words, 0, 0, 1) !== 0; i++);
    Atomics.store(words, 0, 1); // its owner has died, or it is ours
    try {
      return work();
    } finally {
      Atomics.store(words, 0, 0);
    }
  }
}

/** Two sums of FNV-1a's kind with different factors, mixed at the end as MurmurHash3 does. */
export function nameHash(name: string): NameHash {
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
