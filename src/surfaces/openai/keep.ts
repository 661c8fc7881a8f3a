/**
 * Where objects of one kind are kept: in the ring of the process that has made them, or in the store.
 *
 * @module
 */

import type { ObjectQuery, Soon } from "../../core/store.ts";
import type { Shelf } from "./kept_store.ts";

/** Objects of one kind, by their ids. */
export interface Keep<Kept> {
  /** What is in this process. */
  get(id: string): Kept | undefined;
  /** All that is in this process, the oldest first. */
  all(): Iterable<Kept>;
  /**
   * Keeps it, or keeps it anew. undefined = that is done; a promise is kept once the store has it, or after
   * a while in which it does not.
   */
  set(id: string, kept: Kept): Promise<void> | undefined;
  /** Puts what `edit` gives in its place; undefined = it is not there. */
  change(id: string, edit: (kept: Kept) => Kept): Soon<Kept | undefined>;
  /** It broke off in this process, and will never be whole. */
  drop(id: string): void;
  /** False = it was not there. */
  delete(id: string): Soon<boolean>;
  /** The store; absent = what is not in this process is in another worker, or nowhere. */
  readonly stored?: StoredKeep<Kept>;
}

/** Objects of one kind in the store. Every method throws when it cannot be asked (the promise rejects). */
export interface StoredKeep<Kept> {
  find(id: string): Promise<Kept | undefined>;
  list(query: Omit<ObjectQuery, "kind">): Promise<readonly Kept[]>;
}

/** A keep on a shelf of the ring. `weigh`: what an object takes of memory, in bytes. */
export function ringKeep<Kept>(shelf: Shelf<Kept>, weigh: (kept: Kept) => number): Keep<Kept> {
  return {
    get: (id) => shelf.get(id),
    all: () => shelf.all(),
    set(id, kept) {
      shelf.set(id, kept, weigh(kept));
      return undefined;
    },
    change(id, edit) {
      const kept = shelf.get(id);
      if (kept === undefined) return undefined;
      const edited = edit(kept);
      shelf.set(id, edited, weigh(edited));
      return edited;
    },
    drop: (id) => void shelf.delete(id),
    delete: (id) => shelf.delete(id),
  };
}
