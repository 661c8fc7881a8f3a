/**
 * The one ring of all kept objects of a process: the oldest go when there are too many, or when
 * they take too much.
 *
 * @module
 */

import { Lru, type LruLimits } from "../../lib/lru.ts";

/** Objects of one kind in the ring, by their ids. */
export interface Shelf<Kept> {
  get(id: string): Kept | undefined;
  /** Keeps it, or keeps it anew: it is the youngest then. `bytes`: what it takes of memory. */
  set(id: string, kept: Kept, bytes: number): void;
  /** False = it was not there. */
  delete(id: string): boolean;
  /** Those of this kind, the oldest first. */
  all(): Iterable<Kept>;
}

/** The ring. */
export class KeptStore {
  readonly #lru: Lru<{ readonly kind: string; readonly kept: unknown }>;

  constructor(limits: LruLimits) {
    this.#lru = new Lru(limits);
  }

  /** The objects of `kind`, which one shelf alone has: so what is on it is of its type. */
  shelf<Kept>(kind: string): Shelf<Kept> {
    const lru = this.#lru;
    const get = (id: string) => {
      const entry = lru.peek(id);
      return entry?.kind === kind ? entry.kept as Kept : undefined;
    };
    return {
      get,
      set: (id, kept, bytes) => lru.set(id, { kind, kept }, bytes),
      delete(id) {
        if (get(id) === undefined) return false;
        lru.delete(id);
        return true;
      },
      *all() {
        for (const entry of lru.values()) if (entry.kind === kind) yield entry.kept as Kept;
      },
    };
  }
}
