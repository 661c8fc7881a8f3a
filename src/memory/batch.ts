/**
 * Batched writes: everything that one turn of the event loop wants to keep becomes one transaction.
 *
 *   add(a) add(b) add(c)          setImmediate
 *   ────────────────────▶ [a b c] ───────────▶ BEGIN · write(a b c) · COMMIT ───▶ one promise settles
 *
 * A commit costs some 40 µs and a row some 5 µs, so 64 waiting turns share one commit.
 *
 * @module
 */

import type { Database, Statement } from "bun:sqlite";
import { AppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";
import { abandon, becomePatient, hasVanished, isBusy } from "../lib/sqlite_file.ts";
import { reasonOf } from "./database.ts";

/** Items in one transaction: 5 µs each, so that no token waits longer than some 3 ms. */
const ITEMS_MAX = 512;

/** Items that may wait in memory; more are refused. */
const WAITING_MAX = 100_000;

/** Milliseconds in which every turn of the loop tries again while another process writes. */
const BUSY_EAGER_MS = 3;

/** Milliseconds between two attempts after those. */
const BUSY_RETRY_MS = 2;

/** Milliseconds an item may wait for another process. */
const BUSY_GIVE_UP_MS = 10_000;

/** Milliseconds between two attempts to write to a disk that was full. */
const PROBE_EVERY_MS = 250;

/** Milliseconds between two looks whether the file is still at its path, while nothing is written. */
const LOOK_EVERY_MS = 250;

/** What a batch needs. */
export interface BatchOptions<T> {
  readonly path: string;
  /** Opens or makes the file at its path. Called again when it has vanished from there. */
  readonly open: () => Database;
  /** Writes `items` inside a transaction. Its writes are undone when it throws. */
  readonly write: (items: readonly T[]) => void;
  /**
   * Called after writes were undone, and when another file was opened: what was derived from them
   * must be forgotten.
   */
  readonly onUndone: () => void;
  readonly watch: Watch;
  /** Milliseconds that never go back. */
  readonly clock: () => number;
}

/** Items with one transaction and one promise. */
interface Group<T> {
  readonly items: T[];
  readonly beganMs: number;
  readonly settled: PromiseWithResolvers<void>;
}

/** Writes items in the order in which they were added. */
export class Batch<T> {
  readonly #options: BatchOptions<T>;
  #database: Database;
  #begin!: Statement;
  #commit!: Statement;
  #rollback!: Statement;
  #probe!: Statement;
  readonly #groups: Group<T>[] = [];
  #waiting = 0;
  #isScheduled = false;
  #isClosed = false;
  /** The reason of the last failed write; "" while writes succeed. */
  #failure = "";
  #probedMs = 0;
  #lookedMs = 0;
  /** True: the file has vanished, and no other could be opened yet. */
  #isGone = false;
  /** What is said of the file that has vanished; "" = none has. */
  #lost = "";
  /** When another process was met that writes; -1 = it has let go. */
  #busyMs = -1;

  constructor(options: BatchOptions<T>) {
    this.#options = options;
    this.#database = this.#prepare(options.open());
  }

  #prepare(database: Database): Database {
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#rollback = database.prepare("ROLLBACK");
    // As much as a turn needs, so that a disk with room for one more byte does not pass.
    this.#probe = database.prepare(
      "INSERT OR REPLACE INTO probe (id, filler) VALUES (1, randomblob(4096))",
    );
    return database;
  }

  /** What is wrong with the file, or was since it was opened first; "" = nothing. */
  get trouble(): string {
    this.look();
    return this.#failure === "" ? this.#lost : `it takes no turns now: ${this.#failure}`;
  }

  /**
   * Keeps `item`. All that is added in one turn of the event loop settles together.
   *
   * @throws {AppError} `unavailable` when the disk does not take it.
   */
  add(item: T): Promise<void> {
    if (this.#isClosed) return Promise.reject(this.#unavailable("it is closed"));
    if (this.#waiting >= WAITING_MAX) {
      return Promise.reject(this.#unavailable(`${WAITING_MAX} turns wait to be written`));
    }
    let group = this.#groups.at(-1);
    if (group === undefined || group.items.length >= ITEMS_MAX) {
      group = {
        items: [],
        beganMs: this.#options.clock(),
        settled: Promise.withResolvers<void>(),
      };
      this.#groups.push(group);
    }
    group.items.push(item);
    this.#waiting++;
    this.#schedule();
    return group.settled.promise;
  }

  /**
   * Throws while the last write failed. Tries a write itself from time to time.
   *
   * @throws {AppError} `unavailable`
   */
  checkReady(): void {
    this.look();
    if (this.#failure === "") return;
    const nowMs = this.#options.clock();
    if (nowMs - this.#probedMs >= PROBE_EVERY_MS) {
      this.#probedMs = nowMs;
      try {
        if (this.#isGone) this.#reopen();
        if (!this.#isGone) {
          this.#probe.run();
          this.#recover();
          return;
        }
      } catch (error) {
        if (!isBusy(error)) this.#failure = reasonOf(error);
      }
    }
    throw this.#unavailable(this.#failure);
  }

  /** Notices from time to time that the file has vanished, and opens the one that is there now. */
  look(): void {
    const nowMs = this.#options.clock();
    if (nowMs - this.#lookedMs < LOOK_EVERY_MS || this.#isGone) return;
    this.#lookedMs = nowMs;
    if (hasVanished(this.#database)) this.#renew();
  }

  /** Writes what waits, now. What another process keeps from being written for 2 s is refused. */
  close(): void {
    this.#isClosed = true;
    if (!this.#isGone) becomePatient(this.#database);
    while (this.#groups.length > 0) this.#writeFirst(true);
    if (!this.#isGone) this.#database.close();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#run);
  }

  readonly #run = () => {
    this.#isScheduled = false;
    if (this.#groups.length === 0) return;
    const isBusyNow = !this.#writeFirst(false);
    if (!isBusyNow) this.#busyMs = -1;
    else if (this.#busyMs < 0) this.#busyMs = this.#options.clock();
    if (this.#groups.length === 0) return;
    if (!isBusyNow) return this.#schedule();
    if (this.#options.clock() - this.#busyMs < BUSY_EAGER_MS) return this.#schedule();
    this.#isScheduled = true;
    setTimeout(this.#run, BUSY_RETRY_MS);
  };

  /** Writes the first group, and settles it. False when another process writes: ask again. */
  #writeFirst(isLastChance: boolean): boolean {
    const group = this.#groups[0]!;
    if (!this.#isGone && hasVanished(this.#database)) this.#renew();
    if (this.#isGone && !this.#reopen()) {
      this.#shift();
      group.settled.reject(this.#unavailable(this.#failure));
      return true;
    }
    let hasBegun = false;
    try {
      this.#begin.run();
      hasBegun = true;
      this.#options.write(group.items);
      this.#commit.run();
    } catch (error) {
      if (hasBegun) this.#undo();
      const waitedMs = this.#options.clock() - group.beganMs;
      if (isBusy(error) && !isLastChance && waitedMs < BUSY_GIVE_UP_MS) return false;
      this.#shift();
      this.#fail(reasonOf(error));
      group.settled.reject(this.#unavailable(this.#failure, error));
      return true;
    }
    // Kept where nobody will look: it is written again, into the file that is there now.
    if (hasVanished(this.#database) && !this.#renew()) return true;
    this.#shift();
    if (this.#failure !== "") this.#recover();
    group.settled.resolve();
    return true;
  }

  #shift(): void {
    this.#waiting -= this.#groups.shift()!.items.length;
  }

  #undo(): void {
    // SQLite has rolled back by itself after some errors; a second ROLLBACK would throw.
    if (this.#database.inTransaction) this.#rollback.run();
    this.#options.onUndone();
  }

  /** The file has vanished. True when what was written to it is kept all the same. */
  #renew(): boolean {
    const { path, watch } = this.#options;
    const { isSaved, text } = abandon(this.#database, path, "turns");
    this.#lost = text;
    watch({ kind: "memory_file_vanished", cause: this.#lost });
    this.#isGone = true;
    this.#reopen();
    return isSaved;
  }

  /** True when a file is open again. */
  #reopen(): boolean {
    try {
      this.#database = this.#prepare(this.#options.open());
      this.#isGone = false;
    } catch (error) {
      this.#fail(reasonOf(error));
    }
    this.#options.onUndone();
    return !this.#isGone;
  }

  #fail(reason: string): void {
    if (this.#failure === "") this.#options.watch({ kind: "memory_write_failed", cause: reason });
    this.#failure = reason;
    this.#probedMs = this.#options.clock();
  }

  #recover(): void {
    this.#failure = "";
    this.#options.watch({ kind: "memory_write_recovered" });
  }

  #unavailable(reason: string, cause?: unknown): AppError {
    return new AppError("unavailable", `The memory takes no turns now: ${reason}`, {
      headers: { "retry-after": "1" },
      cause,
    });
  }
}
