/**
 * Which process owns something: a lock that the operating system takes back when its owner dies.
 *
 * @module
 */

import { Database } from "bun:sqlite";
import { hasMoved, isBusy, makePrivate } from "./sqlite_file.ts";

/**
 * A lock on a file of its own, held as an exclusive SQLite transaction: Bun has no `flock`, and
 * SQLite's locks are the kernel's, gone with the process however it ends.
 */
export class Lock {
  readonly #path: string;
  #database: Database | undefined = undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** False also when the file has vanished: another process may have made and locked a new one. */
  get isHeld(): boolean {
    return this.#database !== undefined && !hasMoved(this.#database);
  }

  /** Takes the lock when nobody has it. */
  take(): boolean {
    if (this.isHeld) return true;
    this.release();
    makePrivate(this.#path);
    const database = new Database(this.#path, { create: true });
    try {
      database.run("BEGIN EXCLUSIVE");
    } catch (error) {
      database.close();
      if (isBusy(error)) return false;
      throw error;
    }
    this.#database = database;
    return true;
  }

  release(): void {
    this.#database?.close();
    this.#database = undefined;
  }
}
