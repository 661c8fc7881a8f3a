/**
 * Objects that outlive their process: those of one kind in the store, where every worker and every node
 * finds them. In the ring of a process are only those that are still said, or on their way.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import {
  OBJECT_ID_CHARS_MAX,
  type ObjectKind,
  type Soon,
  type Store,
  type StoredObject,
} from "../../core/store.ts";
import type { Keep } from "./keep.ts";

/** The longest that the end of an answer waits for the store, in milliseconds. */
const WRITE_WAIT_MS = 1000;

/** A larger object is not taken: as large as a live answer that is kept may be. */
const DATA_CHARS_MAX = 16 * 1024 * 1024;

/** So many others may change an object first. */
const CHANGES_MAX = 100;

/** The store, and objects on their way to it. */
export interface ObjectStore {
  /** True: the store has not taken what it was given last. */
  readonly isAway: boolean;
  add(object: StoredObject): void;
  /** Has the store take all of them. @throws {AppError} when it does not (the promise rejects). */
  flush(): Promise<void>;
  /** The same, a moment later, with all others who wait for it. */
  flushed(): Promise<void>;
  /** Told of each object of `kind` that the store has taken. */
  onTaken(kind: ObjectKind, told: (object: StoredObject) => void): void;
  /** @throws {AppError} when it cannot be asked (the promise rejects). */
  askStore<T>(question: (store: Store) => Soon<T>): Promise<T>;
  /** Notes that an object is not taken. */
  lose(): void;
}

/** How objects of one kind are written. */
export interface Packing<Kept> {
  /** undefined = not all of it is known yet: it stays in the ring. */
  pack(kept: Kept): Omit<StoredObject, "kind"> | undefined;
  unpack(object: StoredObject): Kept;
}

/** A keep in the store, with `ring` for what is not there yet. */
export function storedKeep<Kept>(
  kind: ObjectKind,
  ring: Keep<Kept>,
  store: ObjectStore,
  { pack, unpack }: Packing<Kept>,
): Keep<Kept> {
  /** What is on its way: ids, and when they were made. */
  const going = new Map<string, number>();
  store.onTaken(kind, ({ id, atMs }) => {
    if (going.get(id) !== atMs) return;
    going.delete(id);
    ring.drop(id);
  });

  let flush: Promise<void> | undefined = undefined;
  let waited: Promise<void> = Promise.resolve();
  /** When the store has what is on its way, or too much time has passed: one wait for all who wait. */
  function written(): Promise<void> {
    const flushed = store.flushed();
    if (flushed === flush) return waited;
    flush = flushed;
    return waited = Promise.race([flushed.catch(() => {}), Bun.sleep(WRITE_WAIT_MS)]);
  }

  return {
    get: (id) => ring.get(id),
    all: () => ring.all(),
    set(id, kept) {
      void ring.set(id, kept);
      const packed = pack(kept);
      if (packed === undefined) return undefined;
      if (id.length > OBJECT_ID_CHARS_MAX || packed.data.length > DATA_CHARS_MAX) {
        store.lose();
        return undefined;
      }
      if (ring.get(id) === kept) going.set(id, packed.atMs);
      store.add({ ...packed, kind });
      // While the store is away, answers go on: it was told, and the object is in the process's file.
      return store.isAway ? undefined : written();
    },
    async change(id, edit) {
      if (going.has(id)) await store.flush();
      else if (ring.get(id) !== undefined) return ring.change(id, edit); // it is still said
      for (let tries = 0; tries < CHANGES_MAX; tries++) {
        const found = await store.askStore((store) => store.object(kind, id));
        if (found === undefined) return undefined;
        const edited = edit(unpack(found.object));
        const packed = pack(edited)!;
        if (packed.data.length > DATA_CHARS_MAX) throw tooLarge(id);
        const object = { ...packed, kind };
        if (await store.askStore((store) => store.changeObject(object, found.version))) {
          return edited;
        }
      }
      throw new AppError("store_failed", `Cannot change ${id}: too many others do`);
    },
    drop: (id) => ring.drop(id),
    async delete(id) {
      if (going.has(id)) await store.flush();
      const wasHere = await ring.delete(id);
      return await store.askStore((store) => store.removeObject(kind, id)) || wasHere;
    },
    stored: {
      async find(id) {
        const found = await store.askStore((store) => store.object(kind, id));
        return found && unpack(found.object);
      },
      list: async (query) =>
        (await store.askStore((store) => store.objects({ ...query, kind }))).map(unpack),
    },
  };
}

function tooLarge(id: string): AppError {
  return new AppError(
    "request_invalid",
    `${id} would be larger than ${DATA_CHARS_MAX} characters: begin another one.`,
  );
}
