/**
 * Usage on its way to the store. Whoever adds a row waits for nothing: the rows of one turn of the loop are
 * written into a file of this process when that turn ends, from which they are taken when weir was killed;
 * the store gets rows in batches.
 *
 *   add(row) ──▶ spool (a file, in the same turn)          the next weir ──▶ store, what is not there yet
 *         └────▶ waiting ──── every 500 ms ──▶ store ──▶ the spool is emptied
 *
 * @module
 */

import { AppError, asAppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";
import type { Store, UsageRow } from "../core/store.ts";
import { Spool, takeAbandoned } from "../lib/spool.ts";

/** Milliseconds in which rows are gathered: of a hundred together each costs a third of one alone. */
const GATHER_MS = 500;
/** Milliseconds until the next try, while the store takes nothing: the first, and the longest. */
const RETRY_MS = 500;
const RETRY_MS_MAX = 10_000;
/** Rows that wait in memory; further ones are in the file alone. 20 MiB. */
const WAITING_MAX = 50_000;
/** Bytes of the file: further rows are lost, and counted. A day of 10 requests a second. */
const SPOOL_BYTES_MAX = 256 * 1024 * 1024;
/** It is emptied when it has more, or nothing more comes. */
const SPOOL_KEPT_BYTES = 65_536;
/** Rows of one addition. */
const BATCH_ROWS = 1000;

/** What it needs. */
export interface UsageLogOptions {
  readonly store: Store;
  /** Where files of processes lie. Made when there is usage. */
  readonly folder: string;
  readonly uuid: () => string;
  readonly watch: Watch;
}

/** Usage on its way. */
export class UsageLog {
  readonly #options: UsageLogOptions;
  #spool: Spool | undefined = undefined;
  #waiting: UsageRow[] = [];
  /** Those of this turn, which the file does not have yet: one write for each row is a tenth of a request. */
  #turnRows: UsageRow[] = [];
  /** True: some rows are in the file alone. */
  #hasSpilled = false;
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;
  #retryMs = RETRY_MS;
  /** What is being done with the store, one behind the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #isClosed = false;
  /** Why the store takes nothing; "" = it does. */
  #storeTrouble = "";
  /** Why rows would be lost with this process; "" = they would not. */
  #spoolTrouble = "";

  constructor(options: UsageLogOptions) {
    this.#options = options;
  }

  /** What is wrong; "" = nothing. */
  get trouble(): string {
    return this.#storeTrouble || this.#spoolTrouble;
  }

  /** Rows that the store does not have yet, as far as they are at hand. */
  get waiting(): readonly UsageRow[] {
    return this.#waiting;
  }

  /** Keeps `row`. Never throws. */
  add(row: UsageRow): void {
    if (this.#turnRows.push(row) === 1) setImmediate(this.#spoolTurn);
    if (this.#waiting.length < WAITING_MAX) this.#waiting.push(row);
    else if (this.#spoolTurn()) this.#hasSpilled = true;
    else this.#options.watch({ kind: "usage_lost", count: 1 });
    this.#schedule(GATHER_MS);
  }

  /** Has the store take what waits. @throws {AppError} when it does not (the promise rejects). */
  flush(): Promise<void> {
    return this.#inTurn(() => this.#flush());
  }

  /** Has the store take what waits, and asks `question` before it is given anything more. */
  ask<T>(question: () => T | Promise<T>): Promise<T> {
    return this.#inTurn(async () => {
      await this.#flush();
      return await question();
    });
  }

  /** Has the store take what processes have left that were killed. */
  recover(): Promise<void> {
    return this.#inTurn(() =>
      takeAbandoned(this.#options.folder, async (lines) => {
        await this.#give(lines.flatMap(rowOf));
      })
    );
  }

  /** Nothing more comes. What the store does not take is left for the next one. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    try {
      await this.flush();
      this.#spool?.clear();
    } catch {
      // It was told; the rows are in the file.
    }
    this.#spool?.close();
  }

  /** True when the rows of this turn outlive this process. */
  readonly #spoolTurn = (): boolean => {
    const rows = this.#turnRows;
    if (rows.length === 0) return true;
    this.#turnRows = [];
    try {
      this.#spool ??= new Spool(this.#options.folder, this.#options.uuid());
      if (this.#spool.bytes > SPOOL_BYTES_MAX) throw new Error("it is full");
      let lines = JSON.stringify(rows[0]);
      for (let i = 1; i < rows.length; i++) lines += `\n${JSON.stringify(rows[i])}`;
      this.#spool.add(lines);
      this.#spoolTrouble = "";
      return true;
    } catch (error) {
      const reason = (error as Error).message;
      if (this.#spoolTrouble === "") {
        this.#options.watch({ kind: "usage_unsafe", cause: reason });
      }
      this.#spoolTrouble = `usage would be lost with this process: ${reason}`;
      return false;
    }
  };

  #schedule(delayMs: number): void {
    if (this.#isClosed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.flush().catch(() => this.#schedule(this.#retryMs));
    }, delayMs);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work, work);
    this.#queue = done;
    done.catch(() => {}); // whoever waits for it hears of it
    return done;
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      this.#spoolTurn(); // or what the store has would be in the file later
      const rows = this.#waiting.slice(0, BATCH_ROWS);
      await this.#give(rows);
      this.#waiting = this.#waiting.slice(rows.length);
    }
    const spool = this.#spool;
    if (spool === undefined) return;
    if (this.#hasSpilled) {
      this.#hasSpilled = false;
      const bytes = spool.bytes;
      await this.#give(spool.read().flatMap(rowOf));
      if (spool.bytes > bytes) return; // more have come: they wait
    }
    if (this.#waiting.length === 0 && spool.bytes > SPOOL_KEPT_BYTES) spool.clear();
  }

  async #give(rows: readonly UsageRow[]): Promise<void> {
    try {
      if (rows.length > 0) await this.#options.store.addUsage(rows);
      if (this.#storeTrouble !== "") this.#options.watch({ kind: "store_recovered" });
      this.#storeTrouble = "";
      this.#retryMs = RETRY_MS;
    } catch (error) {
      const { plain } = asAppError(error);
      if (this.#storeTrouble === "") this.#options.watch({ kind: "store_failed", cause: plain });
      this.#storeTrouble = plain;
      this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MS_MAX);
      throw error instanceof AppError
        ? error
        : new AppError("store_failed", plain, { cause: error });
    }
  }
}

/** The row of a line; none when a full disk has cut it off. */
function rowOf(line: string): readonly UsageRow[] {
  try {
    return [JSON.parse(line) as UsageRow];
  } catch {
    return [];
  }
}
