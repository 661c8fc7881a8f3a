/**
 * Rows on their way to the store. Whoever adds one waits for nothing but one write into a file of this
 * process, from which it is taken when weir was killed; the store gets rows in batches.
 *
 *   add(row) ──▶ spool (a file, at once)          the next weir ──▶ store, what is not there yet
 *         └────▶ waiting ──── a moment later ──▶ store ──▶ the spool is emptied
 *
 * @module
 */

import { AppError, asAppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";
import { Spool, takeAbandoned } from "../lib/spool.ts";

/** Milliseconds until the next try, while the store takes nothing: the first, and the longest. */
const RETRY_MS = 500;
const RETRY_MS_MAX = 10_000;
/** Bytes of the file: further rows are lost, and counted. Of usage: a day of 10 requests a second. */
const SPOOL_BYTES_MAX = 256 * 1024 * 1024;
/** It is emptied when it has more, or nothing more comes. */
const SPOOL_KEPT_BYTES = 65_536;
/** Rows of one addition. */
const BATCH_ROWS = 1000;

/** What it needs. */
export interface RowLogOptions<Row> {
  /** What the rows are, for people: "usage". */
  readonly what: string;
  /** Told why they would be lost with this process: once, until they would not. */
  readonly onUnsafe: (cause: string) => void;
  /** Has the store take rows; those that it has already are left as they are. */
  readonly give: (rows: readonly Row[]) => unknown;
  /** False: a row that a killed process has left is too old for that; absent = none is. */
  readonly isTakenLate?: (row: Row) => boolean;
  /** What a row takes of `waitingMax`. */
  readonly weigh: (row: Row) => number;
  /** Of the rows that wait in memory, all together; further ones are in the file alone. */
  readonly waitingMax: number;
  /** Milliseconds in which rows are gathered. */
  readonly gatherMs: number;
  /** Told of rows that are lost. */
  readonly onLost: (count: number) => void;
  /** Where files of processes lie. Made when there are rows. */
  readonly folder: string;
  readonly uuid: () => string;
  readonly watch: Watch;
}

/** Rows on their way. */
export class RowLog<Row> {
  readonly #options: RowLogOptions<Row>;
  #spool: Spool | undefined = undefined;
  #waiting: Row[] = [];
  #weight = 0;
  /** True: some rows are in the file alone. */
  #hasSpilled = false;
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;
  /** Those who wait for the next flush. */
  #next: Promise<void> | undefined = undefined;
  #retryMs = RETRY_MS;
  /** What is being done with the store, one behind the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #isClosed = false;
  /** Why the store takes nothing; "" = it does. */
  #storeTrouble = "";
  /** Why rows would be lost with this process; "" = they would not. */
  #spoolTrouble = "";

  constructor(options: RowLogOptions<Row>) {
    this.#options = options;
  }

  /** What is wrong; "" = nothing. */
  get trouble(): string {
    return this.#storeTrouble || this.#spoolTrouble;
  }

  /** True: the store has not taken what it was given last. */
  get isAway(): boolean {
    return this.#storeTrouble !== "";
  }

  /** Rows that the store does not have yet, as far as they are at hand. */
  get waiting(): readonly Row[] {
    return this.#waiting;
  }

  /** Keeps `row`. Never throws. */
  add(row: Row): void {
    const { weigh, waitingMax, onLost, gatherMs } = this.#options;
    const isSafe = this.#spoolRow(row);
    if (this.#weight < waitingMax) {
      this.#waiting.push(row);
      this.#weight += weigh(row);
    } else if (isSafe) this.#hasSpilled = true;
    else onLost(1);
    this.#schedule(gatherMs);
  }

  /** Has the store take what waits. @throws {AppError} when it does not (the promise rejects). */
  flush(): Promise<void> {
    return this.#inTurn(() => this.#flush());
  }

  /** The next flush, which takes what was added until now: many who wait for it are one. */
  flushed(): Promise<void> {
    return this.#next ??= Bun.sleep(this.#options.gatherMs).then(() => {
      this.#next = undefined;
      return this.flush();
    });
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
    const { folder, isTakenLate, onLost } = this.#options;
    return this.#inTurn(() =>
      takeAbandoned(folder, async (lines) => {
        const rows = lines.flatMap(rowOf<Row>);
        const taken = isTakenLate === undefined ? rows : rows.filter(isTakenLate);
        await this.#give(taken);
        if (taken.length < rows.length) onLost(rows.length - taken.length);
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

  /** True when `row` outlives this process. */
  #spoolRow(row: Row): boolean {
    const { folder, uuid, onUnsafe, what } = this.#options;
    try {
      this.#spool ??= new Spool(folder, uuid());
      if (this.#spool.bytes > SPOOL_BYTES_MAX) throw new Error("it is full");
      this.#spool.add(JSON.stringify(row));
      this.#spoolTrouble = "";
      return true;
    } catch (error) {
      const reason = (error as Error).message;
      if (this.#spoolTrouble === "") onUnsafe(reason);
      this.#spoolTrouble = `${what} would be lost with this process: ${reason}`;
      return false;
    }
  }

  #schedule(delayMs: number): void {
    if (this.#isClosed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.flush().catch(() => this.#schedule(this.#retryMs));
    }, delayMs);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work, work);
    this.#turn = done;
    done.catch(() => {}); // whoever waits for it hears of it
    return done;
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const rows = this.#waiting.slice(0, BATCH_ROWS);
      await this.#give(rows);
      this.#waiting = this.#waiting.slice(rows.length);
      this.#weight = this.#waiting.length === 0
        ? 0
        : rows.reduce((weight, row) => weight - this.#options.weigh(row), this.#weight);
    }
    const spool = this.#spool;
    if (spool === undefined) return;
    if (this.#hasSpilled) {
      const bytes = spool.bytes;
      await this.#give(spool.read().flatMap(rowOf<Row>));
      if (spool.bytes > bytes) return; // more have come: all of it once more
      this.#hasSpilled = false;
    }
    if (this.#waiting.length === 0 && spool.bytes > SPOOL_KEPT_BYTES) spool.clear();
  }

  async #give(rows: readonly Row[]): Promise<void> {
    const { give, watch } = this.#options;
    try {
      if (rows.length > 0) await give(rows);
      if (this.#storeTrouble !== "") watch({ kind: "store_recovered" });
      this.#storeTrouble = "";
      this.#retryMs = RETRY_MS;
    } catch (error) {
      const { plain } = asAppError(error);
      if (this.#storeTrouble === "") watch({ kind: "store_failed", cause: plain });
      this.#storeTrouble = plain;
      this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MS_MAX);
      throw error instanceof AppError
        ? error
        : new AppError("store_failed", plain, { cause: error });
    }
  }
}

/** The row of a line; none when a full disk has cut it off. */
function rowOf<Row>(line: string): readonly Row[] {
  try {
    return [JSON.parse(line) as Row];
  } catch {
    return [];
  }
}
