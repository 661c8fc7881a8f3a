/**
 * SQLite files that several processes share: opens them patiently, notices when one is no longer at its
 * path, and waits for whoever writes just now.
 *
 * @module
 */

import { constants, Database, SQLiteError } from "bun:sqlite";
import { closeSync, openSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";

/** Milliseconds the opening waits for another process that is opening the same file. */
export const OPEN_WAIT_MS = 5000;

/** Milliseconds between two attempts to open it. */
const OPEN_RETRY_MS = 5;

/**
 * Milliseconds a statement blocks this thread while another process writes. SQLite would sleep for a
 * whole one at least, and a batch lasts less: whoever meets one asks again in the next turn of the
 * loop and answers others meanwhile.
 */
export const BUSY_WAIT_MS = 0;

/** Milliseconds of patience: for a process that recovers the log after a crash. */
const PATIENCE_MS = 2000;

/** The file that "sqlite://…" names: relative to `folder` unless it starts with "/". */
export function sqlitePath(url: string, folder: string): string {
  return inFolder(url.slice("sqlite://".length), folder);
}

/** `path` as it counts from `folder`; ":memory:" is no file. */
export function inFolder(path: string, folder: string): string {
  return isAbsolute(path) || path === ":memory:" ? path : join(folder, path);
}

/**
 * Makes the file at `path`, when there is none, for its owner alone: it holds what people said. The log
 * beside it gets the same mode. Whatever is in the way, whoever opens the file says.
 */
export function makePrivate(path: string): void {
  if (path === ":memory:") return;
  try {
    closeSync(openSync(path, "ax", 0o600));
  } catch {
    // It is there already, or cannot be made.
  }
}

/**
 * Opens or makes the file at `path` with a write-ahead log, and has `prepare` make what it needs.
 * Blocks this thread while other processes are opening it, for 5 s at the most: two that begin the
 * log at the same moment are told to give up at once, whatever `busy_timeout` says.
 *
 * @throws {SQLiteError} when it cannot be opened.
 */
export function openPatiently(path: string, prepare: (database: Database) => void): Database {
  const endMs = performance.now() + OPEN_WAIT_MS;
  makePrivate(path);
  for (;;) {
    const database = new Database(path, { create: true, strict: true });
    try {
      database.run(`PRAGMA busy_timeout = ${OPEN_WAIT_MS}`);
      database.run("PRAGMA journal_mode = WAL");
      prepare(database);
      noteLog(database);
      return database;
    } catch (error) {
      database.close();
      if (!isBusy(error) || performance.now() >= endMs) throw error;
      Bun.sleepSync(OPEN_RETRY_MS);
    }
  }
}

/** What SQLite writes a yes or no to. */
const answer = new Int32Array(2);

/** The log of each database: beside the file itself, where its path is a link. */
const logs = new WeakMap<Database, { readonly path: string; readonly inode: number }>();

/**
 * True when the file that `database` writes to is no longer at its path, or its log is not: whoever
 * opens the path sees nothing of what is written. Some microseconds.
 */
export function hasVanished(database: Database): boolean {
  if (database.filename === ":memory:") return false;
  const log = logs.get(database);
  return hasMoved(database) || (log !== undefined && inodeOf(log.path) !== log.inode);
}

/** True when the file itself is no longer at its path. */
export function hasMoved(database: Database): boolean {
  database.fileControl(constants.SQLITE_FCNTL_HAS_MOVED, answer);
  return answer[0] !== 0;
}

function noteLog(database: Database): void {
  const [row] = database.query("PRAGMA database_list").values() as [number, string, string][];
  const path = `${row![2]}-wal`;
  const inode = inodeOf(path);
  if (inode !== undefined) logs.set(database, { path, inode });
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** What has become of a database that has vanished. */
export interface Vanished {
  /** True when what was written to it is kept all the same. */
  readonly isSaved: boolean;
  /** What is said of it. */
  readonly text: string;
}

/**
 * Closes a database that has vanished. What is in a log that was removed is brought home first. `what`
 * it holds is kept in the file that is there now: "turns".
 */
export function abandon(database: Database, path: string, what: string): Vanished {
  const gone = `what it held is gone, and ${what} are kept in the file that is there now`;
  try {
    if (hasMoved(database)) {
      return { isSaved: false, text: `${path} was removed or replaced while weir ran: ${gone}` };
    }
    const log = logs.get(database)!;
    // Another process may have made a new one already: then SQLite would mix up the two.
    if (inodeOf(log.path) === undefined) {
      const [row] = database.query("PRAGMA wal_checkpoint(TRUNCATE)").values();
      if (row?.[0] === 0) {
        const text = `${log.path} was removed while weir ran: what it held is in the file again`;
        return { isSaved: true, text };
      }
    }
    const text = `${log.path} was removed or replaced while weir ran: what it held may be gone`;
    return { isSaved: false, text };
  } finally {
    database.close();
  }
}

/** True when another process holds the file just now. */
export function isBusy(error: unknown): boolean {
  return error instanceof SQLiteError && (error.code ?? "").startsWith("SQLITE_BUSY");
}

/** From now on every statement of `database` waits for other processes: up to 2 s. */
export function becomePatient(database: Database): void {
  database.run(`PRAGMA busy_timeout = ${PATIENCE_MS}`);
}

/** Runs `ask`; when another process holds the file, once more and with patience: up to 2 s. */
export function patiently<T>(database: Database, ask: () => T): T {
  try {
    return ask();
  } catch (error) {
    if (!isBusy(error)) throw error;
  }
  becomePatient(database);
  try {
    return ask();
  } finally {
    database.run(`PRAGMA busy_timeout = ${BUSY_WAIT_MS}`);
  }
}
