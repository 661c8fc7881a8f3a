/**
 * A map that forgets what was not used for the longest time once it is over one of its limits.
 *
 * @module
 */

/** The limits of an `Lru`. */
export interface LruLimits {
  readonly entriesMax: number;
  /** The sum of what `weigh` gives, in bytes. */
  readonly bytesMax: number;
}

interface Entry<V> {
  readonly value: V;
  readonly bytes: number;
}

/** A bounded map by text. A look-up counts as use. */
export class Lru<V> {
  readonly #limits: LruLimits;
  /** In the order of use, the longest unused first. */
  readonly #entries = new Map<string, Entry<V>>();
  #bytes = 0;

  constructor(limits: LruLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** What all entries weigh together, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** As `get`, and counts as no use. */
  peek(key: string): V | undefined {
    return this.#entries.get(key)?.value;
  }

  /** Keeps `value`, which weighs `bytes`. What is heavier than the limit is not kept at all. */
  set(key: string, value: V, bytes: number): void {
    this.delete(key);
    if (bytes > this.#limits.bytesMax) return;
    this.#entries.set(key, { value, bytes });
    this.#bytes += bytes;
    this.#shrink(this.#limits.entriesMax, this.#limits.bytesMax);
  }

  /** Forgets what was not used for longest until the rest weighs at most `bytesMax`. */
  shrink(bytesMax: number): void {
    this.#shrink(this.#limits.entriesMax, bytesMax);
  }

  /** Forgets all that `isGone` is true of. */
  sweep(isGone: (value: V) => boolean): void {
    for (const [key, { value }] of this.#entries) if (isGone(value)) this.delete(key);
  }

  #shrink(entriesMax: number, bytesMax: number): void {
    while (this.#entries.size > 0 && (this.#entries.size > entriesMax || this.#bytes > bytesMax)) {
      const [oldest] = this.#entries.keys();
      this.delete(oldest!);
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }
}
