/**
 * Counts by name in one piece of memory that several processes may share.
 *
 * @module
 */

import { type NameHash, nameHash, NameTable, nameTableBytes, VALUE } from "./name_table.ts";

/** The page has a name in each of its slots. */
export class CountPageFull extends Error {
  override readonly name = "CountPageFull";
}

/** Bytes of a page of `slots` slots, a power of two. */
export const countPageBytes = nameTableBytes;

/** Counts from 0 to 2³² − 1. A count of 0 says no more than none. */
export class CountPage {
  readonly #table: NameTable;

  /**
   * `bytes` are `countPageBytes` of them, all 0 at first, at an offset that is a multiple of 8; whoever
   * has the same ones counts with this one.
   *
   * @throws {RangeError} when the slots are no power of two.
   */
  constructor(bytes: Uint8Array) {
    const table: NameTable = new NameTable(
      bytes,
      (at) => Atomics.load(table.words, at + VALUE) === 0,
    );
    this.#table = table;
  }

  /**
   * Counts `name` once more, and gives what its count was.
   *
   * @throws {CountPageFull} when there is no room for another name.
   */
  add(name: string): number {
    const { words } = this.#table;
    const hash = nameHash(name);
    for (;;) {
      const at = this.#table.find(hash) ?? this.#put(name, hash);
      const before = Atomics.add(words, at + VALUE, 1);
      if (this.#table.is(at, hash)) return before >>> 0;
      Atomics.sub(words, at + VALUE, 1); // taken out meanwhile, and perhaps another's
    }
  }

  /** The count of `name`; 0 = it has none. */
  get(name: string): number {
    const at = this.#table.find(nameHash(name));
    return at === undefined ? 0 : Atomics.load(this.#table.words, at + VALUE) >>> 0;
  }

  /**
   * Makes `count` the count of `name`.
   *
   * @throws {CountPageFull} when there is no room for another name.
   */
  set(name: string, count: number): void {
    const hash = nameHash(name);
    const at = this.#table.find(hash) ?? this.#put(name, hash);
    Atomics.store(this.#table.words, at + VALUE, count | 0);
  }

  /** All names that begin with `prefix`, up to 100 characters, count from 0 again. */
  reset(prefix: string): void {
    this.#table.each(prefix, (at) => Atomics.store(this.#table.words, at + VALUE, 0));
  }

  /** The same, and their room is free: nobody may be counting them. */
  forget(prefix: string): void {
    this.#table.forget(prefix);
  }

  /** The same for one name, without a look at all others. */
  remove(name: string): void {
    this.#table.remove(nameHash(name));
  }

  /** Names there are; whoever counts them looks at every slot. */
  get size(): number {
    let size = 0;
    this.#table.each("", () => size++);
    return size;
  }

  #put(name: string, hash: NameHash): number {
    const at = this.#table.put(name, hash);
    if (at !== undefined) return at;
    throw new CountPageFull(`All ${this.#table.slots} counters are in use: reset some`);
  }
}
