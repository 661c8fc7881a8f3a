/**
 * Objects on their way to the store. Whoever tells a client of one may wait until the store has it.
 *
 * @module
 */

import { asAppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";
import type { ObjectKind, Soon, Store, StoredObject } from "../core/store.ts";
import { RowLog } from "./row_log.ts";

/** Milliseconds in which objects are gathered: the end of an answer waits for it. */
const GATHER_MS = 2;
/** Characters of those that wait in memory. */
const WAITING_CHARS_MAX = 64 * 1024 * 1024;

/** What it needs. */
export interface ObjectLogOptions {
  readonly store: Store;
  /** Where files of processes lie. Made when there are objects. */
  readonly folder: string;
  readonly uuid: () => string;
  readonly watch: Watch;
}

/** Objects on their way. */
export class ObjectLog extends RowLog<StoredObject> {
  readonly #store: Store;
  readonly #watch: Watch;
  readonly #takers: Map<ObjectKind, (object: StoredObject) => void>;
  /** Why the store could not be asked the last time; "" = it could. */
  #askTrouble = "";

  constructor({ store, watch, ...options }: ObjectLogOptions) {
    const takers = new Map<ObjectKind, (object: StoredObject) => void>();
    super({
      ...options,
      watch,
      what: "objects",
      async give(objects) {
        await store.addObjects(objects);
        for (const object of objects) takers.get(object.kind)?.(object);
      },
      weigh: ({ data }) => data.length,
      waitingMax: WAITING_CHARS_MAX,
      gatherMs: GATHER_MS,
      onLost: (count) => watch({ kind: "objects_lost", count }),
      onUnsafe: (cause) => watch({ kind: "objects_unsafe", cause }),
    });
    this.#store = store;
    this.#watch = watch;
    this.#takers = takers;
  }

  override get trouble(): string {
    return super.trouble || this.#askTrouble;
  }

  /** `told` hears of each object of `kind` that the store has taken. */
  onTaken(kind: ObjectKind, told: (object: StoredObject) => void): void {
    this.#takers.set(kind, told);
  }

  /** Notes that an object is not taken. */
  lose(): void {
    this.#watch({ kind: "objects_lost", count: 1 });
  }

  /** What the store says. @throws {AppError} when it cannot be asked (the promise rejects). */
  async askStore<T>(question: (store: Store) => Soon<T>): Promise<T> {
    try {
      const answer = await question(this.#store);
      if (this.#askTrouble !== "") this.#watch({ kind: "store_recovered" });
      this.#askTrouble = "";
      return answer;
    } catch (error) {
      const { code, plain } = asAppError(error);
      if (code !== "store_failed") throw error;
      if (this.#askTrouble === "") this.#watch({ kind: "store_failed", cause: plain });
      this.#askTrouble = plain;
      throw error;
    }
  }
}
